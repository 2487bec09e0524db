"""Entries of inputs and outputs that one integer scale cannot hold, and what the data cannot show."""

from __future__ import annotations

import math
from typing import Final

from tightfit.diagnosis.doctor.evidence import ERROR, WARNING, Evidence, Finding
from tightfit.units import format_count, format_percent

BUDGET: Final = 0.01
"""The accuracy that ``optimize`` lets a file lose by default."""

_NAMED: Final = 4
_MISSED: Final = 0.05


def mixed_units(evidence: Evidence) -> Finding | None:
    """An input with columns of different units: one integer scale rounds the small ones away."""
    for name, columns in evidence.columns.items():
        poor = columns.poor()
        if not poor.any():
            continue
        places = [i for i, is_poor in enumerate(poor) if is_poor]
        first = places[0]
        step = (max(float(columns.high.max()), 0.0) - min(float(columns.low.min()), 0.0)) / 255
        shown = ", ".join(map(str, places[:_NAMED])) + (" …" if len(places) > _NAMED else "")
        return Finding(
            "mixed_units",
            f"Column {shown} of input '{name}' varies by {columns.deviation[first]:.3g} "
            f"({columns.low[first]:.4g} … {columns.high[first]:.4g}), while one int8 step is {step:.3g}.",
            "One integer scale serves all columns of an input, so these are rounded away.",
            "Quantize with float inputs: the columns are then brought to one size in float. With --target "
            "of an integer device, columns of one unit become inputs of their own. Or normalize each column "
            "before the model, (x - mean) / deviation.",
            {"columns": len(places), "step": step, "deviation": float(columns.deviation[first])},
            ERROR,
        )
    return None


def mixed_outputs(evidence: Evidence) -> Finding | None:
    """An output with parts of different units: one integer scale rounds the small ones away."""
    found = next((o for o in evidence.outputs if o.crushed is not None), None)
    if found is None or found.crushed is None:
        return None
    count, first, span, step = found.crushed
    return Finding(
        "mixed_outputs",
        f"{count} entries of output '{found.name}' vary by less than ten int8 steps of the whole output: "
        f"entry {first} by {span:.3g}, while one step is {step:.3g}.",
        "One integer scale serves a whole output, so these are rounded away.",
        "Quantize with samples: remedies are tried, and a slice that stays lost or weak is named. Or give "
        "the parts as outputs of their own.",
        {"entries": count, "span": span, "step": step},
    )


def dead_slices(evidence: Evidence) -> Finding | None:
    """Entries of an output of the float model that never change."""
    found = [o for o in evidence.outputs if 0 < o.dead < o.entries]
    if not found or len({s.digest for s in evidence.samples}) < 2:
        return None
    worst = max(found, key=lambda o: o.dead / o.entries)
    return Finding(
        "dead_slices",
        f"{worst.dead} of {worst.entries} entries of the last axis of output '{worst.name}' have one value "
        f"in all {format_count(worst.samples, 'sample')}.",
        "What these entries mean cannot be calibrated nor compared: a file that ruins them looks as good.",
        "Add samples in which they change; if the model never uses them, nothing is wrong.",
        {"dead": worst.dead, "entries": worst.entries, "samples": worst.samples},
    )


def labels_ignored(evidence: Evidence) -> Finding | None:
    """Labels that no output of the model can be compared with."""
    if not evidence.has_labels or evidence.classes is not None or not evidence.outputs:
        return None
    names = ", ".join(f"'{o.name}'" for o in evidence.outputs[:_NAMED])
    return Finding(
        "labels_ignored",
        f"The data has labels, but no output ({names}) gives one row of class scores, so the doctor did not "
        "compare them.",
        "Wrong, shifted or exchanged labels would not be found here.",
        "Measure the float model with 'tightfit evaluate' and the metric of the task.",
        {"samples": len(evidence.samples)},
    )


def few_for_budget(evidence: Evidence) -> Finding | None:
    """Fewer evaluation samples than show that at most one point is lost, where decisions are counted."""
    if evidence.has_labels and evidence.data_classes is None:
        return None  # the labels are no classes: a loss is an amount, not a share
    count = evidence.evaluation_samples
    needed = math.ceil(math.log(_MISSED) / math.log(1 - BUDGET))
    if count is None or not 0 < count < needed or evidence.classes is None:
        return None
    unseen = 1 - _MISSED ** (1 / count)
    return Finding(
        "few_for_budget",
        f"{format_count(count, 'sample')} are left to evaluate with. Even without one changed decision, "
        f"a loss of {format_percent(unseen)} stays possible (95 % confidence).",
        f"That a file loses at most {format_percent(BUDGET, 0)} is not shown by so few.",
        f"Evaluate with at least {needed} samples, or allow a larger loss.",
        {"samples": count, "needed": needed, "unseen": unseen},
        WARNING,
    )


def power(samples: int, labelled: int) -> str:
    """Return what an examination of so many samples could not have seen, in one or two sentences.

    Example:
        >>> power(100, 0)[:68]
        '100 samples were examined: a fault that fewer than 3.0 % of the data'
    """
    if not samples:
        return "No sample was examined."
    share = format_percent(1 - _MISSED ** (1 / samples))
    words = (
        f"{format_count(samples, 'sample')} were examined: a fault that fewer than {share} of the data has "
        "may not be among them (95 % confidence)."
    )
    if labelled:
        return words
    return (
        f"{words} Without labels, wrong preprocessing shows only where it changes how sure or how various "
        "the answers are."
    )
