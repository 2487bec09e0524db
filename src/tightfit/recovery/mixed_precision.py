"""The cheapest way to spend a few bytes more: which layers get eight bits again.

Each layer costs noise and would cost bytes to widen; the layers with the most noise a byte are widened while
the bytes last. Greedy by ratio is within one layer of the best choice of this knapsack (Dantzig 1957).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.quantization.modes import Override
from tightfit.recovery.sensitivity import Sensitivity

_BITS: Final = {"int8": 8, "int4": 4, "int2": 2}
_NEGLIGIBLE: Final = 1e-3
"""Widening stops where what is left of the noise is this share of what there was."""

_QUIET: Final = 1e-5
"""Or this share of the outputs' power: 50 dB below them nothing is gained."""


@dataclass(frozen=True)
class Assignment:
    """Which layers are widened, and what that does.

    Args:
        wider: names of the ops.
        extra_bytes: what they cost.
        noise_before, noise_after: sums over the layers, as shares of the outputs' power.
    """

    wider: list[str]
    extra_bytes: int
    noise_before: float
    noise_after: float

    def overrides(self, scheme: str) -> list[Override]:
        """Return the overrides that make a plan store these layers by another scheme."""
        reason = "its 4-bit weights cost more than their bytes are worth; stored as int8"
        return [Override(name, scheme, reason) for name in self.wider]

    def summary(self) -> str:
        """Say it in a sentence."""
        left = 100 * self.noise_after / max(self.noise_before, 1e-30)
        return (
            f"{len(self.wider)} layers with the most noise a byte stay int8 "
            f"(+{self.extra_bytes / 1000:.0f} kB, {left:.0f} % of the measured noise left)"
        )


def widen(sensitivities: Sequence[Sensitivity], spare_bytes: int, dtype: str = "int8") -> Assignment:
    """Return the assignment that removes most noise within some bytes.

    Args:
        sensitivities: see ``sensitivity.measure_sensitivities``.
        spare_bytes: what widening may cost; 0 or less widens nothing.

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
