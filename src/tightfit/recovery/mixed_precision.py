"""Mixed precision: choose the layers whose few-bit weights are stored as int8, within a size.

The layers with the most noise per extra byte are widened first, until the bytes are spent. Greedy selection
by ratio is within one layer of the optimum of this knapsack problem (Dantzig 1957).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.quantization.modes import Override
from tightfit.recovery.sensitivity import Sensitivity

_BITS: Final = {"int8": 8, "int4": 4, "int2": 2}
_NEGLIGIBLE: Final = 1e-3
"""Widening stops when the remaining noise is this fraction of the initial noise."""

_QUIET: Final = 1e-5
"""Or when the noise is this fraction of the outputs' power: −50 dB, below which nothing is gained."""


@dataclass(frozen=True)
class Assignment:
    """The layers to widen.

    Args:
        wider: names of their ops.
        extra_bytes: bytes that the wider weights add to the file.
        noise_before: noise of all layers before, as a fraction of the outputs' power.
        noise_after: noise of all layers after, as a fraction of the outputs' power.
    """

    wider: list[str]
    extra_bytes: int
    noise_before: float
    noise_after: float

    def overrides(self, scheme: str) -> list[Override]:
        """Return the overrides that make a plan store these layers by another scheme."""
        reason = "its few-bit weights add much noise; mixed precision stores them as int8"
        return [Override(name, scheme, reason) for name in self.wider]

    def summary(self) -> str:
        """Return the assignment as one sentence."""
        left = 100 * self.noise_after / max(self.noise_before, 1e-30)
        return (
            f"{len(self.wider)} layers with the most noise per byte keep int8 weights "
            f"(+{self.extra_bytes / 1000:.0f} kB, {left:.0f} % of the measured noise left)"
        )


def widen(sensitivities: Sequence[Sensitivity], spare_bytes: int, dtype: str = "int8") -> Assignment:
    """Return the assignment that removes the most noise within a number of bytes.

    Args:
        sensitivities: see ``sensitivity.measure_sensitivities``.
        spare_bytes: most bytes to add; 0 or less widens nothing.
        dtype: the type of wider weights.

    Example:
        >>> loud = Sensitivity("loud", "CONV_2D", "int4", 1000, 0.02)
        >>> quiet = Sensitivity("quiet", "CONV_2D", "int4", 1000, 0.001)
        >>> widen([quiet, loud], 600).wider
        ['loud']
    """
    total = sum(s.noise for s in sensitivities)
    left, spent, wider = total, 0, []
    for one in sorted(sensitivities, key=lambda s: s.noise / max(s.elements, 1), reverse=True):
        cost = one.elements * (_BITS[dtype] - _BITS[one.dtype]) // 8
        if left <= max(_NEGLIGIBLE * total, _QUIET):
            break
        if spent + cost <= spare_bytes:
            wider.append(one.name)
            spent += cost
            left -= one.noise
    return Assignment(wider, spent, total, max(left, 0.0))
