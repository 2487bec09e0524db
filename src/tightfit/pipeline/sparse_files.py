"""Writes a model's zeros sparsely, and proves on LiteRT that the file computes what the dense one does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.compression.sparsity.sparse_storage import StoredLayer, store_sparse
from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import stamp_version
from tightfit.quantization.checking import snr_db
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session
from tightfit.units import format_bytes, format_count

_SAME_DB: Final = 70.0
"""A kernel that skips zeros adds the same products in another order: float32 rounding is at about 120 dB."""
_SAME_STEPS_DB: Final = 30.0
"""An integer kernel that skips zeros may round a step apart from the dense one: about 40 dB and more."""

_ATTEMPTS: Final[tuple[tuple[bool, frozenset[str]], ...]] = (
    (True, frozenset()),
    (False, frozenset()),
    (False, frozenset({"FULLY_CONNECTED"})),
)
"""(feed FULLY_CONNECTED directly, kinds that stay dense), the best first; the last resort is all dense."""


@dataclass
class SparseFile:
    """A written file.

    Args:
        layers: how each constant with many zeros is stored; none when the file stayed dense.
        snr_db: of its outputs against the same model stored densely, infinite when they are equal.
        notes: what was given up, and why.
    """

    path: Path
    layers: list[StoredLayer]
    snr_db: float
    notes: list[str] = field(default_factory=list)


def write_sparse(model: Model, output: Path) -> SparseFile:
    """Writes the smallest sparse file of a model that LiteRT runs like the dense one.

    Args:
        model: dense, of any scheme; left as it is. A provenance that it has goes into the file: the answers
            are the same.

    Raises:
        ModelError: the output cannot be written. RuntimeFailureError: LiteRT does not run even the dense
            model.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".tightfit-") as folder:
            return _first_that_runs(model, output, Path(folder))
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {error.strerror}. Choose a writable place.") from error


def leave_zeros_out(path: Path) -> list[str]:
    """Writes a dense file anew without its zeros where that makes it smaller; says what came of it.

    Raises:
        ModelError: the file cannot be written. RuntimeFailureError: LiteRT does not run it.
    """
    before = path.stat().st_size
    written = write_sparse(read_model(path), path)
    sparse = [layer for layer in written.layers if layer.form != "dense"]
    if not sparse:
        return ["No gain in bytes on disk: no sparse form of any weight is smaller.", *written.notes]
    sizes = f"{format_bytes(before)} → {format_bytes(path.stat().st_size)}"
    return [f"{format_count(len(sparse), 'weight')} stored without their zeros, {sizes}", *written.notes]


def _first_that_runs(model: Model, output: Path, folder: Path) -> SparseFile:
    dense = folder / "dense.tflite"
    plain = copy_model(model)
    stamp_version(plain)
    write_model(plain, dense)
    sample, expected = _answers(dense)
    notes: list[str] = []
    for feed, leave in _ATTEMPTS:
        twin, trial = copy_model(model), folder / output.name
        layers = store_sparse(twin, feed=feed, leave=leave)
        if not any(layer.form != "dense" for layer in layers):
            break
        stamp_version(twin)
        write_model(twin, trial)
        try:
            least = _SAME_STEPS_DB if any(x.fed and x.integer for x in layers) else _SAME_DB
            likeness = _likeness(trial, sample, expected, least)
        except RuntimeFailureError as error:
            notes.append(f"a sparse layout was given up: {error}".replace(f"{folder}/", ""))
            continue
        trial.replace(output)
        return SparseFile(output, layers, likeness, notes)
    dense.replace(output)
    notes.append("stored densely: no sparse form of any weight is smaller and runs on LiteRT")
    return SparseFile(output, [], float("inf"), notes)


def _answers(path: Path) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    with Session(path, threads=2) as session:
        sample = random_sample(session.inputs)
        return sample, session.run(sample)


def _likeness(path: Path, sample: Mapping[str, Array], expected: Mapping[str, Array], least: float) -> float:
    """The signal-to-noise of a file's outputs against the expected ones.

    Raises:
        RuntimeFailureError: LiteRT refuses the file, or it computes something else.
    """
    with Session(path, threads=2) as session:
        outputs = session.run(sample)
    broken = [n for n, v in outputs.items() if v.shape != expected[n].shape or _more_nan(v, expected[n])]
    likeness = snr_db(outputs, expected)
    if broken or likeness < least:
        raise RuntimeFailureError(f"'{path.name}' computes something else ({likeness:.0f} dB)")
    return likeness


def _more_nan(values: Array, expected: Array) -> bool:
    return values.dtype.kind == "f" and bool((np.isnan(values) & ~np.isnan(expected)).any())
