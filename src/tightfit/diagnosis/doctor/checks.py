"""Is this data fit to calibrate with? The table of checks over what was seen of model and samples.

A check is one function and one row of ``CHECKS``. ``doctor.examine`` collects the evidence by running
the float model; ``sample_log`` that part of it which needs no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tightfit.diagnosis.doctor import input_checks, label_checks, range_checks, sample_checks, slice_checks
from tightfit.diagnosis.doctor.evidence import ERROR, WARNING, Evidence, Finding
from tightfit.units import format_count

__all__ = ["CHECKS", "ERROR", "WARNING", "DoctorCheck", "Evidence", "Finding", "diagnose"]


@dataclass(frozen=True)
class DoctorCheck:
    """One row: what is looked for, and the function that gives the finding or None.

    Args:
        summary: one line for people.
        fewest: samples from which on it can find something.
        by_labels: whether these must have labels.
    """

    kind: str
    look: Callable[[Evidence], Finding | None]
    summary: str
    fewest: int = 1
    by_labels: bool = False


CHECKS: Final[dict[str, DoctorCheck]] = {
    row.kind: row
    for row in (
        DoctorCheck("not_finite", sample_checks.not_finite, "samples with NaN or infinity"),
        DoctorCheck("bad_output", range_checks.bad_output, "the float model answers NaN or infinity"),
        DoctorCheck(
            "input_range",
            input_checks.input_range,
            "values in another range than the model needs",
            input_checks.FEWEST,
        ),
        DoctorCheck(
            "channel_order", input_checks.channel_order, "colours in the wrong order", input_checks.FEWEST
        ),
        DoctorCheck("inverted", input_checks.inverted, "light for dark", input_checks.FEWEST, by_labels=True),
        DoctorCheck("constant_output", range_checks.constant_output, "an output that ignores the input", 2),
        DoctorCheck(
            "saturated_output", range_checks.saturated_output, "answers at the ends of their range only", 8
        ),
        DoctorCheck("shifted_labels", label_checks.shifted_labels, "labels off by one", 20, by_labels=True),
        DoctorCheck(
            "permuted_labels", label_checks.permuted_labels, "classes in another order", 12, by_labels=True
        ),
        DoctorCheck(
            "random_labels",
            label_checks.random_labels,
            "labels that do not belong to the samples",
            20,
            by_labels=True,
        ),
        DoctorCheck("outlier_sample", range_checks.outlier_sample, "one sample sets many ranges", 8),
        DoctorCheck("single_class", sample_checks.single_class, "samples of one class", 8),
        DoctorCheck(
            "missing_classes", sample_checks.missing_classes, "classes without a sample", 8, by_labels=True
        ),
        DoctorCheck(
            "imbalance", sample_checks.imbalance, "one class has most of the samples", 8, by_labels=True
        ),
        DoctorCheck("duplicates", sample_checks.duplicates, "copies among the samples"),
        DoctorCheck("blank", sample_checks.blank, "samples with one value everywhere"),
        DoctorCheck("few_samples", range_checks.few_samples, "ranges that still move with more samples"),
        DoctorCheck("mixed_units", slice_checks.mixed_units, "input columns that share no scale"),
        DoctorCheck("mixed_outputs", slice_checks.mixed_outputs, "parts of an output that share no scale"),
        DoctorCheck("dead_slices", slice_checks.dead_slices, "entries of an output that never change"),
        DoctorCheck("labels_ignored", slice_checks.labels_ignored, "labels that nothing is compared with"),
        DoctorCheck("few_for_budget", slice_checks.few_for_budget, "too few samples to show a small loss"),
        DoctorCheck("dead_channels", range_checks.dead_channels, "channels that never change"),
        DoctorCheck(
            "beyond_calibration", range_checks.beyond_calibration, "evaluation leaves the calibrated ranges"
        ),
        DoctorCheck("overlap", sample_checks.overlap, "samples that calibrate and evaluate"),
    )
}
"""Kind → check, the gravest first."""


def not_looked_for(samples: int, labelled: int) -> str:
    """Return what so few samples cannot show, in a sentence, "" where they show everything.

    Args:
        samples: how many were examined.
        labelled: of these, how many have a class as label.

    Example:
        >>> not_looked_for(300, 300)
        ''
        >>> not_looked_for(6, 0)[:67]
        'With 6 samples the doctor cannot find saturated_output, outlier_sam'
    """
    if not samples:
        return ""
    sentences = []
    for count, what, rows in (
        (samples, "sample", [c for c in CHECKS.values() if not c.by_labels]),
        (labelled, "label", [c for c in CHECKS.values() if c.by_labels and labelled]),
    ):
        kinds: dict[int, list[str]] = {}
        for row in rows:
            if row.fewest > count:
                kinds.setdefault(row.fewest, []).append(row.kind)
        if kinds:
            listed = ", ".join(f"{_all(names)} (from {n})" for n, names in sorted(kinds.items()))
            sentences.append(f"With {format_count(count, what)} the doctor cannot find {listed}.")
    return " ".join(sentences)


def _all(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def diagnose(evidence: Evidence) -> list[Finding]:
    """Return what is wrong, errors before warnings, in the order of the table.

    Example:
        >>> [f.kind for f in diagnose(Evidence(bad=["sample 3"]))]
        ['not_finite']
    """
    found = [finding for check in CHECKS.values() if (finding := check.look(evidence)) is not None]
    return sorted(found, key=lambda finding: finding.severity != ERROR)
