"""CPU time of commands against another checkout's, and what the sandbox costs a child.

    python bench/start_up.py [--before OTHER/src] [--rounds 5] [--quantize]

Each round runs a command with both checkouts in turn; the figure is the median of the ratios (user and
system time, children included), so a busy machine hits both alike. The sandbox: the same child, which does
nothing, started with and without it; the median of the rounds' differences. Exit code 1: over 1.02 or 20 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.demo import MODEL, evaluation
from tightfit.runtime.child.process import Confinement, command

SOURCES: Final = Path(__file__).resolve().parents[1] / "src"
MOST_RATIO, MOST_MS = 1.02, 20.0
COMMANDS: Final = {
    "help": ("--help",),
    "inspect": ("inspect", "m.tflite", "--json"),
    "quantize float16": ("quantize", "m.tflite", "float16", "-o", "q.tflite", "-q"),
}
QUANTIZE: Final = {
    "quantize int8": ("quantize", "m.tflite", "int8", "--data", "d.npz", "-o", "q.tflite", "-q"),
    "quantize dynamic": ("quantize", "m.tflite", "dynamic", "-o", "q.tflite", "-q"),
}


def cpu_s(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Return the CPU time of a command and of the children that it waits for, seconds."""
    before = os.times()
    subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def ratio(name: str, words: Sequence[str], places: Sequence[Path], folder: Path, rounds: int) -> float:
    """Return this checkout's CPU time of a command over the other's, the median of the rounds."""
    found = []
    for number in range(rounds + 1):
        times = []
        for place in places[:: 1 if number % 2 else -1]:
            start = [sys.executable, "-P", "-c", "from tightfit.cli import main; main()", *words]
            environment = os.environ | {"PYTHONPATH": str(place), "KERAS_BACKEND": "jax"}
            times.append(cpu_s(start, folder, environment))
        now, before = times if number % 2 else times[::-1]
        if number:  # the first fills the caches
            found.append(now / before)
    median = statistics.median(found)
    print(f"{name}: {median:.3f} of the other's CPU time ({min(found):.3f} to {max(found):.3f})", flush=True)
    return median


def sandbox_ms(rounds: int, folder: Path) -> float:
    """Return the CPU time that the sandbox adds to the start of a child, ms, the median of the rounds."""
    differences = []
    for _ in range(rounds):
        times = []
        for sandbox in (True, False):
            confinement = Confinement(None, sandbox=sandbox, writable=(str(folder),))
            words = command("-m this", [], confinement)
            times.append(1e3 * cpu_s(words, folder, os.environ))
        differences.append(times[0] - times[1])
    return statistics.median(differences)


def main() -> int:
    """Prints the ratios and the cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quantize", action="store_true", help="time int8 and dynamic too")
    asked, worst, begin = parser.parse_args(), 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "m.tflite").write_bytes(MODEL.read_bytes())
        np.savez(folder / "d.npz", x=np.concatenate([x for x, _ in list(evaluation())[:100]]))
        for each, words in (COMMANDS | (QUANTIZE if asked.quantize else {})).items() if asked.before else ():
            worst = max(worst, ratio(each, words, [SOURCES, asked.before.resolve()], folder, asked.rounds))
        cost = sandbox_ms(4 * asked.rounds, folder)
    print(f"the sandbox adds {cost:.1f} ms to a start; in all {time.monotonic() - begin:.0f} s")
    return 1 if worst > MOST_RATIO or cost > MOST_MS else 0


if __name__ == "__main__":
    sys.exit(main())
