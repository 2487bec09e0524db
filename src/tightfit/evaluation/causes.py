"""Why an op loses accuracy, in words that rest on numbers: one function and one row of ``CAUSES`` each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.evaluation.isolation import OwnError
from tightfit.graph.ir import Op, Tensor
from tightfit.quantities import format_count, format_percent
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.rules import fixed_output
from tightfit.quantization.statistics import Statistics

_OUTLIER: Final = 4.0
_CHANNEL: Final = 10.0
_SATURATED: Final = 1e-3
_COARSE: Final = 1 / 8
_MAIN: Final = 0.2
_WIDENED: Final = 1.5


@dataclass(frozen=True)
class Facts:
    """What is known about one op.

    Args:
        error: with its parts. op, stored: in the float model and in the file, None for an input.
        held: the integer form of its result, None for float. statistics: of its result, where calibrated.
    """

    error: OwnError
    op: Op | None
    stored: Op | None
    held: Tensor | None
    statistics: Statistics | None

    def share(self, part: str) -> float:
        """The part's share of the op's own error, 0-1."""
        own = self.error.parts.get("own", 0.0)
        return min(self.error.parts.get(part, 0.0) / own, 1.0) if own > 0 else 0.0


@dataclass(frozen=True)
class Cause:
    """One reason: its name in ``CAUSES``, a sentence, and the numbers in it."""

    kind: str
    words: str
    numbers: dict[str, float]


def split(facts: Facts) -> Cause | None:
    """What most of the op's own error comes from."""
    result, weights = facts.share("result"), facts.share("weights")
    if max(result, weights) < _MAIN:
        return None
    what = "holding its result in integers" if result >= weights else "rounding its weights"
    share = max(result, weights)
    numbers = {"result_share": result, "weights_share": weights}
    return Cause("split", f"{format_percent(share, 0)} of the error that it adds comes from {what}", numbers)


def outliers(facts: Facts) -> Cause | None:
    """A few values set the range of all."""
    found = quantile(facts.statistics, 0.999)
    if facts.statistics is None or found <= 0 or facts.share("result") < _MAIN:
        return None
    most = max(-facts.statistics.low, facts.statistics.high)
    if most < _OUTLIER * found:
        return None
    words = f"its largest value, {most:.3g}, is {most / found:.0f} times the 99.9 % quantile of the magnitudes, "
        f"{found:.3g}"
    return Cause("outliers", words, {"largest": most, "quantile_999": found, "ratio": most / found})


def channels(facts: Facts) -> Cause | None:
    """One channel of the result is far larger than the others, and one scale serves all."""
    peaks = facts.error.peaks
    if peaks is None or peaks.size < 2 or facts.share("result") < _MAIN:
        return None
    median, most = float(np.median(peaks)), float(peaks.max())
    if median <= 0 or most < _CHANNEL * median:
        return None
    words = (
        f"channel {int(peaks.argmax())} of its result reaches {most:.3g}, {most / median:.0f} times the "
        f"median channel ({median:.3g}), and all channels share one scale"
    )
    return Cause("channels", words, {"channel": int(peaks.argmax()), "peak": most, "ratio": most / median})


def weight_channels(facts: Facts) -> Cause | None:
    """One channel of the weights is far larger than the others, and one scale serves all."""
    for mine, stored in _constants(facts):
        q = stored.quantization
        if mine.data is None or q is None or q.scale.size > 1 or mine.data.ndim < 2:
            continue
        axis = mine.data.ndim - 1 if facts.op is not None and facts.op.kind == "DEPTHWISE_CONV_2D" else 0
        rows = np.moveaxis(mine.data, axis, 0).reshape(mine.data.shape[axis], -1)
        peaks = np.abs(rows).max(axis=1)
        median, most = float(np.median(peaks)), float(peaks.max())
        if median > 0 and most >= _CHANNEL * median and facts.share("weights") >= _MAIN:
            words = (
                f"channel {int(peaks.argmax())} of its weights is {most / median:.0f} times as large as the "
                "median channel, and all share one scale"
            )
            return Cause("weight_channels", words, {"channel": int(peaks.argmax()), "ratio": most / median})
    return None


def weight_outliers(facts: Facts) -> Cause | None:
    """Single weights are far larger than the others of their channel."""
    for mine, stored in _constants(facts):
        if mine.data is None or stored.quantization is None or mine.data.ndim < 2:
            continue
        if facts.share("weights") < _MAIN:
            continue
        axis = stored.quantization.axis if stored.quantization.scale.size > 1 else 0
        rows = np.abs(np.moveaxis(mine.data, axis, 0).reshape(mine.data.shape[axis], -1))
        typical = np.sqrt(np.mean(np.square(rows, dtype=np.float64), axis=1))
        ratio = rows.max(axis=1) / np.maximum(typical, 1e-30)
        worst = int(ratio.argmax())
        if ratio[worst] >= _CHANNEL:
            words = (
                f"the largest weight of channel {worst} is {ratio[worst]:.0f} times the root mean square of "
                "that channel, so the others get few steps"
            )
            return Cause("weight_outliers", words, {"channel": worst, "ratio": float(ratio[worst])})
    return None


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


def bias(facts: Facts) -> Cause | None:
    """A bias at the end of int32, or weight scales that were widened so that it fits."""
    for mine, stored in _constants(facts):
        q = stored.quantization
        if stored.dtype == "int32" and stored.data is not None and mine.dtype == "float32":
            cut = int((np.abs(stored.data.astype(np.int64)) >= LIMITS["int32"][1] - 1).sum())
            if cut:
                words = f"the bias of {format_count(cut, 'channel')} does not fit into int32 and is cut off"
                return Cause("bias", words, {"channels": cut})
        if stored.dtype == "int8" and q is not None and q.scale.size > 1 and mine.data is not None:
            peaks = np.abs(np.moveaxis(mine.data, q.axis, 0).reshape(q.scale.size, -1)).max(axis=1)
            wide = int(((q.scale * 127 > _WIDENED * peaks) & (peaks > 0)).sum())
            if wide and facts.share("weights") >= _MAIN:
                words = (
                    f"the weight scale of {format_count(wide, 'channel')} is more than {_WIDENED} times as wide "
                    "as the weights, so that a large bias fits into int32"
                )
                return Cause("bias", words, {"channels": wide})
    return None


def fixed_range(facts: Facts) -> Cause | None:
    """The kernel fixes the scale of the result, whatever its values."""
    held = facts.held
    if held is None or held.quantization is None or facts.op is None or facts.statistics is None:
        return None
    fixed, limits = fixed_output(facts.op, held.dtype), held_range(held)
    if fixed is None or limits is None or facts.share("result") < _MAIN:
        return None
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
    if held is None or held.quantization is None or seen is None or facts.share("result") < _MAIN:
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
    """Gives the causes that the numbers show, the most telling first."""
    return [cause for look in CAUSES.values() if (cause := look(facts)) is not None]


def quantile(statistics: Statistics | None, share: float) -> float:
    """The magnitude below which that share of the values lies, 0 where nothing was seen."""
    if statistics is None:
        return 0.0
    counts, centres = statistics.histogram()
    if not counts.sum():
        return 0.0
    order = np.argsort(np.abs(centres), kind="stable")
    total = np.cumsum(counts[order])
    place = int(np.searchsorted(total, share * total[-1]))
    return float(np.abs(centres[order][min(place, len(order) - 1)]))


def held_range(held: Tensor | None) -> tuple[float, float] | None:
    """The reals at the ends of an integer tensor with one scale."""
    if (
        held is None
        or held.quantization is None
        or held.quantization.scale.size != 1
        or held.dtype not in LIMITS
    ):
        return None
    bottom, top = LIMITS[held.dtype]
    scale, zero = float(held.quantization.scale[0]), int(held.quantization.zero_point[0])
    return scale * (bottom - zero), scale * (top - zero)


def _constants(facts: Facts) -> list[tuple[Tensor, Tensor]]:
    """The float constants of an op with what the file stores for them."""
    if facts.op is None or facts.stored is None:
        return []
    pairs = []
    for mine, theirs in zip(facts.op.inputs, facts.stored.inputs, strict=False):
        stored = theirs
        while stored is not None and not stored.is_constant and stored.producer is not None:
            stored = stored.producer.input(0) if stored.producer.kind == "DEQUANTIZE" else None
        if mine is not None and mine.is_constant and stored is not None and stored.quantization is not None:
            pairs.append((mine, stored))
    return pairs
