"""What the samples themselves show: broken, repeated, empty, one-sided, or shared with the evaluation."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from tightfit.diagnosis.doctor.evidence import ERROR, WARNING, Evidence, Finding
from tightfit.units import format_count, format_percent

_REPEATED: Final = 0.05
_FEWEST: Final = 8


def not_finite(evidence: Evidence) -> Finding | None:
    """Samples with NaN or infinity."""
    if not evidence.bad:
        return None
    bad, total = len(evidence.bad), len(evidence.bad) + len(evidence.samples) + evidence.finite
    return Finding(
        "not_finite",
        f"{bad} of {format_count(total, 'sample')} hold NaN or infinity, the first is {evidence.bad[0]}.",
        "Such a sample has no range; calibration must leave it out, and an evaluation fails on it.",
        "Remove the samples, or repair what made them.",
        {"samples": bad, "share": bad / total},
        ERROR,
    )


def duplicates(evidence: Evidence) -> Finding | None:
    """More than a twentieth of the samples are copies of others."""
    count = len(evidence.samples)
    extra = count - len({s.digest for s in evidence.samples})
    if extra < 1 or extra < _REPEATED * count:
        return None
    name = _first_copy(evidence)
    return Finding(
        "duplicates",
        f"{extra} of {count} samples are exact copies of another one, the first is {name}.",
        f"Only {count - extra} different samples calibrate; the ranges are those of fewer samples.",
        "Remove the copies, or choose other samples.",
        {"copies": extra, "different": count - extra, "share": extra / count},
    )


def _first_copy(evidence: Evidence) -> str:
    seen: set[int] = set()
    for sample in evidence.samples:
        if sample.digest in seen:
            return sample.name or f"sample {sample.index}"
        seen.add(sample.digest)
    return ""


def blank(evidence: Evidence) -> Finding | None:
    """Samples in which every value is the same."""
    found = [s for s in evidence.samples if s.is_blank]
    if not found:
        return None
    count = len(evidence.samples)
    first = found[0]
    return Finding(
        "blank",
        f"{len(found)} of {count} samples are blank, all their values equal; the first is "
        f"{first.name or f'sample {first.index}'} with {first.low:g} everywhere.",
        "A blank sample shows no activation that real input causes; it is often an unreadable file.",
        "Remove them, and check how they were read.",
        {"samples": len(found), "share": len(found) / count},
        ERROR if len(found) > count / 2 else WARNING,
    )


def single_class(evidence: Evidence) -> Finding | None:
    """All samples are of one class: by their labels, or without labels by the model's decisions."""
    labels = [s.label for s in evidence.samples if s.label is not None]
    decided = [a.decision for a in evidence.answers]
    by_label = bool(labels)
    seen = labels if by_label else decided
    classes = max(evidence.classes or 0, len(evidence.data_classes or ()))
    if classes < 2 or len(seen) < _FEWEST or len(set(seen)) != 1:
        return None
    which = f"labelled {seen[0]}" if by_label else f"decided as class {seen[0]} by the float model"
    return Finding(
        "single_class",
        f"All {len(seen)} samples are {which}, of {classes} classes.",
        "What the other classes activate was never seen, so their activations will be cut off.",
        "Calibrate with samples of every class, in equal shares.",
        {"samples": len(seen), "classes_seen": 1, "classes": classes},
        ERROR if by_label else WARNING,
    )


def missing_classes(evidence: Evidence) -> Finding | None:
    """More classes are missing than a fair draw of as many samples would miss, by three deviations."""
    labels = {s.label for s in evidence.samples if s.label is not None}
    count = sum(s.label is not None for s in evidence.samples)
    known = max(evidence.classes or 0, len(evidence.data_classes or ()))
    if known < 2 or count < _FEWEST or len(labels) < 2:
        return None
    missed = max(known - len(labels), 0)
    expected = known * (1 - 1 / known) ** count
    if missed < 1 or missed <= expected + 3 * math.sqrt(expected):
        return None
    return Finding(
        "missing_classes",
        f"{missed} of {known} classes have no sample among {count}; a fair draw would miss {expected:.1f}.",
        "What the missing classes activate was never seen, so their activations may be cut off.",
        "Calibrate with samples of every class, in equal shares.",
        {"classes": known, "missing": missed, "expected_missing": expected, "samples": count},
    )


def imbalance(evidence: Evidence) -> Finding | None:
    """One class has most of the samples: half of them, or nine in ten of two classes."""
    counts = Counter(s.label for s in evidence.samples if s.label is not None)
    known = max(evidence.classes or 0, len(evidence.data_classes or ()))
    total = counts.total()
    if known < 2 or total < _FEWEST or len(counts) < 2:
        return None
    label, most = counts.most_common(1)[0]
    if most < min(0.9, max(0.5, 3 / known)) * total:
        return None
    return Finding(
        "imbalance",
        f"{format_percent(most / total)} of {total} samples are of class {label}, of {known} classes.",
        "The ranges are those of one class; observers that average will cut the others off.",
        "Calibrate with samples of every class, in equal shares.",
        {"share": most / total, "classes": known, "samples": total},
    )


def overlap(evidence: Evidence) -> Finding | None:
    """Samples that calibrate and evaluate."""
    held = evidence.held_out
    if held is None or not (held.shared or held.copies):
        return None
    both = (
        f"{held.shared} samples are in both lists"
        if held.shared
        else f"{held.copies} of {held.samples} evaluation samples are exact copies of calibration samples"
    )
    return Finding(
        "overlap",
        f"{both[0].upper()}{both[1:]}.",
        "The accuracy of the quantized model is measured on samples that its ranges were fitted to.",
        "Take the evaluation samples from elsewhere, or let tightfit split the data.",
        {"shared": held.shared, "copies": held.copies, "evaluation_samples": held.samples},
    )
