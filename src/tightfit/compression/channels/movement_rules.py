"""Channel rules of data-movement ops: their own kernels run on channel numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tightfit.compression.channels.channel_trace import ChannelRule, Kept, Trace, numbers, replace_operand
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.constant_movements import MOVES
from tightfit.graph.passes.constant_ops import NotComputableError
from tightfit.types import Array

_REFUSALS: Final = (NotComputableError, ValueError, IndexError, TypeError)


def _operands(trace: Trace, op: Op) -> list[Array] | None:
    """The operands as arrays: channel numbers of labelled tensors, values of constants; else None.

    An unlabelled tensor that is combined with labelled ones gets channels of its own, which are frozen.
    """
    given = [t for t in op.inputs if t is not None]
    axis = next((trace.labels[t].axis for t in given if t in trace.labels), None)
    found: list[Array] = []
    for tensor in given:
        spread = trace.spread(tensor)
        if spread is not None:
            found.append(spread)
        elif op.kind in ("CONCATENATION", "PACK"):
            if axis is None or axis >= len(tensor.shape):
                return None
            found.append(_staying(trace, op, tensor, axis))
        elif tensor.data is None:
            return None
        else:
            found.append(np.asarray(tensor.data))
    return None if axis is None else found


def _staying(trace: Trace, op: Op, tensor: Tensor, axis: int) -> Array:
    """New, frozen channels for an unlabelled tensor."""
    made = trace.sets.new(tensor.shape[axis])
    trace.sets.freeze(
        made, f"{op.kind} '{op.name}' combines them with '{tensor.name}', which has no channels"
    )
    shape = [1] * len(tensor.shape)
    shape[axis] = -1
    return np.broadcast_to(made.reshape(shape), tensor.shape)


def _move(trace: Trace, op: Op) -> None:
    """Run the op on channel numbers and label its outputs with the result."""
    arrays = _operands(trace, op)
    if arrays is None:
        trace.freeze(op, "takes an operand that is computed at run time")
        return
    try:
        made = MOVES[op.kind].kernel(op, arrays)
    except _REFUSALS:
        trace.freeze(op, "moves them in a way that channel pruning does not support")
        return
    results = made if isinstance(made, list) else [made]
    if any(r.shape != t.shape for r, t in zip(results, op.outputs, strict=True)):
        trace.freeze(op, "moves them into a shape that is computed at run time")
        return
    for tensor, result in zip(op.outputs, results, strict=True):
        trace.read(tensor, result)


def _reorder(trace: Trace, op: Op) -> None:
    """Trace a RESHAPE whose shape is a constant or an option."""
    shape = op.input(1)
    if shape is not None and shape.data is None:
        trace.freeze(op, "computes its shape at run time")
        return
    label = trace.label(op, 0)
    source = op.inputs[0]
    if label is None or source is None:
        return
    spread = trace.spread(source)
    assert spread is not None  # noqa: S101 - it has a label
    # A dynamic batch has a static size of one, which the operand's −1 also yields.
    trace.read(op.outputs[0], spread.reshape(op.outputs[0].shape))


def _set_shape(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    """Write the new sizes; a −1 is left unchanged."""
    shape, output = op.input(1), op.outputs[0]
    if output not in kept:
        return
    wanted = numbers(shape)
    if wanted is not None and len(wanted) == len(output.shape):
        replace_operand(op, 1, [w if w == -1 else d for w, d in zip(wanted, output.shape, strict=True)])
    listed = op.options.get("newShape")
    if listed is not None and len(listed) == len(output.shape):
        pairs = zip([int(v) for v in listed], output.shape, strict=True)
        op.options["newShape"] = [w if w == -1 else d for w, d in pairs]


def _take_slice(trace: Trace, op: Op) -> None:
    """Trace a SLICE or STRIDED_SLICE that takes all channels."""
    label = trace.label(op, 0)
    if label is None:
        return
    if op.kind == "STRIDED_SLICE" and not _is_plain(op, label.axis):
        trace.freeze(op, "takes a part of them, which channel pruning does not support")
        return
    _move(trace, op)


def _is_plain(op: Op, axis: int) -> bool:
    """True when the slice takes all channels, and no axis moves before theirs."""
    source, bounds = op.inputs[0], [numbers(op.input(i)) for i in (1, 2, 3)]
    begin, end, strides = bounds
    if source is None or begin is None or end is None or strides is None:
        return False
    if op.options.get("ellipsisMask", 0) or op.options.get("newAxisMask", 0):
        return False
    if axis >= len(begin):
        return True
    low = 0 if op.options.get("beginMask", 0) >> axis & 1 else begin[axis]
    high = source.shape[axis] if op.options.get("endMask", 0) >> axis & 1 else end[axis]
    whole = low == 0 and high >= source.shape[axis] and strides[axis] == 1
    return whole and not op.options.get("shrinkAxisMask", 0) >> axis & 1


def _set_slice(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    source = op.inputs[0]
    if source is None or source not in kept or op.kind != "SLICE":
        return
    axis = kept[source].axis
    begin, size = numbers(op.input(1)), numbers(op.input(2))
    assert begin is not None and size is not None  # noqa: S101, PT018 - seen by the trace
    start, count = begin[axis], size[axis]
    begin[axis] = kept[source].before(start)
    if count != -1:
        size[axis] = kept[source].before(start + count) - begin[axis]
    replace_operand(op, 1, begin)
    replace_operand(op, 2, size)


def _split(trace: Trace, op: Op) -> None:
    """Trace a SPLIT into equal parts: the parts lose the same channels."""
    _move(trace, op)
    labels = [trace.labels[t] for t in op.outputs if t in trace.labels]
    for label in labels[1:]:
        if label.channels.size == labels[0].channels.size:
            trace.sets.unite(labels[0].channels, label.channels)


def _split_unequally(trace: Trace, op: Op) -> None:
    """Trace a SPLIT_V into parts of given sizes along one axis."""
    source, axis, sizes = op.inputs[0], numbers(op.input(2)), numbers(op.input(1))
    spread = None if source is None else trace.spread(source)
    if spread is None:
        return
    if axis is None or sizes is None:
        trace.freeze(op, "takes an operand that is computed at run time")
        return
    ends = np.cumsum([t.shape[axis[0]] for t in op.outputs])[:-1]
    for tensor, part in zip(op.outputs, np.split(spread, ends, axis[0]), strict=True):
        trace.read(tensor, part)


def _set_sizes(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    if any(t in kept for t in op.outputs):
        axis = numbers(op.input(2))
        assert axis is not None  # noqa: S101 - seen by the trace
        replace_operand(op, 1, [t.shape[axis[0]] for t in op.outputs])


def _pad(trace: Trace, op: Op) -> None:
    """Trace a PAD; its new, constant channels are removed with the channels they are added to."""
    source, widths = op.inputs[0], numbers(op.input(1))
    label = trace.label(op, 0)
    if label is None or source is None:
        return
    if widths is None:
        trace.freeze(op, "takes an operand that is computed at run time")
        return
    low, high = widths[2 * label.axis : 2 * label.axis + 2]
    if op.kind == "MIRROR_PAD" and (low or high):
        trace.freeze(op, "mirrors them")
        return
    channels = np.concatenate([trace.sets.new(low), label.channels, trace.sets.new(high)])
    spread = np.broadcast_to(
        channels.reshape([-1 if a == label.axis else 1 for a in range(len(source.shape))]),
        op.outputs[0].shape,
    )
    trace.read(op.outputs[0], spread)


def _set_widths(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    output, widths = op.outputs[0], numbers(op.input(1))
    if output not in kept or widths is None:
        return
    axis, whole = kept[output].axis, kept[output].mask.size
    low, high = widths[2 * axis : 2 * axis + 2]
    widths[2 * axis] = kept[output].before(low)
    widths[2 * axis + 1] = kept[output].before(whole) - kept[output].before(whole - high)
    replace_operand(op, 1, widths)


def _gather(trace: Trace, op: Op) -> None:
    label, axis = trace.label(op, 0), int(op.options.get("axis", 0))
    if label is None:
        return
    source = op.inputs[0]
    if source is not None and axis % len(source.shape) == label.axis:
        trace.freeze(op, "picks them by number")
        return
    _move(trace, op)


def _set_broadcast(op: Op, kept: Mapping[Tensor, Kept]) -> None:
    if op.outputs[0] in kept:
        replace_operand(op, 1, list(op.outputs[0].shape))


def _to_depth(trace: Trace, op: Op) -> None:
    """SPACE_TO_DEPTH: output (i · block + j) · C + c is channel c."""
    label, output = trace.label(op, 0), op.outputs[0]
    if label is None:
        return
    if label.axis != 3:
        trace.freeze(op, "moves them in a way that channel pruning does not support")
        return
    channels = np.tile(label.channels, output.shape[3] // label.channels.size)
    trace.read(output, np.broadcast_to(channels, output.shape))


def _from_depth(trace: Trace, op: Op) -> None:
    """DEPTH_TO_SPACE: channels (i · block + j) · C + c become channel c, so they go together."""
    label, output = trace.label(op, 0), op.outputs[0]
    if label is None:
        return
    if label.axis != 3:
        trace.freeze(op, "moves them in a way that channel pruning does not support")
        return
    parts = label.channels.reshape(-1, output.shape[3])
    for part in parts[1:]:
        trace.sets.unite(parts[0], part)
    trace.read(output, np.broadcast_to(parts[0], output.shape))


MOVEMENTS: Final[dict[str, Any]] = {
    "BROADCAST_TO": ChannelRule(_move, _set_broadcast),
    "CONCATENATION": ChannelRule(_move),
    "DEPTH_TO_SPACE": ChannelRule(_from_depth),
    "EXPAND_DIMS": ChannelRule(_move),
    "GATHER": ChannelRule(_gather),
    "MIRROR_PAD": ChannelRule(_pad, _set_widths),
    "PACK": ChannelRule(_move),
    "PAD": ChannelRule(_pad, _set_widths),
    "PADV2": ChannelRule(_pad, _set_widths),
    "RESHAPE": ChannelRule(_reorder, _set_shape),
    "REVERSE_V2": ChannelRule(_move),
    "SLICE": ChannelRule(_take_slice, _set_slice),
    "SPACE_TO_DEPTH": ChannelRule(_to_depth),
    "SPLIT": ChannelRule(_split),
    "SPLIT_V": ChannelRule(_split_unequally, _set_sizes),
    "SQUEEZE": ChannelRule(_move),
    "STRIDED_SLICE": ChannelRule(_take_slice, _set_slice),
    "TILE": ChannelRule(_move),
    "TRANSPOSE": ChannelRule(_move),
    "UNPACK": ChannelRule(_move),
}
