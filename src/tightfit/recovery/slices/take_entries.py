"""Compute only some entries of an axis: followed back through the ops, where layers lose rows.

    take(CONCATENATION(a, b)) is a or b,    take(f(x)) = f(take(x)),    take(W·x + b) = take(W)·x + take(b)

Everything is exact, as the entries are computed as before. A SLICE follows an op that nothing is known of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.graph.ops.activations import fused_activation
from tightfit.graph.ops.elementwise_ops import BINARY, UNARY
from tightfit.recovery.slices.standardize import BIAS, CHANNEL_AXIS

Entries = tuple[int, ...]

_ALONG_LAST: Final = frozenset({"SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION"})
_RESHAPES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_DEPTHWISE: Final = "DEPTHWISE_CONV_2D"


class CannotTakeError(Exception):
    """Entries that are not neighbours, of an op that nothing is known of."""


@dataclass
class Taking:
    """Takes entries of tensors of one graph; what was taken once is used again.

    Args:
        graph: new ops are added to it, each before what reads it.
        suffix: of the names of new tensors.
    """

    graph: Graph
    suffix: str
    _known: dict[tuple[Tensor, int, Entries], Tensor] = field(default_factory=dict)

    def take(self, tensor: Tensor, axis: int, entries: Entries) -> Tensor:
        """Return a tensor that has only some entries of an axis.

        Args:
            tensor: the tensor that is read.
            axis: counted from 0.
            entries: in ascending order.

        Raises:
            CannotTakeError: no op computes them.
        """
        if entries == tuple(range(tensor.shape[axis])):
            return tensor
        key = (tensor, axis, entries)
        if key not in self._known:
            self._known[key] = self._taken(tensor, axis, entries)
        return self._known[key]

    def _taken(self, tensor: Tensor, axis: int, entries: Entries) -> Tensor:
        if tensor.data is not None:
            values = np.ascontiguousarray(np.take(tensor.data, entries, axis))
            return Tensor(f"{tensor.name}/{self.suffix}", values.shape, tensor.dtype, values)
        op = tensor.producer
        row = None if op is None or len(op.outputs) != 1 else _ROWS.get(op.kind)
        found = None if op is None or row is None else row(self, op, axis, entries)
        return self._sliced(tensor, axis, entries) if found is None else found

    def _sliced(self, tensor: Tensor, axis: int, entries: Entries) -> Tensor:
        if entries != tuple(range(entries[0], entries[-1] + 1)):
            raise CannotTakeError(tensor.name)
        begin = [entries[0] if i == axis else 0 for i in range(len(tensor.shape))]
        size = [len(entries) if i == axis else n for i, n in enumerate(tensor.shape)]
        places = [Tensor(f"{tensor.name}/{self.suffix}/{name}", [len(size)], "int32", np.array(v, np.int32))
                  for name, v in (("begin", begin), ("size", size))]  # fmt: skip
        op = Op("SLICE", [tensor, *places], [], {}, "SliceOptions")
        return self.added(op, tensor, axis, len(entries), tensor.producer)

    def added(self, op: Op, like: Tensor, axis: int, count: int, anchor: Op | None) -> Tensor:
        """Add an op behind another; return its output, which has ``count`` entries along an axis."""
        shape, free = _with(like.shape, axis, count), like.shape_signature
        signature = None if free is None else _with(free, axis, count)
        result = Tensor(f"{like.name}/{self.suffix}", shape, like.dtype, shape_signature=signature)
        op.outputs = [result]
        if anchor is None:
            self.graph.insert(0, op)
        else:
            self.graph.insert_after(anchor, op)
        return result

    def again(self, op: Op, inputs: Sequence[Tensor | None], axis: int, count: int) -> Tensor:
        """Add a twin of an op that reads other inputs, behind the op itself."""
        twin = Op(op.kind, list(inputs), [], dict(op.options), op.options_type, op.version)
        return self.added(twin, op.outputs[0], axis, count, op)


def _with(shape: Sequence[int], axis: int, count: int) -> list[int]:
    return [count if i == axis else n for i, n in enumerate(shape)]


def _pointwise(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    source, last = op.operand(0), len(op.outputs[0].shape) - 1
    if op.kind in _ALONG_LAST and axis == last:
        return None
    return taking.again(op, [taking.take(source, axis, entries)], axis, len(entries))


def _binary(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    rank, inputs = len(op.outputs[0].shape), list[Tensor | None]()
    for tensor in op.inputs:
        if tensor is None:
            return None
        own = axis - (rank - len(tensor.shape))
        whole = own < 0 or tensor.shape[own] == 1
        inputs.append(tensor if whole else taking.take(tensor, own, entries))
    return taking.again(op, inputs, axis, len(entries))


def _concatenation(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    rank = len(op.outputs[0].shape)
    joined = int(op.options.get("axis", 0)) % rank
    if fused_activation(op):
        return None
    parts = [t for t in op.inputs if t is not None]
    if joined != axis:
        return taking.again(op, [taking.take(t, axis, entries) for t in parts], axis, len(entries))
    pieces, begin = list[Tensor](), 0
    for tensor in parts:
        end = begin + tensor.shape[axis]
        own = tuple(i - begin for i in entries if begin <= i < end)
        pieces += [taking.take(tensor, axis, own)] if own else []
        begin = end
    return pieces[0] if len(pieces) == 1 else taking.again(op, pieces, axis, len(entries))


def _pack(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    rank = len(op.outputs[0].shape)
    packed = int(op.options.get("axis", 0)) % rank
    parts = [t for t in op.inputs if t is not None]
    if packed != axis:
        own = axis - (axis > packed)
        return taking.again(op, [taking.take(t, own, entries) for t in parts], axis, len(entries))
    options = {**op.options, "valuesCount": len(entries)}
    twin = Op(op.kind, [parts[i] for i in entries], [], options, op.options_type, op.version)
    return taking.added(twin, op.outputs[0], axis, len(entries), op)


def _reshape(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    source, target = op.operand(0), op.outputs[0]
    found = _before_reshape(source.shape, target.shape, axis, entries)
    if found is None:
        return None
    shape = _with(target.shape_signature or target.shape, axis, len(entries))
    values = np.array(shape, np.int32)
    places = Tensor(f"{target.name}/{taking.suffix}/shape", values.shape, "int32", values)
    twin = Op("RESHAPE", [taking.take(source, *found), places], [], {"newShape": shape}, "ReshapeOptions")
    return taking.added(twin, target, axis, len(entries), op)


def _before_reshape(
    source: Sequence[int], target: Sequence[int], axis: int, entries: Entries
) -> tuple[int, Entries] | None:
    """The axis and entries of a RESHAPE's input that become some of its output's, None without one."""
    own, whole = prod(target[axis + 1 :]), prod(target[axis:])
    kept = set(entries)
    for place, size in enumerate(source):
        step = prod(source[place + 1 :])
        if size > 1 and own % step == 0 and (step * size) % whole == 0:
            return place, tuple(i for i in range(size) if (i * step) % whole // own in kept)
    return None


def _transpose(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    order = op.input(1)
    if order is None or order.data is None:
        return None
    place = int(np.asarray(order.data).reshape(-1)[axis])
    return taking.again(op, [taking.take(op.operand(0), place, entries), order], axis, len(entries))


def _layer(taking: Taking, op: Op, axis: int, entries: Entries) -> Tensor | None:
    last, channel = len(op.outputs[0].shape) - 1, CHANNEL_AXIS[op.kind]
    inputs = [*op.inputs, *[None] * (BIAS[op.kind] + 1 - len(op.inputs))]
    weights, bias = inputs[1], inputs[BIAS[op.kind]]
    constant = all(t is None or (t.data is not None and t.sparsity is None) for t in (weights, bias))
    if axis != last or weights is None or not constant or op.kind == _DEPTHWISE:
        return None
    inputs[1] = taking.take(weights, channel, entries)
    inputs[BIAS[op.kind]] = None if bias is None else taking.take(bias, len(bias.shape) - 1, entries)
    if op.kind == "TRANSPOSE_CONV" and inputs[0] is not None and inputs[0].data is not None:
        size = np.array(inputs[0].data)
        size[-1] = len(entries)
        inputs[0] = Tensor(f"{inputs[0].name}/{taking.suffix}", size.shape, "int32", size)
    return taking.again(op, inputs, axis, len(entries))


Row = Callable[[Taking, Op, int, Entries], Any]

_ROWS: Final[dict[str, Row]] = {
    **dict.fromkeys(UNARY, _pointwise),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(_RESHAPES, _reshape),
    **dict.fromkeys(CHANNEL_AXIS, _layer),
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "TRANSPOSE": _transpose,
}
"""Op kind → how entries of its output come from entries of its inputs."""
