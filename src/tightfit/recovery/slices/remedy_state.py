"""A model between two remedies, and whether one state of it is better than another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tightfit.evaluation.slices.output_quality import GOOD_DB, MOST_DB, OutputQuality, worst_output
from tightfit.graph.ir import Model
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import Plan
from tightfit.units import format_decibels

MARGIN_DB: Final = 3.0
"""Samples that were not seen may be so much worse."""

AIM_DB: Final = GOOD_DB + MARGIN_DB
"""What is aimed at where something is mended."""

_GAIN_DB: Final = 0.5
_GAIN_SHARE: Final = 0.1
"""The same of what poor slices together lack: many of them change a little with any remedy."""


@dataclass
class RemedyState:
    """A model on its way, and how good its outputs are.

    Args:
        original: the float model of the same function that the plan was made for.
        model: the same with the weights found so far.
        plan: of the quantized file.
        ranges: the calibrated ranges.
        overrides: that the plan was made with.
        found: the quality of each output.
        known: tensor key → range that takes the place of the calibrated one.
    """

    original: Model
    model: Model
    plan: Plan
    ranges: Ranges
    overrides: tuple[Override, ...]
    found: list[OutputQuality]
    known: dict[str, Range] = field(default_factory=dict)

    @property
    def worst_db(self) -> float:
        """The ratio of the worst slice."""
        output = worst_output(self.found)
        return MOST_DB if output is None or output.worst_slice is None else output.worst_slice.snr_db

    @property
    def own_db(self) -> float:
        """The ratio of the worst slice with a unit of its own."""
        return min((o.own_db for o in self.found), default=MOST_DB)

    @property
    def is_poor(self) -> bool:
        """Whether remedies are tried."""
        return self.worst_db < GOOD_DB or self.own_db < AIM_DB

    @property
    def missing_db(self) -> float:
        """What all poor slices together lack to ``GOOD_DB``; one of noise alone counts like one of 0 dB."""
        return sum(GOOD_DB - max(s.snr_db, 0.0) for o in self.found for s in o.poor)

    def gains_over(self, before: RemedyState) -> bool:
        """Whether a ratio or the poor slices together are clearly better, and neither ratio is clearly worse.

        Of two faults in one model, such as units of inputs and units of an output, mending the first may
        leave the worst slice as it is.
        """
        own, worst = self.own_db - before.own_db, self.worst_db - before.worst_db
        least = max(_GAIN_DB, _GAIN_SHARE * before.missing_db)
        better = max(own, worst) >= _GAIN_DB or before.missing_db - self.missing_db >= least
        return better and min(own, worst) > -_GAIN_DB

    def gain(self, before: RemedyState) -> str:
        """The gain in words."""
        if self.worst_db - before.worst_db >= _GAIN_DB:
            return f"worst slice {format_decibels(before.worst_db)} → {format_decibels(self.worst_db)}"
        if self.own_db - before.own_db >= _GAIN_DB:
            own = f"{format_decibels(before.own_db)} → {format_decibels(self.own_db)}"
            return f"worst slice of a unit of its own {own}"
        lack = f"{format_decibels(before.missing_db)} → {format_decibels(self.missing_db)}"
        return f"poor slices together lack {lack}"
