"""Which entries of an output come from which op: found by going back through joins and movements.

A CONCATENATION or PACK joins parts that may have different units. What made a part (a dense layer, a
convolution) gives its name; the ops in between are followed as long as it is known where each entry goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Final

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.ops.elementwise_ops import BINARY, UNARY
from tightfit.streaming.slice_axes import MOST_COLUMNS, Axis, Part, Slices

SAME_UNIT_FROM: Final = 32
"""So many entries of one linear layer are a vector of one unit (logits, an embedding); fewer may differ."""

_BOUNDED: Final = frozenset({"LOGISTIC", "SOFTMAX", "TANH", "L2_NORMALIZATION", "LOG_SOFTMAX", "RELU6"})
_POINTWISE: Final = UNARY | {"CAST", "DEQUANTIZE", "FAKE_QUANT", "IDENTITY", "PRELU", "QUANTIZE"}
_RESHAPES: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_WEIGHTED: Final = frozenset(
    ["CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D"]
)
_DEEPEST: Final = 64
_MOST_PARTS: Final = 256

Traced = dict[int, tuple[Part, ...]]
"""Axis → its parts, of the axes that carry meaning."""


def find_slices(outputs: Mapping[str, Tensor]) -> Slices:
    """Return the axes of each output that carry meaning, with the parts that they are joined of.

    Args:
        outputs: output name → tensor of a float graph.
    """
    known: dict[Tensor, Traced] = {}
    return {name: tuple(_axes(name, tensor, known)) for name, tensor in outputs.items()}


def _axes(name: str, tensor: Tensor, known: dict[Tensor, Traced]) -> Iterator[Axis]:
    rank, found = len(tensor.shape), _trace(tensor, 0, known)
    for axis, parts in sorted(found.items()):
        size = tensor.shape[axis]
        if (axis > 0 or rank == 1) and size > 1 and len(parts) <= _MOST_PARTS:
            # A traced axis of positions (anchors of several scales) has parts, but no meaning entry by entry.
            yield Axis(axis, parts, columns=size <= MOST_COLUMNS)
    last = rank - 1
    if last > 0 and last not in found and 1 < tensor.shape[last] <= MOST_COLUMNS:
        yield Axis(last, (Part(0, tensor.shape[last], name),))


@dataclass(frozen=True)
class _Step:
    """One op on the way back."""

    op: Op
    tensor: Tensor
    depth: int
    known: dict[Tensor, Traced]

    def of(self, position: int) -> Traced:
        source = self.op.input(position)
        return {} if source is None else _trace(source, self.depth + 1, self.known)


def _trace(tensor: Tensor, depth: int, known: dict[Tensor, Traced]) -> Traced:
    if tensor not in known:
        known[tensor] = _looked_up(tensor, depth, known)
    return dict(known[tensor])


def _looked_up(tensor: Tensor, depth: int, known: dict[Tensor, Traced]) -> Traced:
    op = tensor.producer
    if tensor.is_constant or depth > _DEEPEST or not tensor.shape:
        return {}
    row = None if op is None else _ROWS.get(op.kind)
    if op is not None and row is not None:
        return row(_Step(op, tensor, depth, known))
    if op is not None and op.kind in _WEIGHTED:
        return _layer(op, tensor)
    return _leaf(tensor, tensor.name, one_unit=False)


def _leaf(tensor: Tensor, name: str, *, one_unit: bool) -> Traced:
    last = len(tensor.shape) - 1
    if last < 0:
        return {}
    return {last: (Part(0, tensor.shape[last], _short(name), one_unit),)}


def _layer(op: Op, tensor: Tensor) -> Traced:
    activated = op.options.get("fusedActivationFunction", 0) != 0
    many = tensor.shape[-1] >= SAME_UNIT_FROM
    return _leaf(tensor, op.name, one_unit=activated or many)


def _short(name: str) -> str:
    """The layer's part of a converter's name: ``model/head/conv/BiasAdd;model/…`` is ``head/conv``.

    Example:
        >>> _short("conv2d_4/exp"), _short("a/b/c/BiasAdd;x/y")
        ('conv2d_4', 'b/c')
    """
    pieces = [p for p in name.partition(";")[0].split("/") if p]
    if len(pieces) > 1:
        pieces = pieces[:-1]
    return "/".join(pieces[-2:]) or name


def _pointwise(step: _Step) -> Traced:
    found = step.of(0)
    if step.op.kind not in _BOUNDED:
        return found
    return {axis: tuple(replace(p, one_unit=True) for p in parts) for axis, parts in found.items()}


def _binary(step: _Step) -> Traced:
    shape = step.tensor.shape
    tensors = [t for t in step.op.inputs if t is not None]
    found: Traced = {}
    for position, source in enumerate(tensors):
        if source.is_constant:
            continue
        same = source.shape == shape
        for axis, parts in (step.of(position) if same else {}).items():
            found[axis] = _common(found[axis], parts) if axis in found else parts
    for source in tensors:
        if source.data is not None:
            _cut_at_constants(found, source, shape)
    return found


def _cut_at_constants(found: Traced, source: Tensor, shape: Sequence[int]) -> None:
    """A factor that changes along an axis, as anchors and pixel sizes do, gives its entries other units."""
    data = np.asarray(source.data)
    for axis in list(found):
        own = axis - (len(shape) - data.ndim)
        if own < 0 or data.shape[own] != shape[axis] or shape[axis] > MOST_COLUMNS:
            continue
        rows = np.moveaxis(data, own, 0).reshape(shape[axis], -1)
        changes = [i for i in range(1, len(rows)) if not np.array_equal(rows[i], rows[i - 1])]
        if 0 < len(changes) < 16:
            found[axis] = tuple(_cut(found[axis], changes))


def _cut(parts: Sequence[Part], places: Sequence[int]) -> Iterator[Part]:
    for part in parts:
        ends = [part.begin, *(p for p in places if part.begin < p < part.end), part.end]
        for begin, end in pairwise(ends):
            yield replace(part, begin=begin, end=end)


def _common(first: Sequence[Part], second: Sequence[Part]) -> tuple[Part, ...]:
    """The finer of two divisions of the same entries."""
    return tuple(_cut(first, [p.begin for p in second]))


def _concatenation(step: _Step) -> Traced:
    rank = len(step.tensor.shape)
    axis = int(step.op.options.get("axis", 0)) % rank
    sources = [t for t in step.op.inputs if t is not None]
    traced = [step.of(i) for i in range(len(step.op.inputs)) if step.op.input(i) is not None]
    joined: list[Part] = []
    start = 0
    for source, found in zip(sources, traced, strict=True):
        own = found.get(axis) or (Part(0, source.shape[axis], _short(source.name)),)
        joined += [replace(p, begin=p.begin + start, end=p.end + start) for p in own]
        start += source.shape[axis]
    result: Traced = {axis: tuple(joined)}
    for other in set.intersection(*(set(t) for t in traced)) - {axis} if traced else set():
        result[other] = _agreed([t[other] for t in traced])
    return result


def _agreed(divisions: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    found = divisions[0]
    for other in divisions[1:]:
        found = _common(found, other)
    return found


def _pack(step: _Step) -> Traced:
    rank = len(step.tensor.shape)
    axis = int(step.op.options.get("axis", 0)) % rank
    names = [t.name for t in step.op.inputs if t is not None]
    return {axis: tuple(Part(i, i + 1, _short(n)) for i, n in enumerate(names))}


def _transpose(step: _Step) -> Traced:
    order = step.op.input(1)
    if order is None or order.data is None:
        return {}
    places = np.asarray(order.data).reshape(-1).tolist()
    found = step.of(0)
    return {to: found[axis] for to, axis in enumerate(places) if axis in found}


def _reshape(step: _Step) -> Traced:
    source = step.op.input(0)
    if source is None:
        return {}
    found: Traced = {}
    for axis, parts in step.of(0).items():
        moved = _moved(source.shape, axis, parts, step.tensor.shape)
        if moved is not None:
            found[moved[0]] = moved[1]
    return found


def _moved(
    shape: Sequence[int], axis: int, parts: Sequence[Part], target: Sequence[int]
) -> tuple[int, tuple[Part, ...]] | None:
    """The axis of the target whose entries are whole multiples or parts of this one's, None without one."""
    stride, period = prod(shape[axis + 1 :]), prod(shape[axis:])
    for other in range(len(target)):
        own, whole = prod(target[other + 1 :]), prod(target[other:])
        if whole != period or target[other] == 1 or own == 0:
            continue
        ends = [(p.begin * stride, p.end * stride) for p in parts]
        if all(b % own == 0 and e % own == 0 for b, e in ends):
            return other, tuple(
                replace(p, begin=b // own, end=e // own) for p, (b, e) in zip(parts, ends, strict=True)
            )
    return None


def _slice(step: _Step) -> Traced:
    """Parts of what a SLICE or STRIDED_SLICE with constant places keeps; none of a strided one."""
    source = step.op.input(0)
    begin = step.op.input(1)
    masks = [
        k
        for k, v in step.op.options.items()
        if k.endswith("Mask") and v and k not in ("beginMask", "endMask")
    ]
    if (
        source is None
        or begin is None
        or begin.data is None
        or masks
        or len(source.shape) != len(step.tensor.shape)
    ):
        return {}
    if step.op.kind == "STRIDED_SLICE" and not _unit_steps(step.op):
        return {}
    starts = np.asarray(begin.data).reshape(-1).tolist()
    mask = int(step.op.options.get("beginMask", 0))
    found: Traced = {}
    for axis, parts in step.of(0).items():
        if axis >= len(starts):
            continue
        size = source.shape[axis]
        low = 0 if mask >> axis & 1 else (starts[axis] % size if starts[axis] < 0 else starts[axis])
        high = low + step.tensor.shape[axis]
        kept = [(max(p.begin, low), min(p.end, high), p) for p in parts]
        found[axis] = tuple(replace(p, begin=b - low, end=e - low) for b, e, p in kept if b < e)
    return found


def _unit_steps(op: Op) -> bool:
    steps = op.input(3)
    return steps is not None and steps.data is not None and bool((np.asarray(steps.data) == 1).all())


_ROWS: Final[dict[str, Callable[[_Step], Traced]]] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(_RESHAPES, _reshape),
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "TRANSPOSE": _transpose,
    "SLICE": _slice,
    "STRIDED_SLICE": _slice,
}
"""Op kind → the parts of its output, from those of its inputs."""
