"""What a row of the table of channel behaviour holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_trace import ChannelLabel, Trace
from tightfit.graph.ir import Op, Tensor

Mask = npt.NDArray[np.bool_]


class Kept(NamedTuple):
    """Which channels of a tensor's axis stay."""

    axis: int
    mask: Mask

    def before(self, index: int) -> int:
        """Gives how many stay of the first ``index`` ones."""
        return int(self.mask[:index].sum())


class ChannelRule(NamedTuple):
    """How one op treats channels.

    Args:
        trace: labels the outputs from the inputs and notes which constants are cut.
        amend: changes what the op says of sizes after its tensors were cut; gets what stays of each tensor.
    """

    trace: Callable[[Trace, Op], None]
    amend: Callable[[Op, Mapping[Tensor, Kept]], None] | None = None


def replace_operand(op: Op, position: int, values: Any) -> None:
    """Gives an op an integer operand of its own with other values."""
    old = op.inputs[position]
    assert old is not None and old.data is not None and op.graph is not None  # noqa: S101, PT018 - constants
    array = np.asarray(values, old.data.dtype).reshape(old.shape if np.size(values) == old.size else [-1])
    if not np.array_equal(array, old.data):
        op.graph.set_input(op, position, Tensor(old.name, array.shape, old.dtype, array))


def last(label: ChannelLabel | None, rank: int) -> bool:
    """True for a label of the last axis."""
    return label is not None and label.axis == rank - 1
