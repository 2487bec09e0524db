"""Kills a search at its n-th rename, before or after it, then goes on; prints how the results compare.

    python -m fuzz.kills [--points 100] [--seed 0]

Every resumed search must find the files, bit for bit, and the accuracies of one that was never killed, and
leave nothing behind but its results. The exit code is 1 when one does not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from tightfit.demo import MODEL, evaluation

_SAMPLES: Final = 60
_KEPT: Final = {"best.tflite", "candidates", "journal.json", "report.json", "report.html", "tightfit.toml"}
_KILLED: Final = """
import os, signal, sys
from pathlib import Path
point, after = int(sys.argv.pop(1)), sys.argv.pop(1) == "after"
original, count = Path.replace, 0

def replace(self, target):
    global count
    count += 1
    if count == point and not after:
        os.kill(os.getpid(), signal.SIGKILL)
    done = original(self, target)
    if count == point:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Path.replace = replace
from tightfit.cli import main
main()
"""


@dataclass(frozen=True)
class Setting:
    """A model, data and a place for the results."""

    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Setting:
        """Writes model and data into a folder."""
        (folder / "m.tflite").write_bytes(MODEL.read_bytes())
        pairs = list(evaluation())[:_SAMPLES]
        np.savez(folder / "d.npz", x=np.concatenate([x for x, _ in pairs]), y=np.array([y for _, y in pairs]))
        (folder / "tmp").mkdir(exist_ok=True)
        return cls(folder)

    def run(self, *, kill: tuple[int, str] | None = None) -> int:
        """Runs the search, killed at a rename or not; gives the return code."""
        words = [
            "optimize", "m.tflite", "--data", "d.npz", "-o", "out", "--only", "weight8", "--only", "float16",
            "--effort", "quick", "--json",
        ]  # fmt: skip
        program = _KILLED if kill is not None else "from tightfit.cli import main; main()"
        point = [] if kill is None else [str(kill[0]), kill[1]]
        return subprocess.run(
            [sys.executable, "-P", "-c", program, *point, *words],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            env=os.environ | {"TMPDIR": str(self.folder / "tmp")},
        ).returncode  # fmt: skip

    def results(self) -> dict[str, Any]:
        """What does not depend on times: each candidate's file and scores."""
        report = json.loads((self.folder / "out" / "report.json").read_text())
        names = ("sha256", "size_bytes", "accuracy", "drop", "agreement", "failure")
        return {c["name"]: [c[n] for n in names] for c in report["candidates"]} | {
            "finished": report["finished"]
        }

    def leftovers(self) -> list[str]:
        """What lies in the folder or among the temporary files and is no result."""
        out = self.folder / "out"
        found = [p.name for p in out.iterdir() if p.name not in _KEPT]
        found += [p.name for p in (out / "candidates").iterdir() if p.suffix != ".tflite" or p.name[0] == "."]
        return found + [p.name for p in (self.folder / "tmp").iterdir()]

    def clear(self) -> None:
        """Removes the results."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)


def check(setting: Setting, expected: dict[str, Any], kill: tuple[int, str]) -> tuple[bool, list[str]]:
    """Kill a search at a point and go on; return whether it was killed, and what is wrong then."""
    setting.clear()
    killed = setting.run(kill=kill) == -9
    code = setting.run()
    wrong = [] if code in (0, 1) else [f"the resumed run ended with {code}"]
    if not wrong and (found := setting.results()) != expected:
        wrong.append(f"other results: {found}")
    return killed, wrong + [f"left behind: {name}" for name in setting.leftovers()]


def main() -> int:
    """Tries as many points as are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice, failures, killed = Random(asked.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        setting = Setting.of(Path(name))
        setting.run()
        expected, most = setting.results(), 40
        for number in range(asked.points):
            kill = dice.randint(1, most), dice.choice(("before", "after"))
            was_killed, wrong = check(setting, expected, kill)
            killed += was_killed
            failures += bool(wrong)
            if not was_killed:
                most = max(1, min(most, kill[0] - 1))  # the run has fewer renames
            print(f"{number + 1}: rename {kill[0]} {kill[1]}, {'; '.join(wrong) or 'equal'}", flush=True)
    print(f"in all: {killed} kills, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
