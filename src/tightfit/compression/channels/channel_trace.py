"""The state of channel tracing, which follows the ops of a graph in execution order.

Every activation has at most one labelled axis, whose indices are channels that may be removed. Ops that move
values are traced by running their own kernel on an array of channel numbers, so that a flatten, a split or a
channel shuffle needs no rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.compression.channels.channel_union import Channels, ChannelSets
from tightfit.graph.ir import Op, Tensor
from tightfit.types import Array, Mask

SUMMED: Final = "in"
"""Role of a weight axis over which products are summed."""
MADE: Final = "out"
"""Role of a weight axis whose entries make channels."""
EACH: Final = "each"
"""Role of a constant's axis with one entry for each channel: a bias, a slope, a depthwise filter."""


@dataclass(frozen=True, eq=False)
class ChannelLabel:
    """The channel numbers along one axis of a tensor."""

    axis: int
    channels: Channels


@dataclass(frozen=True, eq=False)
class TracePlace:
    """An axis of a constant that is cut when channels are removed.

    Args:
        op: the op that reads the constant.
        position: the input of the op.
        tensor: the constant.
        axis: the axis that is cut.
        channels: the channel number of each index of the axis.
        role: ``in`` (summed over), ``out`` (makes channels) or ``each`` (one entry a channel).
    """

    op: Op
    position: int
    tensor: Tensor
    axis: int
    channels: Channels
    role: str


class Trace:
    """The labels and constant axes found so far.

    Attributes:
        labels: tensor → its label.
        places: the axes of constants that are cut when channels are removed.
        sets: union–find of the channels that depend on each other.
    """

    def __init__(self) -> None:
        self.sets = ChannelSets()
        self.labels: dict[Tensor, ChannelLabel] = {}
        self.places: list[TracePlace] = []

    # -- queries -------------------------------------------------------------------------------

    def label(self, op: Op, position: int) -> ChannelLabel | None:
        """Return the label of an op's input, or None."""
        tensor = op.input(position)
        return None if tensor is None else self.labels.get(tensor)

    def spread(self, tensor: Tensor) -> Array | None:
        """Return the channel number of each element, in the tensor's shape; None without a label."""
        label = self.labels.get(tensor)
        if label is None:
            return None
        shape = [1] * len(tensor.shape)
        shape[label.axis] = -1
        return np.broadcast_to(label.channels.reshape(shape), tensor.shape)

    # -- updates -------------------------------------------------------------------------------

    def make(self, op: Op, axis: int) -> Channels:
        """Label the first output along ``axis`` with new channels, and return them."""
        output = op.outputs[0]
        self.labels[output] = ChannelLabel(axis % len(output.shape), self.sets.new(output.shape[axis]))
        return self.labels[output].channels

    def cut(self, op: Op, position: int, axis: int, channels: Channels, role: str = EACH) -> None:
        """Record that an axis of a constant is cut with these channels; an absent input is ignored."""
        tensor = op.input(position)
        if tensor is None:
            return
        place = axis % len(tensor.shape)
        if not is_cuttable(tensor) or tensor.shape[place] != channels.size:
            self.sets.freeze(channels, f"{op.kind} '{op.name}' needs all of its operand '{tensor.name}'")
            return
        self.places.append(TracePlace(op, position, tensor, place, channels, role))

    def freeze(self, op: Op, reason: str) -> None:
        """Freeze the channels of every input, with a reason."""
        for position in range(len(op.inputs)):
            label = self.label(op, position)
            if label is not None:
                self.sets.freeze(label.channels, f"{op.kind} '{op.name}' {reason}")

    def read(self, tensor: Tensor, spread: Array) -> None:
        """Label a tensor from the channel number of each of its elements; see ``narrow``."""
        if spread.size:
            self.labels[tensor] = self.narrow(spread)

    def narrow(self, spread: Array) -> ChannelLabel:
        """Return the one axis along which channels differ.

        Where they differ along several axes, channels are united until they differ along the longest only:
        32 channels that are reshaped into 4 × 8 are then removed four at a time.
        """
        several = [a for a in range(spread.ndim) if (spread != spread.take([0], a)).any()]
        axis = max(several, key=lambda a: spread.shape[a], default=spread.ndim - 1)
        rows = np.moveaxis(spread, axis, -1).reshape(-1, spread.shape[axis])
        if not several and spread.shape[axis] > 1:
            self.sets.freeze(rows[0, :1], "a tensor has no other channel")
        if len(several) > 1:
            for row in np.unique(rows, axis=0):
                self.sets.unite(rows[0], row)
        return ChannelLabel(axis, np.array(rows[0], np.int64))


def is_cuttable(tensor: Tensor | None) -> bool:
    """Return True for a dense float constant; only those can be cut."""
    return (
        tensor is not None
        and tensor.is_constant
        and tensor.sparsity is None
        and tensor.dtype in ("float32", "float16")
        and not tensor.is_variable
    )


def numbers(tensor: Tensor | None) -> list[int] | None:
    """Return the integers of a constant operand, or None when it is absent or computed at run time."""
    if tensor is None or tensor.data is None:
        return None
    return [int(v) for v in np.asarray(tensor.data).reshape(-1)]


class Kept(NamedTuple):
    """The keep mask of a tensor's axis.

    Args:
        axis: the axis.
        mask: for each index whether it is kept.
    """

    axis: int
    mask: Mask

    def before(self, index: int) -> int:
        """Return how many of the first ``index`` channels are kept."""
        return int(self.mask[:index].sum())


class ChannelRule(NamedTuple):
    """The rule of one op kind.

    Args:
        trace: labels the outputs from the inputs and records the constants that are cut.
        amend: updates sizes in the op's options and operands after its tensors were cut; called with the
            op and tensor → keep mask. None where no size needs an update.
    """

    trace: Callable[[Trace, Op], None]
    amend: Callable[[Op, Mapping[Tensor, Kept]], None] | None = None


def replace_operand(op: Op, position: int, values: Any) -> None:
    """Replace an integer operand of an op by a constant of its own with other values."""
    old = op.operand(position)
    array = np.asarray(values, old.values.dtype).reshape(old.shape if np.size(values) == old.size else [-1])
    if not np.array_equal(array, old.values):
        op.owner.set_input(op, position, Tensor(old.name, array.shape, old.dtype, array))


def last(label: ChannelLabel | None, rank: int) -> bool:
    """Return True for a label of the last axis."""
    return label is not None and label.axis == rank - 1
