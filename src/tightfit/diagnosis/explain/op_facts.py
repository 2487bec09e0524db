"""What is known about one op when its causes are looked for, and what a cause is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.diagnosis.explain.own_error import OwnError
from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import LIMITS
from tightfit.streaming.tensor_statistics import Statistics

MAIN_SHARE: Final = 0.2
"""A part is worth naming when it makes so much of an op's own error."""

CHANNEL_RATIO: Final = 10.0
"""A channel is an outlier when it is so many times as large as the median channel."""


@dataclass(frozen=True)
class Facts:
    """What is known about one op.

    Args:
        error: with its parts. op, stored: in the float model and in the file, None for an input.
        held: the integer form of its result, None for float.
        statistics: of its result, where calibrated.
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


def stored_constants(facts: Facts) -> list[tuple[Tensor, Tensor]]:
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
