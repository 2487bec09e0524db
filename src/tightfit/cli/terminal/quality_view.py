"""How good a written file is, in the words of all commands that write one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tightfit.evaluation.slices.output_quality import headline, lost_sentences, weak_sentences
from tightfit.units import format_decibels

if TYPE_CHECKING:
    from tightfit.evaluation.slices.output_quality import OutputQuality


class MeasuredOutput(Protocol):
    """What a verb gives of a file that it wrote and measured."""

    snr_db: float
    outputs: list[OutputQuality]
    samples: int


def signal_words(written: MeasuredOutput) -> str:
    """Return the worst slice and the ratio of all outputs, with the number of samples they rest on."""
    return quality_words(written.outputs, written.snr_db, written.samples)


def quality_words(outputs: Sequence[OutputQuality], snr_db: float, samples: int) -> str:
    """Return the same of its parts; 0 samples stands for a random input."""
    if math.isnan(snr_db):
        return "not measured: the float model answers NaN or infinity to random input; pass --data"
    whole = min((o.snr_db for o in outputs), default=min(snr_db, 200.0))
    ratio = "equal to the float model" if whole >= 200.0 else f"{format_decibels(whole)} signal-to-noise"
    where = "" if samples else " on one random input; --data measures it on samples"
    worst = headline(outputs) if samples else ""
    return f"{ratio}, {worst}" if worst else ratio + where


def quality_lines(outputs: Sequence[OutputQuality]) -> list[str]:
    """Return the worst slice in one line, and one line for each output that is of no use or weak."""
    worst = headline(outputs)
    return [*([worst] if worst else []), *flaw_lines(outputs)]


def flaw_lines(outputs: Sequence[OutputQuality]) -> list[str]:
    """Return one line for each output that is of no use, and one for each that is weak."""
    ruined = [f"ruined: {sentence}" for sentence in lost_sentences(outputs)]
    return ruined + [f"weak: {sentence}" for sentence in weak_sentences(outputs)]
