"""Causes that lie in an op's constants: uneven channels, single large weights, a bias that does not fit."""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.diagnosis.explain.op_facts import CHANNEL_RATIO, MAIN_SHARE, Cause, Facts, stored_constants
from tightfit.quantization.arithmetic import LIMITS
from tightfit.units import format_count

_WIDENED: Final = 1.5


def weight_channels(facts: Facts) -> Cause | None:
    """One channel of the weights is far larger than the others, and one scale serves all."""
    for mine, stored in stored_constants(facts):
        q = stored.quantization
        if mine.data is None or q is None or q.scale.size > 1 or mine.data.ndim < 2:
            continue
        axis = mine.data.ndim - 1 if facts.op is not None and facts.op.kind == "DEPTHWISE_CONV_2D" else 0
        rows = np.moveaxis(mine.data, axis, 0).reshape(mine.data.shape[axis], -1)
        peaks = np.abs(rows).max(axis=1)
        median, most = float(np.median(peaks)), float(peaks.max())
        if median > 0 and most >= CHANNEL_RATIO * median and facts.share("weights") >= MAIN_SHARE:
            words = (
                f"channel {int(peaks.argmax())} of its weights is {most / median:.0f} times as large as the "
                "median channel, and all share one scale"
            )
            return Cause("weight_channels", words, {"channel": int(peaks.argmax()), "ratio": most / median})
    return None


def weight_outliers(facts: Facts) -> Cause | None:
    """Single weights are far larger than the others of their channel."""
    for mine, stored in stored_constants(facts):
        if mine.data is None or stored.quantization is None or mine.data.ndim < 2:
            continue
        if facts.share("weights") < MAIN_SHARE:
            continue
        axis = stored.quantization.axis if stored.quantization.scale.size > 1 else 0
        rows = np.abs(np.moveaxis(mine.data, axis, 0).reshape(mine.data.shape[axis], -1))
        largest, power = rows.max(axis=1).astype(np.float64), np.square(rows, dtype=np.float64).sum(axis=1)
        typical = np.sqrt(np.maximum(power - largest**2, 0) / max(rows.shape[1] - 1, 1))
        ratio = np.where(typical > 0, largest / np.maximum(typical, 1e-30), 0.0)
        worst = int(ratio.argmax())
        if ratio[worst] >= CHANNEL_RATIO:
            words = (
                f"the largest weight of channel {worst} is {ratio[worst]:.0f} times the root mean square of "
                "the others, which get few steps"
            )
            return Cause("weight_outliers", words, {"channel": worst, "ratio": float(ratio[worst])})
    return None


def bias(facts: Facts) -> Cause | None:
    """A bias at the end of int32, or weight scales that were widened so that it fits."""
    for mine, stored in stored_constants(facts):
        q = stored.quantization
        if stored.dtype == "int32" and stored.data is not None and mine.dtype == "float32":
            cut = int((np.abs(stored.data.astype(np.int64)) >= LIMITS["int32"][1] - 1).sum())
            if cut:
                words = f"the bias of {format_count(cut, 'channel')} does not fit into int32 and is cut off"
                return Cause("bias", words, {"channels": cut})
        if stored.dtype == "int8" and q is not None and q.scale.size > 1 and mine.data is not None:
            peaks = np.abs(np.moveaxis(mine.data, q.axis, 0).reshape(q.scale.size, -1)).max(axis=1)
            wide = int(((q.scale * 127 > _WIDENED * peaks) & (peaks > 0)).sum())
            if wide and facts.share("weights") >= MAIN_SHARE:
                words = (
                    f"the weight scale of {format_count(wide, 'channel')} is more than {_WIDENED} times what "
                    "the weights need, so that a large bias fits into int32"
                )
                return Cause("bias", words, {"channels": wide})
    return None
