"""The calibration doctor in passing: what ``quantize`` and ``optimize`` say about the data they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Array
from tightfit.diagnosis.doctor.checks import diagnose
from tightfit.diagnosis.doctor.evidence import Finding
from tightfit.diagnosis.doctor.examine import examine
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import TightfitError
from tightfit.pipeline.quantize_file import Source

GLANCED: Final = 24
"""Samples that a quick_check runs through the float model."""

_OF_FEW: Final = frozenset(
    {"input_range", "channel_order", "inverted", "bad_output", "constant_output", "saturated_output"}
)
"""Findings that a few samples prove as well as many."""

Indices = Sequence[int] | Array


def quick_check(source: Source, dataset: Dataset, indices: Indices | None, log: SampleLog) -> list[str]:
    """Gives what is wrong with calibration samples as notes, for the price of some 100 runs of the model.

    Args:
        indices: the samples that calibrate, None for all. log: has watched them go by.
    """
    every = np.arange(len(dataset)) if indices is None else np.unique(np.asarray(indices, np.int64))
    few = every[np.unique(np.linspace(0, len(every) - 1, min(len(every), GLANCED)).astype(int))]
    found = diagnose(log.evidence())
    try:
        found += [f for f in examine(source, dataset, few) if f.kind in _OF_FEW]
    except TightfitError as error:
        return [*notes_of(found), f"doctor: could not run the float model: {error}"]
    return notes_of(found)


def full_check(
    source: Source,
    calibration: tuple[Dataset, Indices],
    evaluation: tuple[Dataset, Indices],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Gives everything that the doctor finds as notes; a failure is one, too."""
    (dataset, used), (others, rest) = calibration, evaluation
    try:
        found = examine(source, dataset, used, rest, evaluation_set=others, progress=progress)
    except TightfitError as error:
        return [f"doctor: could not run the float model: {error}"]
    return notes_of(found)


def notes_of(findings: Sequence[Finding]) -> list[str]:
    """Gives each finding as one line: what and how to mend it.

    Example:
        >>> notes_of([Finding("blank", "3 are blank.", "No value.", "Leave them out.", {}, "warning")])
        ['doctor: 3 are blank. Fix: Leave them out. (blank)']
    """
    return [f"doctor: {f.what} Fix: {f.fix} ({f.kind})" for f in findings]
