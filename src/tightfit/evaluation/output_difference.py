"""How far the outputs of a file at another place are from those on this computer, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tightfit.units import format_percent


@dataclass(frozen=True)
class PlaceDifference:
    """The difference between the outputs of a file at a place and on this computer.

    Args:
        place: title of the place.
        steps: largest difference, in quantization steps; None for outputs that are no integers.
        relative: largest difference, as a fraction of the output's range, 0 for equal.
        share: fraction of the values that differ, 0–1.
        samples: samples that were compared.
        failure: why the file does not run there, "" when it does.
    """

    place: str
    steps: float | None = None
    relative: float = 0.0
    share: float = 0.0
    samples: int = 0
    failure: str = ""

    @property
    def equal(self) -> bool:
        """True when every value is equal to the bit."""
        return not self.failure and self.share == 0

    def sentence(self) -> str:
        """Return the result in one sentence.

        Example:
            >>> PlaceDifference("an A72", 2.0, 0.01, 0.125, 8).sentence()
            'On an A72, 12.50 % of the values differ from this computer, at most 2 steps (8 samples).'
        """
        if self.failure:
            return f"It does not run on {self.place}: {self.failure}"
        if self.equal:
            return f"On {self.place}, all outputs equal those of this computer ({self.samples} samples)."
        most = f"{self.relative:.1e} of the range" if self.steps is None else f"{self.steps:.3g} steps"
        return (
            f"On {self.place}, {format_percent(self.share, 2)} of the values differ from this computer, "
            f"at most {most} ({self.samples} samples)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "equal": self.equal}
