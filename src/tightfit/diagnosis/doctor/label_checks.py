"""What the labels show beside the float model's decisions: shifted, in another order, or random."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Final

from tightfit.diagnosis.doctor.evidence import ERROR, Evidence, Finding, ModelAnswer
from tightfit.diagnosis.doctor.input_checks import better_labelled
from tightfit.units import format_percent

_FEWEST: Final = 20
_PER_CLASS: Final = 4
_MAPPED: Final = 0.6
_SURE: Final = 0.5
_FAR: Final = 0.7


def shifted_labels(evidence: Evidence) -> Finding | None:
    """Labels that fit far better one higher or one lower."""
    shift = evidence.shift
    if shift is None:
        return None
    verb = "Add one to" if shift.by > 0 else "Subtract one from"
    return Finding(
        "shifted_labels",
        f"The float model is right on {shift.plain} of {shift.count} samples as they are labelled, on "
        f"{shift.hits} with label {shift.by:+d}.",
        "Every accuracy would be measured against the wrong class; a background class in front does this.",
        f"{verb} every label.",
        {"hits": shift.hits, "hits_as_labelled": shift.plain, "samples": shift.count, "shift": shift.by},
        ERROR,
    )


def permuted_labels(evidence: Evidence) -> Finding | None:
    """Labels that predict the decision, but not the same class: the classes stand in another order."""
    pairs = evidence.labelled()
    decided: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for label, answer in pairs:
        decided[label][answer.decision] += 1
    often = {k: c for k, c in decided.items() if c.total() >= _PER_CLASS}
    if len(often) < 3 or evidence.shift is not None:
        return None
    total = sum(c.total() for c in often.values())
    targets = {c.most_common(1)[0][0] for c in often.values()}
    mapped = sum(c.most_common(1)[0][1] for c in often.values()) / total
    right = sum(c[k] for k, c in often.items()) / total
    # Each class must have its own answer: a model that says one thing always is mapped perfectly too.
    if len(targets) < 0.7 * len(often) or mapped < _MAPPED or right > mapped / 2:
        return None
    return Finding(
        "permuted_labels",
        f"The float model is right on {format_percent(right)} of {total} samples, but with the classes in "
        f"another order it would be right on {format_percent(mapped)}.",
        "Every accuracy would be measured against the wrong class; sorted folder names do this.",
        "Number the classes as the model was trained; folder names may start with the number.",
        {"accuracy": right, "accuracy_reordered": mapped, "samples": total, "classes": len(often)},
        ERROR,
    )


def random_labels(evidence: Evidence) -> Finding | None:
    """A float model that is sure of its answers is right no more often than chance."""
    pairs = evidence.labelled()
    classes = evidence.classes or 0
    explained = evidence.shift is not None or permuted_labels(evidence) is not None
    if len(pairs) < _FEWEST or classes < 2 or explained or any(map(better_labelled, evidence.readings)):
        return None
    hits = sum(label == answer.decision for label, answer in pairs)
    chance = _chance(pairs)
    sure = sum(a.confidence for _, a in pairs) / len(pairs)
    different = len({a.decision for _, a in pairs})
    if sure < max(_SURE, 1.5 / classes) or different < min(3, classes) or hits > _FAR * sure * len(pairs):
        return None
    if not _like_chance(hits, len(pairs), chance):
        return None
    return Finding(
        "random_labels",
        f"The float model is right on {hits} of {len(pairs)} samples, chance is {chance * len(pairs):.1f}, "
        f"while it is sure of its answers (mean probability {sure:.2f}).",
        "Accuracy means nothing with these labels; inputs and labels may be in different orders.",
        "Check that inputs and labels were shuffled together and belong to this model.",
        {"hits": hits, "samples": len(pairs), "chance": chance, "confidence": sure},
        ERROR,
    )


def _chance(pairs: list[tuple[int, ModelAnswer]]) -> float:
    """The share of hits of decisions that know nothing of the labels, both as frequent as they are."""
    labels, decisions = Counter(k for k, _ in pairs), Counter(a.decision for _, a in pairs)
    return sum(n * decisions[k] for k, n in labels.items()) / len(pairs) ** 2


def _like_chance(hits: int, count: int, chance: float) -> bool:
    """True within two deviations of chance."""
    return hits <= chance * count + 2 * math.sqrt(chance * (1 - chance) * count)
