"""The same readers under atheris, which keeps the mutants that reach new code (the extra ``fuzz``).

    python -m fuzz.guided graph [-max_total_time=60]
    python -m fuzz.guided all [--seconds 5]

It begins with the seeds of ``fuzz.seeds``; half of the mutants are made by ``fuzz.mutation``, the others by
libFuzzer. A mutant that takes over 20 s or 2 GB ends the run, as any exception but a ``TightfitError`` does.
``make fuzz-guided`` makes the environment and runs all readers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Final

_LIMITS: Final = ("-timeout=20", "-rss_limit_mb=2048", "-max_len=100000")
_GUIDES: Final = (
    "tightfit.graph.reader", "tightfit.graph.format", "tightfit.graph.writer",
    "tightfit.quantization.planning",
    "tightfit.data.manifest", "tightfit.data.npz_members", "tightfit.data.arrays", "tightfit.data.tables",
    "tightfit.conversion.keras.safe_files", "tightfit.conversion.onnx.external_weights",
    "tightfit.report.report",
    "tightfit.search.journal", "tightfit.search.run_file", "tightfit.search.devices.device_file",
    "tightfit.provenance.record", "tightfit.cli.options.configuration", "tightfit.cli.options.command_group",
    "tightfit.runtime.child.memory", "tightfit.targets.placement",
)  # fmt: skip
"""Modules whose branches guide libFuzzer: those that read what a stranger wrote."""


def main() -> int:
    """Fuzzes the reader of the first argument, or each in a process of its own."""
    name, *words = sys.argv[1:] or ["all"]
    if name != "all":
        return fuzz(name, words)
    from fuzz.readers import READERS  # noqa: PLC0415 - a single reader is imported with its instruments

    seconds = words[words.index("--seconds") + 1] if "--seconds" in words else "5"
    codes = {each: _apart(each, seconds) for each in READERS}
    failed = [each for each, code in codes.items() if code]
    print(f"in all: {len(codes)} readers, {len(failed)} with a finding {' '.join(failed)}".rstrip())
    return 1 if failed else 0


def _apart(name: str, seconds: str) -> int:
    """Fuzzes one reader in a child and prints its last line."""
    command = [sys.executable, "-m", "fuzz.guided", name, f"-max_total_time={seconds}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Done", "==", "#"))]
    print(f"{name}: {lines[-1] if lines else done.stderr[-300:]}", flush=True)
    return done.returncode


def _others() -> list[str]:
    """The modules of the package that guide nothing: instrumenting them all takes most of a minute."""
    root = Path(str(find_spec("tightfit").submodule_search_locations[0]))
    paths = [path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if not name.startswith(_GUIDES)]


def fuzz(name: str, words: list[str]) -> int:
    """Fuzzes one reader until its time is over; libFuzzer ends the process itself."""
    import atheris  # noqa: PLC0415 - an optional package

    with atheris.instrument_imports(include=["tightfit"], exclude=_others()):
        from fuzz.readers import READERS  # noqa: PLC0415 - what is imported here is instrumented
        from tightfit.errors import TightfitError  # noqa: PLC0415 - the same
    reader = READERS[name]

    def one(data: bytes) -> None:
        try:
            reader.read(data)
        except TightfitError:
            return

    def mutant(data: bytes, most: int, seed: int) -> bytes:
        dice = Random(seed)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        try:
            return reader.mutate(data, dice)[:most]
        except Exception:  # noqa: BLE001 - the data is no whole file any more
            return bytes(atheris.Mutate(data, most))

    with tempfile.TemporaryDirectory() as corpus, tempfile.TemporaryDirectory() as kept:
        for number, seed in enumerate(reader.seeds()):
            (Path(kept) / str(number)).write_bytes(seed)
        atheris.Setup([name, *_LIMITS, *words, corpus, kept], one, custom_mutator=mutant)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
