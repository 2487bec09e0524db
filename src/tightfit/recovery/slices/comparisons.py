"""Outputs that a comparison chooses: a value rounded across its threshold is wrong as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tightfit.evaluation.slices.output_quality import GOOD_DB, OutputQuality
from tightfit.graph.ir import Model, Op
from tightfit.graph.signatures import output_names
from tightfit.recovery.slices.tails import COMPARISONS, find_tail

_SCATTER_DB: Final = 9.0
"""So far the ratio of other samples may lie below the measured one: a few entries make all of the noise."""


def comparison_notes(model: Model, found: Sequence[OutputQuality]) -> Iterator[str]:
    """Yield a sentence for each output of no high ratio that a comparison behind the last layers chooses.

    Args:
        model: the float model.
        found: the quality of its outputs in an integer file.
    """
    ends = output_names(model)
    for output in found:
        tensor = ends.get(output.name)
        if tensor is None or output.own_db >= GOOD_DB + _SCATTER_DB:
            continue
        chosen = [op for op in find_tail(model.main, [tensor]).ops if _has_threshold(op)]
        if chosen:
            yield (
                f"output '{output.name}' is chosen by a comparison ('{chosen[0].name}'): an entry whose "
                "operand is rounded across the threshold changes as a whole; other samples may show a lower "
                "ratio"
            )


def _has_threshold(op: Op) -> bool:
    """True for a comparison of two values; a value beside itself is a test for NaN."""
    return op.kind in COMPARISONS and op.operand(0) is not op.operand(1)
