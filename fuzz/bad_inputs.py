"""Gives bad inputs to the commands, 500 of them, and checks that each ends in one sentence and exit code 2.

    python -m fuzz.bad_inputs [--count 500] [--seed 0]

Models, data of each kind, options, paths. An input that turns out to be good is not counted. The exit code
is 1 when one ends otherwise: another code, no or several lines, over 300 characters, an internal error, a
file left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from fuzz.kills import Setting
from fuzz.mutation import TEXTS, mutate_bytes
from fuzz.readers import READERS
from fuzz.seeds import two_graphs
from tightfit.cli.app import run
from tightfit.errors import LONGEST_SENTENCE

Case = tuple[str, ...]

_WORDS: Final = (
    "banana",
    "-1",
    "1e999",
    "nan",
    "5%",
    "",
    "\n",
    "x" * 400,
    "\x1b[2J",
    "0",
    "99999999999999999999",
)
_OPTIONS: Final = {
    ("quantize", "m.tflite", "int8", "--data", "d.npz", "-o", "q.tflite"): (
        "--io", "--calibration", "--observer", "--override", "--layout", "--recover", "--target", "--memory",
        "--max-noise", "--max-size", "--seed",
    ),
    ("evaluate", "m.tflite", "--data", "d.npz"): ("--metric", "--image", "--limit"),
    ("benchmark", "m.tflite"): ("--threads", "--rounds", "--seconds"),
    ("check", "m.tflite"): ("--target", "--memory"),
    ("prune", "m.tflite", "-o", "q.tflite"): ("--sparsity", "--pattern", "--scope", "--macs", "--importance"),
    ("cluster", "m.tflite", "-o", "q.tflite"): ("--clusters", "--per", "--initial"),
    ("models",): ("--max-size", "--max-macs", "--min-accuracy", "--target"),
    ("convert", "m.keras", "-o", "q.tflite"): ("--input-shape", "--batch", "--backend", "--uint8", "--hold"),
}  # fmt: skip


def cases(folder: Path, dice: Random) -> Iterator[Case]:
    """Yield commands without end; files that they name are written before."""
    kinds = (
        _bad_model, _bad_data, _bad_option, _bad_path, _bad_source, _bad_recipe, _bad_options_file,
        _bad_held_out_data, _bad_signature_data, _bad_reference,
    )  # fmt: skip
    while True:
        yield dice.choice(kinds)(folder, dice)


def _bad_model(folder: Path, dice: Random) -> Case:
    reader = READERS["graph"]
    data = dice.choice((mutate_bytes, reader.mutate))(dice.choice(reader.seeds()), dice)
    (folder / "bad.tflite").write_bytes(dice.choice((data, data[: len(data) // 2], b"", b"text")))
    return dice.choice(
        (("inspect", "bad.tflite"), ("check", "bad.tflite", "--target", "edge-tpu"), ("verify", "bad.tflite"),
         ("quantize", "bad.tflite", "weight8", "-o", "q.tflite"), ("diff", "m.tflite", "bad.tflite"))
    )  # fmt: skip


def _bad_data(folder: Path, dice: Random) -> Case:
    name = dice.choice(("npz", "jsonl", "csv"))
    reader = READERS[name]
    data = reader.mutate(dice.choice(reader.seeds()), dice)
    (folder / f"bad.{name}").write_bytes(data)
    return "evaluate", "m.tflite", "--data", f"bad.{name}{dice.choice(('', '', ':a,b', ':x,y,z'))}"


def _bad_option(_folder: Path, dice: Random) -> Case:
    command = dice.choice(list(_OPTIONS))
    return *command, dice.choice(_OPTIONS[command]), dice.choice((*_WORDS, *TEXTS)).replace("\0", "0")


def _bad_path(folder: Path, dice: Random) -> Case:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(folder / "pipe")
    odd = dice.choice(
        ("missing", "pipe", ".", "/dev/null", "x" * 300, "m.tflite/inside", "nothing\n\x07.tflite")
    )
    return dice.choice(
        (("inspect", odd + ".tflite"), ("quantize", "m.tflite", "float16", "-o", odd + "/q.tflite"),
         ("quantize", "m.tflite", "float16", "-o", odd.replace("missing", "d.npz")),
         ("evaluate", "m.tflite", "--data", odd), ("optimize", "m.tflite", "--data", odd, "-o", "out"),
         ("quantize", "m.tflite", "int8", "--data", f"{odd[:9].strip('/.')}:f", "-o", "q.tflite"))
    )  # fmt: skip


def _bad_source(folder: Path, dice: Random) -> Case:
    suffix = dice.choice((".keras", ".pt", ".pkl", ".safetensors", ".npz", ".bin"))
    data = READERS["keras"].mutate(READERS["keras"].seeds()[0], dice)
    (folder / f"bad{suffix}").write_bytes(
        dice.choice((data[: len(data) // 2], b"", mutate_bytes(data[:40], dice)))
    )
    return "convert", f"bad{suffix}", "-o", "q.tflite"


def _bad_recipe(folder: Path, dice: Random) -> Case:
    data = READERS["recipe"].mutate(dice.choice(READERS["recipe"].seeds()), dice)
    (folder / "bad.json").write_bytes(dice.choice((data, data[: len(data) // 2], b"")))
    return "quantize", "m.tflite", "bad.json", "-o", "q.tflite"


def _bad_options_file(folder: Path, dice: Random) -> Case:
    data = READERS["options"].mutate(dice.choice(READERS["options"].seeds()), dice)
    (folder / "bad.toml").write_bytes(data)
    return dice.choice(
        (("--config", "bad.toml", "quantize", "m.tflite", "float16", "-o", "q.tflite"),
         ("optimize", "--run", "bad.toml", "-o", "out"),
         ("optimize", "m.tflite", "--data", "d.npz", "--devices", "bad.toml", "-o", "out"))
    )  # fmt: skip


def _bad_held_out_data(folder: Path, dice: Random) -> Case:
    whole = (folder / "d.npz").read_bytes()
    bad = (whole[: len(whole) // 2], b"", b"text", READERS["npz"].seeds()[0])
    (folder / "bad.npz").write_bytes(dice.choice(bad))
    word = dice.choice(("bad.npz", "bad.npz:a,b", "d.npz:nothing", "missing.npz", ".", "bad:f"))
    return (
        "finetune", "m.tflite", "--data", "d.npz", dice.choice(("--validation", "--test")), word,
        "--scheme", "int8", "--epochs", "1", "-o", "q.tflite",
    )  # fmt: skip


def _bad_signature_data(folder: Path, dice: Random) -> Case:
    (folder / "two.tflite").write_bytes(two_graphs())
    key = dice.choice(("NEG", "ABS", "neg", "", "NEG=ABS", "\x1b", "x" * 400))
    word = dice.choice(("d.npz", "bad.npz", "missing.npz", "", "=", "NEG=d.npz"))
    return "quantize", "two.tflite", "int8", "--data", f"{key}={word}", "--data", word, "-o", "q.tflite"


def _bad_reference(_folder: Path, dice: Random) -> Case:
    odd = dice.choice(("..", "../..", ".", "a\\..\\b", "a\x1b[2J", "x" * 400, "a b", "", "%2e%2e", "-o"))
    name = dice.choice((f"{odd}/name/m.tflite", f"owner/{odd}/m.tflite", f"owner/name/{odd}/m.tflite",
                        f"owner/name/m.tflite@{odd}", odd))  # fmt: skip
    return "inspect", f"hf://{name}"


def judge(case: Case, folder: Path) -> str | None:
    """Run a command in this process; return "" when it ends as it must, None when its input is good."""
    err, out = io.StringIO(), io.StringIO()
    sys.argv = ["tightfit", *case]
    code: object = None
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            run()
        except SystemExit as end:
            code = end.code
    left = [
        p.name for p in folder.iterdir() if p.name in ("q.tflite", "out") or p.name.startswith(".tightfit")
    ]
    if code in (0, 1, None):
        (folder / "q.tflite").unlink(missing_ok=True)
        shutil.rmtree(folder / "out", ignore_errors=True)
        return None
    said = [line for line in err.getvalue().splitlines() if line.startswith("tightfit: ")]
    lines = [line for line in err.getvalue().splitlines() if line and line not in said]
    checks = {
        f"exit code {code}": code != 2,
        f"{len(said)} sentences": len(said) != 1,
        f"more lines: {lines[:1]}": any("Traceback" in line for line in lines),
        f"{max(map(len, said), default=0)} characters": any(len(line) > LONGEST_SENTENCE for line in said),
        f"{said[:1]}": any("Internal error" in line for line in said),
        f"left {left}": bool(left),
    }
    return "; ".join(words for words, is_wrong in checks.items() if is_wrong)


def main() -> int:
    """Tries as many inputs as are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found, dice = Counter[str](), Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Setting.of(folder)
        (folder / "m.keras").write_bytes(READERS["keras"].seeds()[0])
        os.chdir(folder)
        os.environ["HF_HUB_OFFLINE"] = "1"
        for case in cases(folder, dice):
            verdict = judge(case, folder)
            if verdict is None:
                found["good"] += 1
                continue
            found["bad"] += 1
            if verdict:
                found["wrong"] += 1
                print(f"{' '.join(word[:60] for word in case)!r}: {verdict}", flush=True)
            if found["bad"] >= asked.count:
                break
        os.chdir("/")
    print(f"in all: {found['bad']} bad inputs, {found['wrong']} wrong, {found['good']} were good")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
