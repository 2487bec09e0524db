"""The calibration doctor in passing: what ``quantize`` and ``optimize`` say about the data they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tightfit.data.dataset import Dataset
from tightfit.diagnosis.doctor.checks import diagnose
from tightfit.diagnosis.doctor.evidence import Finding
from tightfit.diagnosis.doctor.examine import examine, look
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import TightfitError
from tightfit.pipeline.source import Source
from tightfit.quantization.calibration.calibrate import Calibration
from tightfit.recovery.slices.input_remedies import COLUMNS, PIECES
from tightfit.types import Array

_OF_FEW: Final = frozenset(
    {"input_range", "channel_order", "inverted", "bad_output", "constant_output", "saturated_output"}
)
"""Findings that a few samples prove as well as many."""

Indices = Sequence[int] | Array


def quick_check(source: Source, log: SampleLog, seen: Calibration, remedies: Sequence[str] = ()) -> list[str]:
    """Return what is wrong with calibration samples as notes; other readings of some of them are tried.

    Args:
        source: the float model.
        log: has watched the samples go by.
        seen: what calibration kept of the samples.
        remedies: notes of the file that was made; a finding that one of them settles has no fix any more.
    """
    found = diagnose(log.evidence())
    try:
        found += [f for f in diagnose(look(source, log, seen)) if f.kind in _OF_FEW]
    except TightfitError as error:
        return [*notes_of(found, remedies), f"doctor: could not run the float model: {error}"]
    return notes_of(found, remedies)


def full_check(
    source: Source,
    calibration: tuple[Dataset, Indices],
    evaluation: tuple[Dataset, Indices],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Return everything that the doctor finds as notes; a failure is one, too."""
    (dataset, used), (others, rest) = calibration, evaluation
    try:
        found = examine(source, dataset, used, rest, evaluation_set=others, progress=progress)
    except TightfitError as error:
        return [f"doctor: could not run the float model: {error}"]
    return notes_of(found)


def notes_of(findings: Sequence[Finding], remedies: Sequence[str] = ()) -> list[str]:
    """Return each finding as one line: what and how to mend it.

    Example:
        >>> notes_of([Finding("blank", "3 are blank.", "No value.", "Leave them out.", {}, "warning")])
        ['doctor: 3 are blank. Fix: Leave them out. (blank)']
    """
    return [_settled(f, remedies) or f"doctor: {f.what} Fix: {f.fix} ({f.kind})" for f in findings]


def _settled(finding: Finding, remedies: Sequence[str]) -> str:
    """A sentence where a remedy has settled a finding; "" where none has."""
    name = finding.what.partition(" of input '")[2].partition("' varies")[0]
    if finding.kind != "mixed_units" or not name:
        return ""
    for note in remedies:
        way = next((w for w in (PIECES, COLUMNS) if w in note), None)
        named = f"'{name}'" in note or f"'{name}[" in note
        if way is not None and named and ": given up" not in note:
            return f"doctor: columns of different units in input '{name}': solved, {way}. ({finding.kind})"
    return ""
