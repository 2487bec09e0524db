"""Decide how each op runs under a scheme, with the reason: integer, hybrid, unpacked, float or exact.

The decision is made for each op from ``OP_RULES``; then data movement between float ops is kept in float.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.graph.ops.sequence_lstm import starts_from_zero, unlike_plain
from tightfit.graph.passes.pointwise import is_pointwise
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.ops.rule_lookup import (
    READS_ANY_TYPE,
    TABLES,
    find_rule,
    is_float_constant,
    only_moves,
    real_inputs,
    real_outputs,
    weight_of,
)
from tightfit.quantization.plan import EXACT, FLOAT, HYBRID, INTEGER, UNPACKED, OpPlan
from tightfit.quantization.refusals import constant_range, integer_refusal, kernel_range, written_range
from tightfit.quantization.scheme import SCHEMES, Scheme, find_op_scheme

_CHANNEL_BYTES: Final = 12
"""What a channel of int8 weights adds to a file: a float32 scale and a 64-bit zero point."""

_OP_BYTES: Final = 256
"""What a DEQUANTIZE with its tensor and names adds to a file, at most."""

SMALLEST_HALF: Final = 128
"""Constants with fewer elements stay float32 under float16: they save less than a DEQUANTIZE takes."""


NARROW: Final = ("int4", "int2")
"""Weight types of fewer than eight bits."""


@dataclass(frozen=True)
class Override:
    """Another scheme for some ops.

    Args:
        pattern: an op's name or kind; ``*`` and ``?`` are allowed.
        scheme: a scheme's name, or ``float``.
        reason: the reason in the plan.
        is_optional: whether it may match no op.
    """

    pattern: str
    scheme: str
    reason: str = ""
    is_optional: bool = False

    def matches(self, op: Op) -> bool:
        """Return True when the pattern matches the op's kind or the name of one of its outputs."""
        names = [op.kind, *(t.name for t in op.outputs)]
        return any(n == self.pattern or fnmatch.fnmatchcase(n, self.pattern) for n in names)


@dataclass(frozen=True)
class Context:
    """The inputs of the decisions for one graph: scheme, overrides, ranges."""

    index: int
    scheme: Scheme
    overrides: Sequence[Override]
    ranges: Ranges
    keys: dict[Tensor, str]

    def range_of(self, tensor: Tensor, dtype: str) -> Range | None:
        """Return the range of a tensor: a constant's own, one that a kernel fixes, or the calibrated one.

        Raises:
            QuantizationError: the tensor was NaN or infinite in all calibration samples.
        """
        known = constant_range(tensor) or kernel_range(tensor, dtype)
        return known or self.ranges.find(self.index, self.keys[tensor], dtype) or written_range(tensor)


def decide_modes(graph: Graph, context: Context) -> list[OpPlan]:
    """Return one ``OpPlan`` for each op, with its mode and reason; constants are decided later."""
    plans = [_decide(op, context) for op in graph.ops]
    _keep_movement_in_float(graph, plans, integer_ends=context.scheme.interface != "float32")
    return plans


def has_kernel(op: Op, scheme: Scheme) -> bool:
    """Return False for an op whose activations a scheme wants in integers and no kernel takes them."""
    rule = find_rule(op.kind)
    return scheme.compute != INTEGER or rule is None or rule.version(scheme.activations or "int8") is not None


def weight_positions(op: Op, rule: OpRule | None, smallest: int | None = None) -> list[int]:
    """Return the input positions of float constants that are stored in a smaller type.

    Args:
        op: the op.
        rule: its rule, or None.
        smallest: least number of elements; None for those that make the file smaller.
    """
    positions: Sequence[int] = range(len(op.inputs))
    if rule is not None:
        positions = rule.dynamic_weights() or ([TABLES[op.kind]] if op.kind in TABLES else [])
    axis = TABLES.get(op.kind) if rule is None else (0 if has_rows(op, rule) else rule.weight_axis)
    return [i for i in positions if _shrinks(op.input(i), axis, smallest)]


def has_rows(op: Op, rule: OpRule) -> bool:
    """Return True for an LSTM whose weights are unpacked with a scale for each row.

    Its dynamic-range kernel takes one scale a matrix, which costs 3 to 4 dB and saves no time on x86.
    """
    return bool(rule.gates) and unlike_plain(op) is None and starts_from_zero(op)


def _shrinks(tensor: Tensor | None, axis: int | None, smallest: int | None) -> bool:
    """True for a float constant that saves more than its scales and a DEQUANTIZE take: 3 bytes an element."""
    if tensor is None or smallest is not None:
        return is_float_constant(tensor, smallest or 0)
    channels = tensor.shape[axis] if axis is not None and axis < len(tensor.shape) else 1
    return is_float_constant(tensor) and 3 * tensor.size > _CHANNEL_BYTES * channels + _OP_BYTES


def hybrid_positions(
    op: Op, rule: OpRule | None, weights: str = "int8", smallest: int | None = None
) -> list[int]:
    """Return the weight positions of an op with a kernel for float activations and integer weights.

    The kernels require all weights in one type, so small weights are quantized with large ones.

    Args:
        op: the op.
        rule: its rule, or None.
        weights: type of the stored weights.
        smallest: least number of elements of one of them; None for what makes the file smaller.
    """
    if rule is None or rule.version("float32", weights) is None or not weight_positions(op, rule, smallest):
        return []
    if weights == "int2" and op.kind == "CONV_2D" and not is_pointwise(op):
        return []  # only the dense kernel reads 2 bits rightly, and a layout writes a 1×1 convolution as one
    present = [i for i in rule.dynamic_weights() if op.input(i) is not None]
    return present if all(is_float_constant(op.input(i)) for i in present) else []


def _decide(op: Op, context: Context) -> OpPlan:
    scheme, asked = scheme_of(op, context)
    plan = OpPlan(op.name, op.kind, FLOAT, asked)
    if not _carries_reals(op):
        plan.mode, plan.reason = EXACT, ""
    elif scheme is not None and scheme.compute == INTEGER:
        _integer(op, plan, scheme, context)
    elif scheme is not None:
        _smaller_weights(op, plan, scheme)
    return plan


def scheme_of(op: Op, context: Context) -> tuple[Scheme | None, str]:
    """Return the scheme of an op (None for float), and the reason where it differs from the model's."""
    for override in context.overrides:
        if override.matches(op):
            reason = override.reason or f"asked for: {override.pattern} → {override.scheme}"
            own = _own_scheme(override, context.scheme)
            return (None if own is None else _computable(op, own)[0]), reason
    scheme, reason = _wide_enough(op, context.scheme)
    if scheme is not context.scheme:
        return scheme, reason
    return _computable(op, scheme)


def _computable(op: Op, scheme: Scheme) -> tuple[Scheme, str]:
    """The scheme with int8 weights for an op whose integer kernel does not support narrower ones.

    A product of two activations (attention) stores no weights, so it has no reason.
    """
    rule, dtype = find_rule(op.kind), scheme.activations or ""
    if scheme.compute != INTEGER or scheme.weights not in NARROW or rule is None:
        return scheme, ""
    if rule.version(dtype, scheme.weights) is not None or rule.version(dtype) is None:
        return scheme, ""
    stored = weight_of(op, rule) is not None
    reason = f"no {dtype} kernel with {scheme.weights} weights; stored as int8" if stored else ""
    return replace(scheme, weights="int8"), reason


def _own_scheme(override: Override, scheme: Scheme) -> Scheme | None:
    if override.scheme == "float":
        return None
    return replace(find_op_scheme(override.scheme), one_scale=scheme.one_scale, smallest=scheme.smallest)


def _wide_enough(op: Op, scheme: Scheme) -> tuple[Scheme, str]:
    """The scheme with int8 weights for an op whose weights save little in fewer bits."""
    if scheme.least_narrow and scheme.weights in NARROW:
        largest = max((t.size for t in op.inputs if t is not None and t.is_constant), default=0)
        wider = replace(scheme, weights="int8") if scheme.compute == INTEGER else SCHEMES["weight8"]
        if scheme.compute == HYBRID and op.kind == "CONV_2D" and not is_pointwise(op):
            return wider, "only dense layers and 1×1 convolutions have a fast 4-bit kernel; stored as int8"
        if op.kind == "DEPTHWISE_CONV_2D":
            return wider, "depthwise weights are few and lose most; stored as int8"
        if 0 < largest < scheme.least_narrow:
            return wider, f"fewer than {scheme.least_narrow} weights; stored as int8"
    return scheme, ""


def _carries_reals(op: Op) -> bool:
    if op.kind in READS_ANY_TYPE:
        return False
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
    return any(t.dtype in ("float32", "float16", "float64", "bfloat16") for t in tensors)


def _integer(op: Op, plan: OpPlan, scheme: Scheme, context: Context) -> None:
    dtype = scheme.activations or "int8"
    if _is_shared_table(op):
        narrow = _wide_enough(op, context.scheme)[0].weights in NARROW
        _smaller_weights(op, plan, SCHEMES["weight4" if narrow else "weight8"])
        plan.reason = "its table is also another op's weights: its rows are stored once and read as float"
        return
    reason = integer_refusal(op, dtype, scheme.weights, context.range_of)
    if reason is None:
        plan.mode, plan.dtype = INTEGER, dtype
        return
    # The weights are still stored in the small type: the size of a scheme does not depend on the kernel.
    _smaller_weights(op, plan, SCHEMES["weight8"])
    plan.reason, plan.wanted = reason, True


def _is_shared_table(op: Op) -> bool:
    """True for a look-up in a table that another op reads as weights (tied embeddings)."""
    table = op.input(1) if op.kind == "EMBEDDING_LOOKUP" else None
    if table is None or table.data is None or op.graph is None or not _shrinks(table, 0, None):
        return False
    place = table.data.__array_interface__["data"][0]
    return any(w.values.__array_interface__["data"][0] == place for w in _row_weights(op.graph, table.shape))


def _row_weights(graph: Graph, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """The constant weights of a shape whose channels are their rows."""
    for op in graph.ops:
        rule = find_rule(op.kind)
        position = None if rule is None or rule.weight_axis != 0 else weight_of(op, rule)
        weight = None if position is None else op.input(position)
        if weight is not None and weight.shape == shape:
            yield weight


def _smaller_weights(op: Op, plan: OpPlan, scheme: Scheme) -> None:
    """Decide hybrid or unpacked for the schemes with float activations."""
    rule = find_rule(op.kind)
    if scheme.weights == "float16":
        if weight_positions(op, None, SMALLEST_HALF):
            plan.mode = UNPACKED
    elif rule is not None and weight_positions(op, rule, scheme.smallest):
        hybrid = hybrid_positions(op, rule, scheme.weights, scheme.smallest)
        # A look-up quantizes no activations, so only the error of its rows counts.
        looks_up = all(i in hybrid for i, _ in real_inputs(op, rule))
        takes = scheme.compute == HYBRID and not has_rows(op, rule)
        plan.mode = HYBRID if hybrid and (takes or looks_up) else UNPACKED
        if scheme.compute == HYBRID and has_rows(op, rule):
            plan.reason = "its dynamic-range kernel takes one scale a matrix; unpacked, each row has its own"


def _keep_movement_in_float(graph: Graph, plans: list[OpPlan], *, integer_ends: bool) -> None:
    """Keep groups of data-movement ops in float when all ops around them are float."""
    by_op = dict(zip(graph.ops, plans, strict=True))
    movers = {op for op, plan in by_op.items() if plan.mode == INTEGER and only_moves(op)}
    ends = {*graph.inputs, *graph.outputs} if integer_ends else set()
    while movers:
        group, border = _connected(movers.pop(), by_op, ends)
        movers -= group
        if not border:
            for op in group:
                by_op[op].mode, by_op[op].dtype = FLOAT, None
                _smaller_weights(op, by_op[op], SCHEMES["weight8"])
                by_op[op].reason = "only moves data between float ops; integers would add conversions"


def _connected(start: Op, by_op: dict[Op, OpPlan], ends: set[Tensor]) -> tuple[set[Op], bool]:
    """The connected data-movement ops of one, and whether an integer op or interface is next to them."""
    group, todo, border = {start}, [start], False
    while todo:
        op = todo.pop()
        rule = find_rule(op.kind)
        reals = (t for _, t in (*real_inputs(op, rule), *real_outputs(op, rule)))
        tensors = [t for t in reals if not t.is_constant]
        border |= any(t in ends for t in tensors)
        neighbours = [t.producer for t in tensors] + [reader for t in tensors for reader, _ in t.consumers]
        for other in neighbours:
            if other is None or other in group or by_op[other].mode != INTEGER:
                continue
            if only_moves(other):
                group.add(other)
                todo.append(other)
            else:
                border = True
    return group, border
