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

__all__ = ["CHECKS", "ERROR", "WARNING", "DoctorCheck", "Evidence", "Finding", "diagnose"]


@dataclass(frozen=True)
class DoctorCheck:
    """One row: what is looked for, and the function that gives the finding or None.

    Args:
        summary: one line for people.
    """

    kind: str
    look: Callable[[Evidence], Finding | None]
    summary: str


CHECKS: Final[dict[str, DoctorCheck]] = {
    row.kind: row
    for row in (
        DoctorCheck("not_finite", sample_checks.not_finite, "samples with NaN or infinity"),
        DoctorCheck("bad_output", range_checks.bad_output, "the float model answers NaN or infinity"),
        DoctorCheck("input_range", input_checks.input_range, "values in another range than the model needs"),
        DoctorCheck("channel_order", input_checks.channel_order, "colours in the wrong order"),
        DoctorCheck("inverted", input_checks.inverted, "light for dark"),
        DoctorCheck("constant_output", range_checks.constant_output, "an output that ignores the input"),
        DoctorCheck(
            "saturated_output", range_checks.saturated_output, "answers at the ends of their range only"
        ),
        DoctorCheck("shifted_labels", label_checks.shifted_labels, "labels off by one"),
        DoctorCheck("permuted_labels", label_checks.permuted_labels, "classes in another order"),
        DoctorCheck("random_labels", label_checks.random_labels, "labels that do not belong to the samples"),
        DoctorCheck("outlier_sample", range_checks.outlier_sample, "one sample sets many ranges"),
        DoctorCheck("single_class", sample_checks.single_class, "samples of one class"),
        DoctorCheck("missing_classes", sample_checks.missing_classes, "classes without a sample"),
        DoctorCheck("imbalance", sample_checks.imbalance, "one class has most of the samples"),
        DoctorCheck("duplicates", sample_checks.duplicates, "copies among the samples"),
        DoctorCheck("blank", sample_checks.blank, "samples with one value everywhere"),
        DoctorCheck("few_samples", range_checks.few_samples, "ranges that still move with more samples"),
        DoctorCheck("mixed_units", slice_checks.mixed_units, "input columns that share no scale"),
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


def diagnose(evidence: Evidence) -> list[Finding]:
    """Return what is wrong, errors before warnings, in the order of the table.

    Example:
        >>> [f.kind for f in diagnose(Evidence(bad=["sample 3"]))]
        ['not_finite']
    """
    found = [finding for check in CHECKS.values() if (finding := check.look(evidence)) is not None]
    return sorted(found, key=lambda finding: finding.severity != ERROR)
