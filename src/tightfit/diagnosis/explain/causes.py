"""Why an op loses accuracy, in words that rest on numbers: one function and one row of ``CAUSES`` each.

Here are the causes that lie in an op's values; those of its constants are in ``weight_causes``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.diagnosis.explain.op_facts import CHANNEL_RATIO, MAIN_SHARE, Cause, Facts, held_range, quantile
from tightfit.diagnosis.explain.weight_causes import bias, weight_channels, weight_outliers
from tightfit.quantization.ops.rule_lookup import fixed_output
from tightfit.units import format_percent

_OUTLIER: Final = 4.0
_SATURATED: Final = 1e-3
_COARSE: Final = 1 / 8


def split(facts: Facts) -> Cause | None:
    """What most of the op's own error comes from."""
    result, weights = facts.share("result"), facts.share("weights")
    if max(result, weights) < MAIN_SHARE:
        return None
    what = "holding its result in integers" if result >= weights else "rounding its weights"
    share = max(result, weights)
    numbers = {"result_share": result, "weights_share": weights}
    return Cause("split", f"{format_percent(share, 0)} of the error that it adds comes from {what}", numbers)


def outliers(facts: Facts) -> Cause | None:
    """A few values set the range of all."""
    found = quantile(facts.statistics, 0.999)
    if facts.statistics is None or found <= 0 or facts.share("result") < MAIN_SHARE:
        return None
    most = max(-facts.statistics.low, facts.statistics.high)
    if most < _OUTLIER * found:
        return None
    words = (
        f"its largest value, {most:.3g}, is {most / found:.0f} times the 99.9 % quantile of the magnitudes, "
        f"{found:.3g}"
    )
    return Cause("outliers", words, {"largest": most, "quantile_999": found, "ratio": most / found})


def channels(facts: Facts) -> Cause | None:
    """One channel of the result is far larger than the others, and one scale serves all."""
    peaks = facts.error.peaks
    if peaks is None or peaks.size < 2 or facts.share("result") < MAIN_SHARE:
        return None
    median, most = float(np.median(peaks)), float(peaks.max())
    if median <= 0 or most < CHANNEL_RATIO * median:
        return None
    words = (
        f"channel {int(peaks.argmax())} of its result reaches {most:.3g}, {most / median:.0f} times the "
        f"median channel ({median:.3g}), and all channels share one scale"
    )
    return Cause("channels", words, {"channel": int(peaks.argmax()), "peak": most, "ratio": most / median})


def saturation(facts: Facts) -> Cause | None:
    """Values beyond the range of the integers are cut off."""
    limits, seen = held_range(facts.held), facts.statistics
    if limits is None or seen is None:
        return None
    counts, centres = seen.histogram()
    outside = counts[(centres < limits[0]) | (centres > limits[1])].sum()
    share = float(outside / counts.sum()) if counts.sum() else 0.0
    if share < _SATURATED:
        return None
    words = (
        f"{format_percent(share)} of its values lie outside of what its integers hold, {limits[0]:.3g} to "
        f"{limits[1]:.3g}, and are cut off"
    )
    return Cause("saturation", words, {"share": share, "low": limits[0], "high": limits[1]})


def fixed_range(facts: Facts) -> Cause | None:
    """The kernel fixes the scale of the result, whatever its values."""
    held = facts.held
    if held is None or held.quantization is None or facts.op is None or facts.statistics is None:
        return None
    fixed, limits = fixed_output(facts.op, held.dtype), held_range(held)
    if fixed is None or limits is None or facts.share("result") < MAIN_SHARE:
        return None
    if not np.isclose(held.quantization.scale[0], fixed[0]):
        return None  # a reader asked for it on another scale
    seen = max(facts.statistics.high, 0.0) - min(facts.statistics.low, 0.0)
    used = seen / (limits[1] - limits[0])
    words = (
        f"its kernel fixes the step of the result at {fixed[0]:.3g}; the values use {format_percent(used)} "
        "of the range"
    )
    return Cause("fixed_range", words, {"step": fixed[0], "used": used})


def coarse(facts: Facts) -> Cause | None:
    """One integer step is large beside how much the values vary."""
    held, seen = facts.held, facts.statistics
    if held is None or held.quantization is None or seen is None or facts.share("result") < MAIN_SHARE:
        return None
    counts, centres = seen.histogram()
    if not counts.sum():
        return None
    mean = float((counts * centres).sum() / counts.sum())
    deviation = float(np.sqrt((counts * (centres - mean) ** 2).sum() / counts.sum()))
    step = float(held.quantization.scale[0])
    if deviation <= 0 or step < _COARSE * deviation:
        return None
    words = f"one step of its {held.dtype} result is {step:.3g}, {step / deviation:.2g} standard deviations"
    return Cause("coarse", words, {"step": step, "deviations": step / deviation})


CAUSES: Final[dict[str, Callable[[Facts], Cause | None]]] = {
    "split": split,
    "channels": channels,
    "outliers": outliers,
    "weight_channels": weight_channels,
    "weight_outliers": weight_outliers,
    "saturation": saturation,
    "bias": bias,
    "fixed_range": fixed_range,
    "coarse": coarse,
}
"""Kind → function that gives the cause, or None where its numbers do not show it."""


def find_causes(facts: Facts) -> list[Cause]:
    """Return the causes that the numbers show, the most telling first."""
    return [cause for look in CAUSES.values() if (cause := look(facts)) is not None]
