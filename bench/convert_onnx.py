"""Converts every ONNX file of a folder and prints what came of it; counts equal decisions of magika.

    python bench/convert_onnx.py MODELS [--files FOLDER]

MODELS: a folder with ``.onnx`` files, for example the unpacked wheels of magika, silero-vad and
rapidocr-onnxruntime. ``--files``: real files whose type magika's model tells, once in onnxruntime and once
in LiteRT. Needs the extra 'onnx'.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.conversion_result import ConversionResult
from tightfit.conversion.load_model import load
from tightfit.errors import TightfitError
from tightfit.runtime.session import Session

# What the packages feed their models: text lines of 48 pixels, pages of any size, 32 ms of speech at 16 kHz.
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "det_infer": {"x": (1, 3, 640, 640)},
    "rec_infer": {"x": (1, 3, 48, 320)},
    "cls_infer": {"x": (1, 3, 48, 192)},
    "sequence": {"input": (8, 576)},
    "silero": {"input": (1, 576), "state": (2, 1, 128)},
}
BLOCK, EDGE, PADDING = 4096, 1024, 256


def options_of(path: Path) -> ConversionOptions:
    """Gives the shapes of a model by its name, and the rate where it is an input."""
    known = [value for key, value in SHAPES.items() if key in path.stem]
    names = {i.name for i in onnx.load(path, load_external_data=False).graph.input}
    shapes = {n: s for n, s in (known[0] if known else {}).items() if n in names}
    return ConversionOptions(shapes=shapes, held={"sr": 16000} if "sr" in names else {})


def convert(path: Path) -> ConversionResult | None:
    """Prints one row for a model; gives the converted one."""
    start = time.perf_counter()
    try:
        result = load(path, options=options_of(path))
    except TightfitError as error:
        print(f"{path.name:38} refused: {error}")
        return None
    seconds = time.perf_counter() - start
    ops = Counter(op.kind for op in result.model.main.ops)
    worst = max(result.differences, key=lambda d: d.largest / max(d.scale, 1e-30))
    row = f"{seconds:6.1f} s {sum(ops.values()):5} ops {ops['TRANSPOSE']:3} TRANSPOSE"
    print(f"{path.name:38} {row}  difference {worst.largest:.1e} of {worst.scale:.1e}", flush=True)
    return result


def features(content: bytes) -> np.ndarray:
    """Gives the 2,048 numbers that magika's model sees of a file: its first and last kilobyte."""
    head, tail = content[:BLOCK].lstrip()[:EDGE], content[-BLOCK:].rstrip()[-EDGE:]
    padded = [*head, *[PADDING] * (EDGE - len(head)), *[PADDING] * (EDGE - len(tail)), *tail]
    return np.asarray([padded], np.int32)


def compare_decisions(source: Path, converted: ConversionResult, folder: Path) -> None:
    """Prints how many files get the same label and the largest difference of a probability."""
    judge = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    files = sorted(p for p in folder.rglob("*") if p.is_file() and 64 < p.stat().st_size < 2**24)
    equal, largest, labels = 0, 0.0, Counter[int]()
    with Session(converted.path, threads=2) as session:
        for path in files:
            sample = features(path.read_bytes())
            (wanted,) = judge.run(None, {"bytes": sample})
            (given,) = session.run({"bytes": sample}).values()
            labels[int(wanted.argmax())] += 1
            equal += int(wanted.argmax()) == int(given.argmax())
            largest = max(largest, float(abs(wanted - given).max()))
    told = f"{equal} of {len(files)} files get the same of {len(labels)} labels"
    print(f"magika: {told}; largest difference {largest:.1e}", flush=True)


def main() -> None:
    """Prints a row a model, then the decisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--files", type=Path)
    arguments = parser.parse_args()
    for path in sorted(arguments.models.rglob("*.onnx")):
        result = convert(path)
        if result is not None and arguments.files and "magika" in str(path):
            compare_decisions(path, result, arguments.files)


if __name__ == "__main__":
    main()
