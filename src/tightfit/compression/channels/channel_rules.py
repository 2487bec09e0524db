"""``CHANNEL_RULES``: how each builtin op treats channels, one row an op.

The channels that an op without a row reads are kept, and the reason names the op.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tightfit.compression.channels.channel_trace import EACH, ChannelLabel, ChannelRule, Trace, last, numbers
from tightfit.compression.channels.layer_rules import LAYERS
from tightfit.compression.channels.movement_rules import MOVEMENTS
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.constant_movements import MOVES


def follow(trace: Trace, op: Op) -> None:
    """Trace the channels through one op by its row."""
    rule = CHANNEL_RULES.get(op.kind)
    if rule is None:
        trace.freeze(op, "has no rule for channels")
    elif op.outputs:
        rule.trace(trace, op)


# -- elementwise ops ---------------------------------------------------------------------------------


def _pass(trace: Trace, op: Op) -> None:
    """Label the output of an elementwise op like its input."""
    label = trace.label(op, 0)
    if label is not None:
        trace.labels[op.outputs[0]] = label


def _pass_last(trace: Trace, op: Op) -> None:
    """Label the output of a window over height and width like the input's last axis."""
    label, source = trace.label(op, 0), op.inputs[0]
    if source is not None and last(label, len(source.shape)):
        _pass(trace, op)
    else:
        trace.freeze(op, "slides its window along them")


def _mix_last(trace: Trace, op: Op) -> None:
    """Freeze channels that an op normalizes along the last axis, as SOFTMAX does."""
    label, source = trace.label(op, 0), op.inputs[0]
    if source is not None and last(label, len(source.shape)):
        trace.freeze(op, "normalizes over them")
    else:
        _pass(trace, op)


# -- ops with several inputs -------------------------------------------------------------------------


def _combine(trace: Trace, op: Op) -> None:
    """Unite the channels of the operands of a broadcasting op."""
    output = op.outputs[0]
    labelled = [t for t in op.inputs if t is not None and t in trace.labels]
    if not labelled:
        return
    axes = {trace.labels[t].axis - len(t.shape): t for t in labelled if not _is_single(trace, t)}
    if len(axes) != 1:
        trace.freeze(op, "combines channels of different axes" if axes else "broadcasts one of them over all")
        return
    axis, first = next(iter(axes.items()))
    channels = trace.labels[first].channels
    if channels.size != output.shape[axis]:
        trace.freeze(op, "broadcasts them over another axis")
        return
    for position, tensor in enumerate(op.inputs):
        if tensor is not None:
            _join(trace, op, position, channels, axis)
    trace.labels[output] = ChannelLabel(axis + len(output.shape), channels)


def _is_single(trace: Trace, tensor: Tensor) -> bool:
    """Whether a tensor has one channel, which is broadcast over the others' channels."""
    return trace.labels[tensor].channels.size == 1


def _join(trace: Trace, op: Op, position: int, channels: np.ndarray, axis: int) -> None:
    """Unite one operand's channels with the given ones; ``axis`` counts from the end."""
    tensor = op.operand(position)
    label = trace.labels.get(tensor)
    size = tensor.shape[axis] if len(tensor.shape) >= -axis else 1
    if label is not None and label.channels.size == 1 and size != channels.size:
        trace.sets.freeze(label.channels, f"{op.kind} '{op.name}' broadcasts this one over all")
    elif label is not None:
        trace.sets.unite(channels, label.channels)
    elif size == 1:
        return  # one value for all channels
    elif tensor.is_constant:
        trace.cut(op, position, axis, channels, EACH)
    else:
        trace.sets.freeze(
            channels, f"{op.kind} '{op.name}' combines them with '{tensor.name}', which has no channels"
        )


# -- reductions --------------------------------------------------------------------------------------


def _reduce(trace: Trace, op: Op) -> None:
    """Label the output of a reduction over other axes; freeze channels that are reduced."""
    label, source = trace.label(op, 0), op.inputs[0]
    if label is None or source is None:
        return
    axes = numbers(op.input(1))
    if axes is None:
        trace.freeze(op, "computes its axes at run time")
        return
    reduced = {a % len(source.shape) for a in axes}
    if label.axis in reduced:
        trace.freeze(op, "reduces them to one value")
        return
    gone = 0 if op.options.get("keepDims", False) else sum(a < label.axis for a in reduced)
    trace.labels[op.outputs[0]] = ChannelLabel(label.axis - gone, label.channels)


def _count(trace: Trace, op: Op) -> None:
    """Freeze the channels of a SHAPE whose readers use their number."""
    label, source = trace.label(op, 0), op.inputs[0]
    if label is None or source is None:
        return
    for reader, _ in op.outputs[0].consumers:
        if label.axis in _taken(reader, len(source.shape)):
            trace.freeze(op, "computes with their number")
            return


def _taken(reader: Op, rank: int) -> set[int]:
    """The entries of a shape that an op reads: all, unless it is a slice with constant bounds."""
    bounds = [None if t is None else t.data for t in reader.inputs[1:]]
    if reader.kind not in ("STRIDED_SLICE", "SLICE") or any(b is None for b in bounds):
        return set(range(rank))
    arrays = [np.arange(rank), *(np.asarray(b) for b in bounds)]
    return {int(v) for v in np.asarray(MOVES[reader.kind].kernel(reader, arrays)).reshape(-1)}


def _move_blocks(trace: Trace, op: Op) -> None:
    """Label the output of SPACE_TO_BATCH_ND or BATCH_TO_SPACE_ND, which do not change the last axis."""
    label, source, block = trace.label(op, 0), op.inputs[0], op.input(1)
    if label is None or source is None:
        return
    if not last(label, len(source.shape)) or block is None or block.size >= len(source.shape) - 1:
        trace.freeze(op, "moves them in a way that channel pruning does not support")
        return
    trace.labels[op.outputs[0]] = label


_PASSING: Final = (
    "ABS", "CAST", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG",
    "LOGICAL_NOT", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT",
    "SIGN", "SIN", "SQRT", "SQUARE", "TANH", "ZEROS_LIKE",
)  # fmt: skip
_COMBINING: Final = (
    "ADD", "ADD_N", "ATAN2", "DIV", "EQUAL", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL", "LESS",
    "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "MAXIMUM", "MINIMUM", "MUL", "NOT_EQUAL", "POW", "PRELU",
    "SELECT_V2", "SQUARED_DIFFERENCE", "SUB",
)  # fmt: skip
_SLIDING: Final = (
    "AVERAGE_POOL_2D",
    "L2_POOL_2D",
    "MAX_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
)
_MIXING: Final = ("L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION", "LOG_SOFTMAX", "SOFTMAX")
_REDUCING: Final = ("MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM")
_BLOCKS: Final = ("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND")

CHANNEL_RULES: Final[dict[str, ChannelRule]] = {
    **LAYERS,
    **MOVEMENTS,
    **dict.fromkeys(_PASSING, ChannelRule(_pass)),
    **dict.fromkeys(_COMBINING, ChannelRule(_combine)),
    **dict.fromkeys(_SLIDING, ChannelRule(_pass_last)),
    **dict.fromkeys(_MIXING, ChannelRule(_mix_last)),
    **dict.fromkeys(_REDUCING, ChannelRule(_reduce)),
    **dict.fromkeys(_BLOCKS, ChannelRule(_move_blocks)),
    "SHAPE": ChannelRule(_count),
}
"""Op → how it treats channels."""
