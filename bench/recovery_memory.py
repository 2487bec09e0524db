"""Prints the most memory that a search with recovery holds, with 100 and with 1,000 calibration samples.

    bench/recovery_memory.py                       (the embedded demo)
    bench/recovery_memory.py --model M.tflite --data photos/ --image size=224

The search makes int8 and 4-bit files with every sample going through calibration, second moments, rounding,
range choice and sequential bias correction; the kernel counts each process's own peak.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from machine import describe_machine
from processes import Memory, run_watched
from tightfit.demo import MODEL

CANDIDATES = ("int8+gptq", "int8+ranges", "int8+sequential-bias", "int8x4+recovery")


def search(options: argparse.Namespace, calibration: int) -> Memory:
    """Runs one search in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "tightfit", "optimize", str(options.model), "--data", options.data,
            "--calibration", str(calibration), "--evaluation", str(options.evaluation), "--max-drop", "0.9",
            "--effort", "thorough", "--json", "-o", folder,
        ]  # fmt: skip
        command += ["--image", options.image] if options.image else []
        for name in CANDIDATES:
            command += ["--only", name]
        return run_watched(command, {})


def main() -> None:
    """Runs the searches, the small one first, and prints both peaks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL, help="float .tflite")
    parser.add_argument("--data", default="tightfit.demo:everything", help="as for the tightfit command")
    parser.add_argument("--image", help="as for the tightfit command")
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--evaluation", type=int, default=100)
    options = parser.parse_args()
    print(describe_machine())
    print(f"{options.model.name}: {', '.join(CANDIDATES)}")
    first = None
    for count in options.samples:
        memory = search(options, count)
        own = max(memory.resident.values()) / 1e6
        held = memory.anonymous_bytes / 1e6
        first = first or (own, held)
        print(
            f"{count:6} samples   largest process {own:7.1f} MB ({own / first[0]:.2f}x)   all processes"
            f" outside of files {held:7.1f} MB ({held / first[1]:.2f}x)"
        )


if __name__ == "__main__":
    main()
