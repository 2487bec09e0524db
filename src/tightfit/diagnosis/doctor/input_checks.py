"""Whether the float model answers better when its input is read in another way: range, colours, polarity.

More right labels are proof. Where labels say nothing, two other things are: answers that get more various and
more certain at once though the values got smaller, and paired confidence where the same values only stand in
another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from tightfit.diagnosis.doctor.evidence import ERROR, WARNING, Evidence, Finding, InputReading
from tightfit.diagnosis.doctor.input_variants import ORDER, POLARITY, RANGE, READINGS
from tightfit.units import format_percent

NEEDED_GAIN: Final = 0.15
"""Accuracy that another reading must bring before it is believed."""

WORTH_TRYING: Final = 0.1
"""Share of wrong decisions from which on other ranges are tried at all."""

FEWEST: Final = 5
"""With fewer samples no other reading of them is believed."""

_TRUER: Final = 0.05
_CHANCE: Final = 0.00135
"""How rarely chance may give so clear a gain: three deviations of many samples, more of few (Student's t)."""

_UNLIKELY: Final = 0.01
_COLLAPSED: Final = 0.8
_CLEARER: Final = 0.1
_WIDER: Final = 0.15
_FROZEN: Final = 0.05
_LIVELY: Final = 0.3
_SURER: Final = 0.03


def better_labelled(reading: InputReading) -> bool:
    """True when more labels are right, by at least 0.15 of them and with p < 0.01 in a sign test.

    Or when no fewer are, and their classes get 0.05 more probability, which chance gives once in 740: a model
    may stand a wrong range well and still answer better in the right one.
    """
    if reading.labelled < FEWEST or reading.wins < reading.losses:
        return False
    if reading.truth_gain >= _TRUER and reading.truth_z >= _certain(reading.labelled):
        return True
    enough = reading.wins - reading.losses >= NEEDED_GAIN * reading.labelled
    return enough and sign_test(reading.wins, reading.losses) < _UNLIKELY


def _certain(samples: int, chance: float = _CHANCE) -> float:
    """The t statistic of paired differences that chance alone exceeds so rarely."""
    from scipy.special import stdtrit  # noqa: PLC0415 - loading it takes longer than starting a command

    return float(stdtrit(max(samples - 1, 1), 1 - chance))


def sign_test(wins: int, losses: int) -> float:
    """The chance that a fair coin gives at least so many wins.

    Example:
        >>> sign_test(7, 0)
        0.0078125
    """
    n = wins + losses
    return float(sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n)


def _revived(reading: InputReading) -> bool:
    """True when answers become more various and more certain at once, or no longer all the same."""
    if _awakened(reading):
        return True
    if reading.labelled or reading.samples < FEWEST or reading.share_after >= reading.share_before:
        return False
    same = reading.share_before >= _COLLAPSED and reading.share_after <= reading.share_before / 2
    if READINGS[reading.name].magnifies:
        # Larger values alone make answers various and certain; then the old ones must not have moved at all.
        return same and reading.spread_before < _FROZEN and reading.spread_after >= _LIVELY
    clearer = reading.confidence_after - reading.confidence_before >= _CLEARER
    clearer = clearer and reading.confidence_z >= _certain(reading.samples)
    wider = reading.spread_after - reading.spread_before >= _WIDER
    return wider and (clearer or (same and reading.spread_after >= _LIVELY))


def _awakened(reading: InputReading) -> bool:
    """True when answers get more various and more certain though the values get smaller.

    Smaller values alone do the contrary, so that a few samples are proof: p < 0.01 by Student's t.
    """
    if READINGS[reading.name].magnifies or reading.samples < FEWEST or reading.wins < reading.losses:
        return False
    wider = reading.spread_after - reading.spread_before >= _WIDER
    clearer = reading.confidence_after - reading.confidence_before >= _CLEARER
    sure = reading.confidence_z >= _certain(reading.samples, _UNLIKELY)
    return wider and clearer and sure and reading.share_after <= reading.share_before


def _surer(reading: InputReading) -> bool:
    """True when the same values in another order make the answers clearly more certain, sample by sample."""
    gain = reading.confidence_after - reading.confidence_before
    if reading.wins < reading.losses:
        return False
    return reading.samples >= FEWEST and gain >= _SURER and reading.confidence_z >= _certain(reading.samples)


def input_range(evidence: Evidence) -> Finding | None:
    """Values in another range than the model needs, such as 0-255 for -1 … 1."""
    return _finding(
        evidence, RANGE, _revived, "in the range that they have",
        "The float model does not see what it was trained on; every activation range would be calibrated to "
        "values that never occur.",
    )  # fmt: skip


def channel_order(evidence: Evidence) -> Finding | None:
    """Colours in the wrong order."""
    return _finding(
        evidence, ORDER, _surer, "with their colours as they are",
        "Red and blue are exchanged, so the ranges of the first layers and the accuracy are those of wrong "
        "pictures.",
    )  # fmt: skip


def inverted(evidence: Evidence) -> Finding | None:
    """Light for dark."""
    return _finding(
        evidence, POLARITY, None, "as they are",
        "The float model does not see what it was trained on; its activations and its accuracy are those of "
        "negatives.",
    )  # fmt: skip


def _finding(
    evidence: Evidence, kind: str, unlabelled: Callable[[InputReading], bool] | None, now: str, why: str
) -> Finding | None:
    """The finding of the best reading of a kind that is proven, None when none is."""
    of_kind = [r for r in evidence.readings if READINGS[r.name].kind == kind]
    proven = [r for r in of_kind if better_labelled(r)]
    if proven:
        return _by_labels(kind, max(proven, key=lambda r: r.hits_after), now, why)
    guided = [r for r in of_kind if unlabelled is not None and unlabelled(r)]
    if not guided:
        return None
    return _by_answers(kind, max(guided, key=lambda r: r.spread_after + r.confidence_after), now, why)


def _by_labels(kind: str, best: InputReading, now: str, why: str) -> Finding:
    row = READINGS[best.name]
    before, after = best.hits_before / best.labelled, best.hits_after / best.labelled
    what = (
        f"Of {best.labelled} samples the float model is right on {format_percent(before)} {now}, on "
        f"{format_percent(after)} when they are {row.words}."
    )
    numbers = {"accuracy": before, "accuracy_otherwise": after, "samples": best.labelled,
               "p_value": sign_test(best.wins, best.losses),
               "truth_gain": best.truth_gain, "truth_z": best.truth_z}  # fmt: skip
    return Finding(kind, what, why, row.fix, numbers, ERROR)


def _by_answers(kind: str, best: InputReading, now: str, why: str) -> Finding:
    row = READINGS[best.name]
    before, after = f"{best.confidence_before:.2f}", f"{best.confidence_after:.2f}"
    if kind == RANGE:
        what = (
            f"The float model gives {format_percent(best.share_before)} of {best.samples} samples the same "
            f"class {now} (mean probability {before}), {format_percent(best.share_after)} when they are "
            f"{row.words} ({after})."
        )
    else:
        what = (
            f"The decision's mean probability on {best.samples} samples is {before} {now}, {after} when they "
            f"are {row.words} (z = {best.confidence_z:.1f})."
        )
    numbers = {
        "same_decision": best.share_before, "same_decision_otherwise": best.share_after,
        "spread": best.spread_before, "spread_otherwise": best.spread_after,
        "confidence": best.confidence_before, "confidence_otherwise": best.confidence_after,
        "confidence_z": best.confidence_z, "samples": best.samples,
    }  # fmt: skip
    return Finding(kind, what, why, row.fix, numbers, WARNING)
