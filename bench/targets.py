"""Holds tightfit's verdicts against the targets' own tools: op by op with vela, as a whole with tflite-micro.

    bench/targets.py [MODEL.tflite …] [--targets ethos-u55-128,ethos-u85-256,micro] [--versions int8,mixed]

Each model is taken as it is and written as float16, dynamic, int8, int16x8 and mixed (some ops otherwise).
A row says how many ops run on the accelerator by our verdict and by the tool, and which differ. Exit code 1
when any differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from machine import describe_machine
from tightfit.demo import MODEL
from tightfit.errors import ModelError, TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.ethos_u import compile_ethos_u
from tightfit.targets.tools.micro import run_micro

SHARED = Path(__file__).parents[2] / "shared" / "models"
TARGETS = "ethos-u55-128,ethos-u65-256,ethos-u85-256,micro"
VERSIONS = "as-is,float16,dynamic,int8,int16x8,mixed"
MIXED = (
    ("DEPTHWISE_CONV_2D", "float"), ("SOFTMAX", "float"), ("MAX_POOL_2D", "int16x8"), ("ADD", "int16x8"),
    ("LEAKY_RELU", "float"), ("FULLY_CONNECTED", "int16x8"), ("TRANSPOSE", "float"),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model, version and target: (graph, index) of the ops that differ, and counts."""

    ops: int
    ours: str
    theirs: str
    differs: tuple[str, ...]


def main() -> int:
    """Prints the table."""
    options = _options()
    print(f"{describe_machine()}\n")
    print(f"{'model':<38} {'version':<9} {'target':<15} {'ops':>4} {'ours':>8} {'tool':>8}  differences")
    rows = []
    for path in options.models or [MODEL, *sorted(SHARED.glob("*.tflite"))]:
        for version, model in _versions(path, options.versions.split(",")):
            for target in options.targets.split(","):
                row = _compare(model, target)
                rows.append(row)
                differences = "; ".join(row.differs) or "none"
                cells = f"{row.ops:>4} {row.ours:>8} {row.theirs:>8}  {differences}"
                print(f"{path.stem[:38]:<38} {version:<9} {target:<15} {cells}", flush=True)
    wrong = sum(bool(row.differs) for row in rows)
    print(f"\n{len(rows)} verdicts, {sum(r.ops for r in rows)} ops; {wrong} verdicts differ from the tool's")
    return int(wrong > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--targets", default=TARGETS)
    parser.add_argument("--versions", default=VERSIONS)
    return parser.parse_args()


def _versions(path: Path, names: list[str]) -> Iterator[tuple[str, Model]]:
    """The model in each version that tightfit makes of it; what it refuses is said."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = path if name == "as-is" else _quantized(path, name, Path(folder) / "made.tflite")
                yield name, read_model(made)
            except TightfitError as error:
                print(f"{path.stem[:38]:<38} {name:<9} not made: {str(error)[:100]}", flush=True)


def _quantized(path: Path, version: str, output: Path) -> Path:
    model, random = read_model(path), np.random.default_rng(0)
    samples = [
        {n: random.standard_normal(t.shape).astype(t.dtype) for n, t in input_names(model).items()}
        for _ in range(2)
    ]
    kinds = {op.kind for graph in model.graphs for op in graph.ops}
    overrides = [row for row in MIXED if row[0] in kinds] if version == "mixed" else []
    scheme = "int8" if version == "mixed" else version
    wants = version in ("int8", "int16x8", "mixed")
    quantize_file(path, scheme, output, samples if wants else None, overrides=overrides, layout="npu")
    return output


def _compare(model: Model, target: str) -> Row:
    verdict = check(model, target)
    ops = len(verdict.placements)
    if target == "micro":
        run = run_micro(model)
        words = ("runs" if verdict.runs else "no", "runs" if run.runs else "no")
        return Row(ops, *words, (run.reason or "it runs",) if verdict.runs != run.runs else ())
    own = {(p.graph, p.index) for p in verdict.placements if p.accelerated}
    ours = "refused" if verdict.refused else str(len(own))
    try:
        compiled = compile_ethos_u(model, find_target(target))
    except ModelError as error:
        return Row(ops, ours, "refused", () if verdict.refused else (str(error)[:120],))
    theirs = str(len(compiled.npu_ops))
    if verdict.refused:
        return Row(ops, ours, theirs, (verdict.refused,))
    names = {(p.graph, p.index): f"{p.kind} #{p.index}" for p in verdict.placements}
    return Row(ops, ours, theirs, tuple(names[place] for place in sorted(own ^ compiled.npu_ops)))


if __name__ == "__main__":
    sys.exit(main())
