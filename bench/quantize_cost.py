"""CPU time of ``tightfit quantize`` from two source trees, in turns: what measuring every slice costs.

    python bench/quantize_cost.py MODEL DATA --before OTHER/src [--image SPEC] [--scheme int8] [--rounds 5]

Each round runs both trees, the first one in turn. Prints the median CPU time of the command with its child
processes, and the median of the ratios of the rounds. Exits with 1 above ``--most`` (1.05).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OWN = Path(__file__).resolve().parent.parent / "src"


def cpu_seconds(tree: Path, words: list[str]) -> float:
    """CPU time of one command and its children, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(tree)}
    subprocess.run(
        [sys.executable, "-m", "tightfit", *words], check=True, capture_output=True, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Prints the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--image")
    parser.add_argument("--scheme", default="int8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float, default=1.05)
    given = parser.parse_args()
    trees = {"before": given.before.resolve(), "now": OWN}
    image = ["--image", given.image] if given.image else []
    seconds: dict[str, list[float]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            for name in list(trees) if turn % 2 else list(trees)[::-1]:
                words = ["quantize", given.model, given.scheme, "--data", given.data, *image]
                seconds[name].append(cpu_seconds(trees[name], [*words, "-o", f"{folder}/{name}.tflite"]))
    ratio = statistics.median(b / a for a, b in zip(seconds["before"], seconds["now"], strict=True))
    for name, times in seconds.items():
        print(f"{name}: {statistics.median(times):.2f} s CPU, median of {given.rounds}")
    print(f"ratio {ratio:.3f}, at most {given.most:g}")
    return 1 if ratio > given.most else 0


if __name__ == "__main__":
    sys.exit(main())
