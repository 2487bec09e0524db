"""Ops that move or select integers of one grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tightfit.graph.passes.constant_movements import MOVES
from tightfit.graph.passes.constant_ops import NotComputableError
from tightfit.training.integer.integer_operands import IntegerOperands
from tightfit.types import Array

_REFUSALS: Final = (NotComputableError, ValueError, IndexError, TypeError)


def moved(work: IntegerOperands) -> list[Array] | None:
    """Return the outputs of an op of ``MOVES``, computed sample by sample; None where its row refuses.

    The zero point is subtracted first, so that padding with 0 represents the real zero.
    """
    kernel = MOVES[work.op.kind].kernel
    made: list[list[Array]] = []
    for sample in range(work.batch):
        try:
            found: Any = kernel(work.op, [_operand(work, i, sample) for i in range(len(work.values))])
        except _REFUSALS:
            return None
        made.append(found if isinstance(found, list) else [found])
    zero = np.int32(work.output.zero_point)
    return [(np.stack(parts) + zero).astype(np.int16) for parts in zip(*made, strict=True)]


def _operand(work: IntegerOperands, position: int, sample: int) -> Array:
    if work.values[position] is None:
        return work.statics[position]
    values = work.shifted(position)
    return np.asarray(values[sample % len(values)])


def chosen(function: Callable[[Array, Array], Array]) -> Callable[[IntegerOperands], Array]:
    """Return the row of MAXIMUM or MINIMUM, whose inputs and output have one grid."""

    def row(work: IntegerOperands) -> Array:
        return work.output.within(function(*work.both()) + work.output.zero_point)

    return row


CHOICES: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    "MAXIMUM": chosen(np.maximum), "MINIMUM": chosen(np.minimum),
}  # fmt: skip
