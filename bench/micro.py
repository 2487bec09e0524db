"""Flash and RAM of the demo on a microcontroller, by scheme and by form of its constants.

    bench/micro.py [MODEL.tflite DATA]

Each row is a deployment: its flash against the file that quantize writes and against the same file without
what tflite-micro does not read, the arena that tflite-micro needs, and whether the outputs of the
interpreter are equal, bit for bit, to those of the file before (a deployment with others is refused). Exit
code 1 when a clustered file in look-up tables takes over 0.75 of the plain int8 file, or one with 80 %
zeros over 0.45.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import tightfit
from machine import describe_machine
from tightfit.demo import MODEL

DATA = "tightfit.demo:calibration"
FILES = {
    "int8": ["quantize", "{model}", "int8", "--target", "micro", "--effort", "0"],
    "int8, 16 clusters": ["cluster", "{model}", "--clusters", "16", "--scheme", "int8", "--layout", "micro"],
    "int8, 80 % zeros": ["prune", "{model}", "--sparsity", "0.8", "--scheme", "int8", "--layout", "micro"],
}
FORMS = ("", "lookup", "pruned", "huffman", "smallest")
BARS = {("int8, 16 clusters", "lookup"): 0.75, ("int8, 80 % zeros", "smallest"): 0.45}


def main() -> int:
    """Print the table; return 1 when a bar is missed."""
    model, data = (sys.argv[1:3]) if len(sys.argv) > 2 else (str(MODEL), DATA)
    print(f"{describe_machine()}\n")
    print(
        "| file | form | flash, bytes | of plain int8 | of it without names | arena, bytes | equal outputs |"
    )
    print("|---|---|---|---|---|---|---|")
    missed, plain_bytes, bare_bytes = False, 0, 0
    with tempfile.TemporaryDirectory() as name:
        for title, words in FILES.items():
            path = Path(name) / "made.tflite"
            _write(words, model, data, path)
            for form in FORMS:
                made = tightfit.deploy(path, Path(name) / f"{title} {form}", compress=form or ())
                plain_bytes, bare_bytes = (
                    plain_bytes or made.given_bytes,
                    bare_bytes or made.plain.flash_bytes,
                )
                share = made.deployed.flash_bytes / plain_bytes
                bare = made.deployed.flash_bytes / bare_bytes
                missed |= share > BARS.get((title, form), 9.0)
                print(
                    f"| {title} | {form or 'plain'} | {made.deployed.flash_bytes:,} "
                    f"| {share:.3f} | {bare:.3f} | {made.deployed.arena_bytes:,} "
                    f"| {made.samples} of {made.samples} samples |"
                )
    return int(missed)


def _write(arguments: list[str], model: str, data: str, path: Path) -> None:
    command = [w.format(model=model) for w in arguments]
    path.unlink(missing_ok=True)
    # Exit code 1 tells that so many zeros without training cost accuracy; the file is what is measured here.
    words = [sys.executable, "-m", "tightfit", *command, "--data", data, "-o", str(path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if not path.exists():
        sys.exit(done.stderr)


if __name__ == "__main__":
    sys.exit(main())
