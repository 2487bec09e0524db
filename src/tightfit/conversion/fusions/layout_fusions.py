"""Rewrites of what converters leave around convolutions, reductions and normalization. One function each.

The docstring of each has its condition; each edits in place and changes at most the order of roundings.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.edits import each_op, integers, only_reader

_REDUCTIONS: Final = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"})
_WINDOWS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"})
_SCALAR: Final = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "SQRT", "RSQRT", "NEG", "ABS", "SQUARE", "EXP"}
)
_SAME, _VALID = 0, 1

# -- padding ---------------------------------------------------------------------------------------


def fuse_padding(model: Model) -> list[str]:
    """Turns PAD before a VALID window into SAME.

    Condition: the padding is what SAME would add, on height and width alone, with zeros (convolutions) or
    with the lowest float (MAX_POOL_2D), and nothing else reads it.
    """
    return each_op(model, _fuse_padding, "Fused {} of padding into the window after it.")


def _fuse_padding(graph: Graph, pad: Op, kept: set[Tensor]) -> bool:
    if pad.kind not in ("PAD", "PADV2") or pad.inputs[0] is None:
        return False
    window = only_reader(pad.outputs[0], kept)
    widths = integers(pad.input(1))
    source = pad.inputs[0]
    if window is None or window.kind not in _WINDOWS or window.inputs[0] is not pad.outputs[0] or not widths:
        return False
    fills = window.options.get("padding", _SAME) == _VALID and _is_neutral(pad, window.kind)
    if not fills or len(widths) != 8 or any(widths[:2] + widths[6:]):
        return False
    if -1 in (source.shape_signature or ())[1:] or widths[2:6] != _same_widths(window, source.shape):
        return False
    graph.set_input(window, 0, source)
    graph.remove(pad)
    window.options["padding"] = _SAME
    return True


def _is_neutral(pad: Op, window: str) -> bool:
    """True when the padding is what the window itself would pad with."""
    value = pad.input(2)
    fill = 0.0 if value is None else None if value.data is None else float(np.asarray(value.data).reshape(()))
    if fill is None:
        return False
    return bool(fill <= np.finfo(np.float32).min) if window == "MAX_POOL_2D" else fill == 0.0


def _same_widths(window: Op, shape: tuple[int, ...]) -> list[int]:
    """What SAME adds above, below, left and right."""
    widths = []
    kernel = window.inputs[1].shape[1:3] if window.kind != "MAX_POOL_2D" and window.inputs[1] else None
    for axis, letter in ((0, "H"), (1, "W")):
        size = kernel[axis] if kernel else window.options[{"H": "filterHeight", "W": "filterWidth"}[letter]]
        reach = (size - 1) * max(1, window.options.get(f"dilation{letter}Factor", 1)) + 1
        stride, length = window.options[f"stride{letter}"], shape[1 + axis]
        total = max(0, (-(-length // stride) - 1) * stride + reach - length)
        widths += [total // 2, total - total // 2]
    return widths


# -- order of dimensions ---------------------------------------------------------------------------


def reduce_before_transpose(model: Model) -> list[str]:
    """Lets a reduction read what a TRANSPOSE read, over the axes' old places.

    Condition: the reduced axes are constant and the kept dimensions stand in the same order either way.
    """
    return each_op(model, _reduce_before_transpose, "Took the transpose before {} out.")


def _reduce_before_transpose(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    source = op.input(0)
    before = None if source is None else source.producer
    axes = integers(op.input(1)) if op.kind in _REDUCTIONS else None
    if before is None or before.kind != "TRANSPOSE" or axes is None or op.options.get("keepDims", False):
        return False
    order = integers(before.input(1))
    if order is None:
        return False
    reduced = {order[a % len(order)] for a in axes}
    left = [place for place in order if place not in reduced]
    if left != sorted(left):
        return False
    graph.set_input(op, 0, before.inputs[0])
    moved = np.asarray(sorted(reduced), np.int32)
    graph.set_input(op, 1, Tensor(f"{op.name}/axes", moved.shape, "int32", moved))
    return True


def merge_transposes(model: Model) -> list[str]:
    """Makes one TRANSPOSE of two in a row; a pair that undoes itself is then an identity and goes."""
    return each_op(model, _merge_transposes, "Merged {} with the transpose before.")


def _merge_transposes(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    source = op.input(0)
    before = None if source is None or op.kind != "TRANSPOSE" else source.producer
    if before is None or before.kind != "TRANSPOSE":
        return False
    first, second = integers(before.input(1)), integers(op.input(1))
    if first is None or second is None:
        return False
    order = np.asarray([first[i] for i in second], np.int32)
    graph.set_input(op, 0, before.inputs[0])
    graph.set_input(op, 1, Tensor(f"{op.name}/order", order.shape, "int32", order))
    return True


# -- reductions and normalization ------------------------------------------------------------------


def keep_reduced_dimensions(model: Model) -> list[str]:
    """Lets a reduction keep its axes where a RESHAPE after it puts them back.

    Condition: between the two stand only ops with one number as the other operand, each read once.
    """
    return each_op(model, _keep_reduced, "Let the reduction keep its axes instead of {} that put them back.")


def _keep_reduced(graph: Graph, reshape: Op, kept: set[Tensor]) -> bool:
    if reshape.kind != "RESHAPE" or reshape.outputs[0] in kept:
        return False
    target = reshape.outputs[0]
    chain: list[Op] = []
    tensor = reshape.inputs[0]
    while tensor is not None and only_reader(tensor, kept) is not None and tensor.producer is not None:
        op = tensor.producer
        if op.kind in _REDUCTIONS:
            return _apply_kept(graph, reshape, op, chain, target)
        others = [t for t in op.inputs if t is not None and not t.is_constant]
        scalars = all(t is None or t.size == 1 for t in op.inputs if t not in others)
        if op.kind not in _SCALAR or len(others) != 1 or not scalars:
            return False
        chain.append(op)
        tensor = others[0]
    return False


def _apply_kept(graph: Graph, reshape: Op, op: Op, chain: list[Op], target: Tensor) -> bool:
    source, axes = op.inputs[0], integers(op.input(1))
    if source is None or axes is None or op.options.get("keepDims", False):
        return False
    reduced = {a % len(source.shape) for a in axes}
    shape = tuple(1 if i in reduced else size for i, size in enumerate(source.shape))
    if target.shape != shape or source.shape_signature is not None:
        return False
    op.options["keepDims"] = True
    op.options_type = op.options_type or "ReducerOptions"
    for inner in (op, *chain):
        inner.outputs[0].shape, inner.outputs[0].shape_signature = shape, None
    graph.remove(reshape)
    graph.replace_uses(target, reshape.inputs[0])  # type: ignore[arg-type] # a RESHAPE has an input
    return True


def centre_normalization(model: Model) -> list[str]:
    """Writes ``x·s + (β − m·s)`` as ``(x − m)·s + β``: three ops fewer, and no difference of large products.

    Condition: the graph computes ``x − m`` already (layer normalization does, for the variance), and the
    product and the sum are read once. A factor γ in ``s`` is applied after the centring.
    """
    return each_op(model, _centre, "Centred {} of normalization.")


def _centre(graph: Graph, last: Op, kept: set[Tensor]) -> bool:
    if last.kind != "ADD" or last.options.get("fusedActivationFunction", 0):
        return False
    for product, rest in (last.inputs, last.inputs[::-1]):
        found = _parts(product, rest, kept)
        if found is None:
            continue
        centred, scale, beta = found
        scaled = _scaled(graph, last, centred, scale)
        if beta is None:
            result = last.outputs[0]
            graph.remove(last)
            graph.set_output(scaled, 0, result)
        else:
            graph.set_input(last, 0, scaled.outputs[0])
            graph.set_input(last, 1, beta)
        return True
    return False


def _parts(
    product: Tensor | None, rest: Tensor | None, kept: set[Tensor]
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """``x − m``, s and β of ``product = x·s`` and ``rest = (−m)·s + β`` (or without β)."""
    if product is None or rest is None or not _is_plain(product, "MUL", kept) or rest.producer is None:
        return None
    beta = None
    shifted = rest
    if rest.producer.kind == "ADD" and _is_plain(rest, "ADD", kept):
        a, b = rest.producer.inputs
        shifted, beta = (a, b) if b is not None and b.is_constant else (b, a)  # type: ignore[assignment]
        if beta is None or not beta.is_constant:
            return None
    if shifted is None or not _is_plain(shifted, "MUL", kept):
        return None
    for x, scale in _pairs(product):
        for negated, other in _pairs(shifted):
            minus = negated.producer
            if other is scale and minus is not None and minus.kind == "NEG":
                centred = _difference(x, minus.inputs[0])
                if centred is not None and centred.shape == product.shape:
                    return centred, scale, beta
    return None


def _is_plain(tensor: Tensor, kind: str, kept: set[Tensor]) -> bool:
    op = tensor.producer
    fused = op is not None and op.options.get("fusedActivationFunction", 0)
    return op is not None and op.kind == kind and not fused and only_reader(tensor, kept) is not None


def _pairs(tensor: Tensor) -> list[tuple[Any, Any]]:
    a, b = tensor.writer.inputs
    return [(a, b), (b, a)]


def _difference(x: Tensor, mean: Tensor | None) -> Tensor | None:
    """The tensor ``x − mean`` where the graph has it."""
    for op, position in x.consumers:
        plain = op.kind == "SUB" and position == 0 and not op.options.get("fusedActivationFunction", 0)
        if plain and op.inputs[1] is mean:
            return op.outputs[0]
    return None


def _scaled(graph: Graph, last: Op, centred: Tensor, scale: Tensor) -> Op:
    """``centred · s`` before an op; ``s = r·γ`` becomes ``(centred · r) · γ``, whose first factor is tame."""
    factors = [scale]
    if scale.producer is not None and scale.producer.kind == "MUL":
        a, b = scale.producer.inputs
        if a is not None and b is not None and (a.is_constant or b.is_constant):
            factors = [b, a] if a.is_constant else [a, b]
    value = centred
    for factor in factors:
        result = Tensor(f"{last.name}/scaled", centred.shape)
        graph.insert_before(last, Op("MUL", [value, factor], [result], {}, "MulOptions"))
        value = result
    return value.writer
