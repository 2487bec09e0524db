"""``QuantizationResult``: a quantized file with its plan, its quality and its notes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tightfit.evaluation.slices.output_quality import OutputQuality, lost_sentences, unfit_sentences
from tightfit.quantization.exchange.write_recipe import recipe_entries
from tightfit.quantization.plan import Plan
from tightfit.result import Result, Row
from tightfit.units import format_decibels

UNFIT: Final = "unfit: "
"""How a note begins that names a lost or weak slice of an output."""


@dataclass(frozen=True, repr=False)
class QuantizationResult(Result):
    """A quantized file that LiteRT ran.

    Args:
        path: the file.
        plan: what was decided for each tensor and op.
        layout: rewrite → number of ops that it changed.
        snr_db: signal-to-noise of the outputs against the float model on the probes, in dB.
        notes: fallbacks and other things to know.
        outputs: quality of each output, slice by slice.
        samples: how many ``outputs`` and ``snr_db`` rest on, 0 for random inputs.
    """

    path: Path
    plan: Plan
    layout: dict[str, int]
    snr_db: float
    notes: list[str]
    outputs: list[OutputQuality] = field(default_factory=list)
    samples: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain data: the plan as it is written to JSON."""
        return {
            "path": str(self.path),
            "plan": json.loads(self.plan.to_json()),
            "layout": self.layout,
            "snr_db": self.snr_db if math.isfinite(self.snr_db) else None,
            "notes": self.notes,
            "outputs": [output.to_dict() for output in self.outputs],
            "unfit": self.unfit,
            "samples": self.samples,
        }

    def recipe(self) -> list[dict[str, object]]:
        """Return the plan as a recipe of litert-quantizer, which ``quantize`` also takes as a scheme."""
        return recipe_entries(self.plan)

    @property
    def unfit(self) -> list[str]:
        """One sentence for each output with a lost slice, or, where samples show it, with a weak one."""
        return unfit_sentences(self.outputs) if self.samples else list(lost_sentences(self.outputs))

    def headline(self) -> str:
        """Return one line; ``to_dict`` has everything."""
        rests = f"on {self.samples} samples" if self.samples else "on random inputs"
        noise = format_decibels(self.snr_db)
        return f"QuantizationResult('{self.path}', {self.plan.scheme.name}, {noise} {rests})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the outputs, or what stayed in float where none was measured."""
        if self.outputs:
            rows = [(o.name, o.snr_db) for o in self.outputs]
            return ("output", "signal-to-noise, dB"), rows
        return ("op", "kind", "in float because"), [(p.name, p.kind, p.reason) for p in self.plan.refusals()]
