"""Channel rules of ops with weights, which sum over the channels of their input and make new ones.

Source: the shapes that the kernels in ``tflite/kernels`` check in their ``Prepare``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tightfit.compression.channels.channel_trace import (
    EACH,
    MADE,
    SUMMED,
    ChannelLabel,
    ChannelRule,
    Kept,
    Trace,
    is_cuttable,
    last,
    replace_operand,
)
from tightfit.compression.channels.channel_union import Channels
from tightfit.graph.ir import Op, Tensor

_RUN_TIME = "computes its weights at run time"


def _shape(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.input(position)
    return () if tensor is None else tensor.shape


def _summed(trace: Trace, op: Op, position: int) -> Channels | None:
    """The channels of an image whose last axis is summed over; labels of another axis are frozen."""
    label = trace.label(op, position)
    if label is None:
        return None
    if not last(label, len(_shape(op, position))):
        trace.sets.freeze(label.channels, f"{op.kind} '{op.name}' slides its window along them")
        return None
    return label.channels


def _convolve(trace: Trace, op: Op) -> None:
    """(O, H, W, I): grouped where I is a part of the input's channels."""
    if not is_cuttable(op.input(1)):
        trace.freeze(op, _RUN_TIME)
        return
    filters = _shape(op, 1)
    given = _summed(trace, op, 0)
    channels = _shape(op, 0)[-1]
    groups = max(1, channels // filters[-1])
    made = trace.make(op, -1)
    if given is not None:
        parts = given.reshape(groups, -1)
        for part in parts[1:]:
            trace.sets.unite(parts[0], part)
        trace.cut(op, 1, 3, parts[0], SUMMED)
    if groups > 1 and made.size % groups == 0:
        _tie_groups(trace, op, made, groups, known=given is not None)
    trace.cut(op, 1, 0, made, MADE)
    trace.cut(op, 2, 0, made, EACH)


def _tie_groups(trace: Trace, op: Op, made: Channels, groups: int, *, known: bool) -> None:
    """Unite the filters of a grouped convolution across groups, so that all groups keep equally many."""
    if not known:
        trace.sets.freeze(made, f"{op.kind} '{op.name}' is grouped over channels that are kept")
    parts = made.reshape(groups, -1)
    for part in parts[1:]:
        trace.sets.unite(parts[0], part)


def _convolve_each(trace: Trace, op: Op) -> None:
    """(1, H, W, C · multiplier): output c · multiplier + m reads channel c."""
    if not is_cuttable(op.input(1)):
        trace.freeze(op, _RUN_TIME)
        return
    given, channels = _summed(trace, op, 0), _shape(op, 0)[-1]
    multiplier = _shape(op, 1)[-1] // max(1, channels)
    if channels == 1 and multiplier > 1:
        if given is not None:
            trace.sets.freeze(given, f"{op.kind} '{op.name}' makes all of its channels from this one")
        made = trace.make(op, -1)
        trace.cut(op, 1, 3, made, MADE)
    elif given is None:
        return
    else:
        made = np.repeat(given, multiplier)
        trace.labels[op.outputs[0]] = ChannelLabel(len(op.outputs[0].shape) - 1, made)
        trace.cut(op, 1, 3, made, EACH)
    trace.cut(op, 2, 0, made, EACH)


def _set_multiplier(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    """Set the depth multiplier of a depthwise convolution over one channel to its number of filters."""
    if _shape(op, 0)[-1] == 1 and op.outputs[0] in kept:
        op.options["depthMultiplier"] = op.outputs[0].shape[-1]


def _convolve_back(trace: Trace, op: Op) -> None:
    """(O, H, W, I); the first input is the shape of the output."""
    if not is_cuttable(op.input(1)) or op.inputs[0] is None or op.inputs[0].data is None:
        trace.freeze(op, _RUN_TIME)
        return
    given = _summed(trace, op, 2)
    if given is not None:
        trace.cut(op, 1, 3, given, SUMMED)
    made = trace.make(op, -1)
    trace.cut(op, 1, 0, made, MADE)
    trace.cut(op, 3, 0, made, EACH)


def _set_output_shape(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    if op.outputs[0] in kept:
        shape = op.operand(0)
        replace_operand(op, 0, [*shape.values.reshape(-1)[:-1].tolist(), op.outputs[0].shape[-1]])


def _convolve_volume(trace: Trace, op: Op) -> None:
    """(D, H, W, I, O)."""
    if not is_cuttable(op.input(1)) or _shape(op, 1)[3] != _shape(op, 0)[-1]:
        trace.freeze(op, _RUN_TIME)
        return
    given = _summed(trace, op, 0)
    if given is not None:
        trace.cut(op, 1, 3, given, SUMMED)
    made = trace.make(op, -1)
    trace.cut(op, 1, 4, made, MADE)
    trace.cut(op, 2, 0, made, EACH)


def _multiply(trace: Trace, op: Op) -> None:
    """FULLY_CONNECTED, (O, K): the input is read as rows of K values, whatever its shape."""
    weights, data = op.input(1), op.input(0)
    if not is_cuttable(weights) or weights is None or data is None:
        trace.freeze(op, _RUN_TIME)
        return
    spread = trace.spread(data)
    if spread is not None:
        rows = spread.reshape(-1, weights.shape[1])
        if (rows != rows[:, :1]).any() or rows.shape[1] == 1:
            if (rows != rows[:1]).any():
                for row in np.unique(rows, axis=0):
                    trace.sets.unite(rows[0], row)
            trace.cut(op, 1, 1, np.array(rows[0]), SUMMED)
        else:
            trace.freeze(op, "has one row for each of them")
    made = trace.make(op, -1)
    trace.cut(op, 1, 0, made, MADE)
    trace.cut(op, 2, 0, made, EACH)


def _multiply_matrices(trace: Trace, op: Op) -> None:
    """BATCH_MATMUL with a constant on the right, (…, K, O) or with adjY (…, O, K)."""
    weights = op.input(1)
    plain = is_cuttable(weights) and not op.options.get("adjX", False) and len(_shape(op, 1)) > 1
    if not plain:
        trace.freeze(op, "multiplies two activations")
        return
    inner, outer = (-1, -2) if op.options.get("adjY", False) else (-2, -1)
    given = _summed(trace, op, 0)
    if given is not None:
        trace.cut(op, 1, inner, given, SUMMED)
    trace.cut(op, 1, outer, trace.make(op, -1), MADE)


LAYERS = {
    "BATCH_MATMUL": ChannelRule(_multiply_matrices),
    "CONV_2D": ChannelRule(_convolve),
    "CONV_3D": ChannelRule(_convolve_volume),
    "DEPTHWISE_CONV_2D": ChannelRule(_convolve_each, _set_multiplier),
    "FULLY_CONNECTED": ChannelRule(_multiply),
    "TRANSPOSE_CONV": ChannelRule(_convolve_back, _set_output_shape),
}
