"""Write a model with sparse weights, and check on LiteRT that it computes the same as the dense file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.compression.sparsity.sparse_storage import StoredLayer, store_sparse
from tightfit.errors import RuntimeFailureError
from tightfit.files import checked_write
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signature_models import share_equal_constants
from tightfit.graph.writer import write_model
from tightfit.pipeline.write import stamp_version
from tightfit.quantization.checking import snr_db
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session
from tightfit.types import Array
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
"""(FULLY_CONNECTED reads sparse weights, kinds that remain dense), the best first; the last is all dense."""


@dataclass
class SparseFile:
    """A written file.

    Args:
        path: the file.
        layers: how each constant with many zeros is stored; empty when the file is dense.
        snr_db: signal-to-noise ratio of its outputs against the dense model, in dB; infinite when equal.
        notes: the forms that were not used, with the reason.
    """

    path: Path
    layers: list[StoredLayer]
    snr_db: float
    notes: list[str] = field(default_factory=list)


def write_sparse(model: Model, output: Path) -> SparseFile:
    """Write the smallest sparse file of a model that LiteRT runs like the dense one.

    Args:
        model: a dense model of any scheme; it is not changed. Its provenance record is copied to the file,
            because the outputs are equal.
        output: the file to write.

    Raises:
        ModelError: the output cannot be written.
        RuntimeFailureError: LiteRT cannot run the dense model either.
    """
    with checked_write(output) as trial:
        return _first_that_runs(model, output, trial)


def leave_zeros_out(path: Path) -> list[str]:
    """Replace a dense file by a sparse one where that is smaller, and return sentences about the result.

    Raises:
        ModelError: the file cannot be written.
        RuntimeFailureError: LiteRT cannot run the file.
    """
    before = path.stat().st_size
    written = write_sparse(read_model(path), path)
    sparse = [layer for layer in written.layers if layer.form != "dense"]
    if not sparse:
        return ["No gain in bytes on disk: no sparse form of any weight is smaller.", *written.notes]
    sizes = f"{format_bytes(before)} → {format_bytes(path.stat().st_size)}"
    return [f"{format_count(len(sparse), 'weight')} stored without their zeros, {sizes}", *written.notes]


def _first_that_runs(model: Model, output: Path, trial: Path) -> SparseFile:
    dense = trial.with_name(f"dense-{trial.name}")
    plain = copy_model(model)
    stamp_version(plain)
    write_model(plain, dense)
    sample, expected = _answers(dense)
    notes: list[str] = []
    for feed, leave in _ATTEMPTS:
        twin = copy_model(model)
        layers = store_sparse(twin, feed=feed, leave=leave)
        if not any(layer.form != "dense" for layer in layers):
            break
        if len(twin.graphs) > 1:
            share_equal_constants(twin)
        stamp_version(twin)
        write_model(twin, trial)
        try:
            least = _SAME_STEPS_DB if any(x.fed and x.integer for x in layers) else _SAME_DB
            likeness = _likeness(trial, sample, expected, least)
        except RuntimeFailureError as error:
            notes.append(f"a sparse layout was given up: {error}")
            continue
        return SparseFile(output, layers, likeness, notes)
    dense.replace(trial)
    notes.append("stored densely: no sparse form of any weight is smaller and runs on LiteRT")
    return SparseFile(output, [], float("inf"), notes)


def _answers(path: Path) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    with Session(path, threads=2) as session:
        sample = random_sample(session.inputs)
        return sample, session.run(sample)


def _likeness(path: Path, sample: Mapping[str, Array], expected: Mapping[str, Array], least: float) -> float:
    """The signal-to-noise of a file's outputs against the expected ones.

    Raises:
        RuntimeFailureError: LiteRT refuses the file, or its outputs differ.
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
