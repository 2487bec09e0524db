"""Outputs of models on emulated ARM cores beside those of this computer, in each scheme.

    bash bench/arm_emulator.sh FOLDER; export TIGHTFIT_ARM=FOLDER
    python bench/arm.py MODEL.tflite … [--schemes int8,int8x4] [--cores cortex-a53,i8mm] [--samples 2]
    python bench/arm.py --sparse PRUNED.tflite …

A row is a file: "=" where all outputs are equal to the bit, else the largest difference, in steps of integer
outputs or as a fraction of a float output's range, and the share of values that differ. "?": integers differ
by more than ``optimize`` and ``verify`` say before the file ships. "verify" replays the file's record on the
core: "!" where it fails. Times of an emulator mean nothing, so none is printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

from machine import describe_machine
from tightfit.api.quantize import quantize
from tightfit.data.sample import Sample
from tightfit.errors import TightfitError
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.provenance.replay import replay
from tightfit.provenance.tolerance import processor_tolerance
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.emulator import CORES, find_emulator
from tightfit.runtime.native.op_profile import op_kinds
from tightfit.targets.places.place import find_place
from tightfit.targets.places.place_difference import PlaceDifference, place_difference
from tightfit.targets.tools.agreement import noise_inputs

SCHEMES = "float32,float16,weight8,dynamic,weight4,int8,int8x4,int16x8"


def main() -> int:
    """Print a row for each file, and the counts; exit code 1 where integers differ untold or verify fails."""
    options = _options()
    print(f"{describe_machine()}\n")
    if options.sparse:
        return _sparse(options.sparse, options.cores.split(","))
    cores, failures, untold, rows = options.cores.split(","), 0, 0, 0
    print(f"{'model':<32} {'scheme':<8} " + " ".join(f"{core:<22}" for core in cores))
    with tempfile.TemporaryDirectory() as folder:
        for path, scheme in itertools.product(options.models, options.schemes.split(",")):
            file = _written(path, scheme, options, Path(folder))
            if file is None:
                continue
            words, told = [], processor_tolerance(read_model(file)).steps
            for core in cores:
                found = place_difference(
                    file, find_place(f"arm:{core}"), list(_samples(file, options.samples))
                )
                verified = scheme == "float32" or _verified(file, core)
                more = bool(found.failure) or (found.steps is not None and found.steps > told)
                failures, untold = failures + (not verified), untold + more
                words.append(_cell(found) + ("?" if more else "") + ("" if verified else "!"))
            rows += 1
            print(
                f"{path.stem[:32]:<32} {scheme:<8} " + " ".join(f"{word:<22}" for word in words), flush=True
            )
    print(f"\n{rows} files on {len(cores)} cores: verify fails {failures} times, {untold} differ untold")
    return int(failures + untold > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--schemes", default=SCHEMES)
    parser.add_argument("--cores", default=",".join(CORES))
    parser.add_argument("--layout", default="cpu")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--sparse", nargs="+", type=Path, help="pruned files whose kernels are counted")
    return parser.parse_args()


def _samples(path: Path, count: int) -> Iterator[Sample]:
    model = read_model(path)
    for seed in range(count):
        yield Sample(dict(zip(input_names(model), noise_inputs(model, seed), strict=True)))


def _written(path: Path, scheme: str, options: argparse.Namespace, folder: Path) -> Path | None:
    """The model in a scheme, calibrated with noise; None where it cannot be made."""
    if scheme == "float32":
        return path
    made = folder / f"{path.stem}.{scheme}.tflite"
    data = [s.inputs for s in _samples(path, 4)] if find_scheme(scheme).needs_data else None
    layout = "npu" if scheme == "int16x8" else options.layout
    try:
        quantize(path, scheme, made, data=data, layout=layout, effort=0, progress=False)
    except TightfitError as error:
        print(f"{path.stem[:32]:<32} {scheme:<8} not made: {str(error)[:80]}")
        return None
    return made


def _verified(file: Path, core: str) -> bool:
    """True when the record of a file is within what its arithmetic allows on a core."""
    return replay(file, on=find_emulator(core)).within()


def _cell(found: PlaceDifference) -> str:
    if found.failure:
        return found.failure[:20]
    if found.equal:
        return "="
    most = f"{found.relative:.0e}" if found.steps is None else f"{found.steps:g} steps"
    return f"{most}, {found.share:.1%}"


def _sparse(files: Sequence[Path], cores: Sequence[str]) -> int:
    """Print the kernels of XNNPACK that skip zeros, on each core."""
    lacking = 0
    for path, core in itertools.product(files, cores):
        kinds = Counter(kind for kind, inside in op_kinds(path, find_emulator(core)) if inside)
        sparse = sum(count for kind, count in kinds.items() if "SPMM" in kind)
        lacking += not sparse
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        print(f"{path.stem[:32]:<32} {core:<12} {sparse} SPMM of {sum(kinds.values())} ops: {told}")
    return int(lacking > 0)


if __name__ == "__main__":
    sys.exit(main())
