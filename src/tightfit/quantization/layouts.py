"""The same plan written for different devices: small named rewrites of a quantized graph.

Each row of ``REWRITES`` has its condition (in the function), its measured effect and its targets. A target
lists alternatives in order of preference; ``pipeline`` takes the first that LiteRT runs correctly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.pointwise import is_pointwise, to_dense
from tightfit.quantization.arithmetic import dequantize
from tightfit.types import Array

_INT32_TYPE: Final = 2  # TensorType.INT32 in schema.fbs
_BIAS_LIMIT: Final = 2**30
_ISLANDS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "SOFTMAX"})
_SHORT_BIAS: Final = {"CONV_2D": "Conv2DOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}
_NOT_DELEGATED_HYBRID: Final = frozenset({"DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})


@dataclass(frozen=True)
class Rewrite:
    """One rewrite: what it does to a graph, what it was measured to bring, and the facts behind it.

    Args:
        apply: changes the graph in place and gives how many ops it changed.
        effect: measured effect, for people.
    """

    name: str
    apply: Callable[[Graph], int]
    effect: str


def dense_pointwise(graph: Graph) -> int:
    """Writes 1×1 convolutions with 4- or 2-bit weights as FULLY_CONNECTED, on float or int8 activations.

    XNNPACK takes them there, and not in CONV_2D, whose own kernel is slow, wrong for 2 bits, and rounds
    integers by the processor: as FULLY_CONNECTED they are equal on x86 and ARM.
    """
    found = [op for op in graph.ops if is_pointwise(op) and op.outputs[0].dtype in ("float32", "int8")]
    narrow = [op for op in found if op.inputs[1] is not None and op.inputs[1].dtype in ("int4", "int2")]
    for op in narrow:
        to_dense(graph, op)
    return len(narrow)


def unpack_hybrid(graph: Graph) -> int:
    """Return depthwise and transposed convolutions with float activations their weights unpacked.

    XNNPACK takes no dynamic-range kernel for them, so LiteRT's own slow one would run; behind a DEQUANTIZE
    the weights are unpacked once at load and the float kernel runs.
    """
    changed = 0
    for op in list(graph.ops):
        weight = op.input(1)
        hybrid = op.kind in _NOT_DELEGATED_HYBRID and weight is not None and weight.dtype in ("int8", "int4")
        if hybrid and weight is not None and op.outputs[0].dtype == "float32":
            graph.set_input(op, 1, _dequantized(graph, op, weight))
            changed += 1
    return changed


def short_biases(graph: Graph) -> int:
    """Stores biases of int16 convolutions and dense layers as int32, which unlocks LiteRT's fast kernels.

    Condition: every user of the bias is one of these, and neither the bias nor the 32-bit sums of these
    kernels overflow. Depthwise keeps int64: its kernel refuses int32 (``depthwise_conv.cc``).
    """
    changed = 0
    for bias in dict.fromkeys(op.input(2) for op in graph.ops if op.kind in _SHORT_BIAS):
        if bias is None or bias.data is None or bias.dtype != "int64":
            continue
        users = [reader for reader, _ in bias.consumers]
        if not all(u.kind in _SHORT_BIAS and _sums_fit(u, bias.data) for u in users):
            continue
        bias.data, bias.dtype = bias.data.astype(np.int32), "int32"
        for user in users:
            user.options["quantizedBiasType"] = _INT32_TYPE
            user.options_type = _SHORT_BIAS[user.kind]
            user.version = 0
            changed += 1
    return changed


def _sums_fit(op: Op, bias: Array) -> bool:
    """True when 32 bits hold the sums of a layer.

    That is so where no input at all can overflow them, ``32768 · Σ |w| + |bias| < 2³¹`` in each channel, or
    where what the output's scale can hold takes at most half of them.
    """
    source, weights, target = op.input(0), op.input(1), op.outputs[0]
    if np.abs(bias).max(initial=0) > _BIAS_LIMIT or source is None or weights is None or weights.data is None:
        return False
    scales = [t.quantization.scale for t in (source, weights, target) if t.quantization is not None]
    if len(scales) != 3 or weights.sparsity is not None:
        return False
    sums = np.abs(weights.data.astype(np.int32)).reshape(weights.shape[0], -1).sum(axis=1, dtype=np.int64)
    whatever = 2**15 * sums + np.abs(bias.reshape(-1)) < 2**31
    expected = 2.0**15 * scales[2] <= _BIAS_LIMIT * scales[0].astype(np.float64) * scales[1]
    return bool((whatever | expected).all())


def float_islands(graph: Graph) -> int:
    """Computes int16 convolutions, dense layers and softmax in float between int16 tensors.

    Tensors between ops stay int16, weights int8 in the file; each op becomes DEQUANTIZE → float op →
    QUANTIZE, which agrees with the reference kernels within one step. Only for SOFTMAX it is more exact: the
    int16 kernel reads its exponentials from a table that ends at −10 (``softmax.h``), so a thousand small
    classes add 4 % to the sum; EfficientNet-Lite0 gains 2.7 dB (median of 50 photos).
    """
    islands = [op for op in graph.ops if op.kind in _ISLANDS and op.outputs[0].dtype == "int16"]
    for op in islands:
        for position, tensor in enumerate(list(op.inputs)):
            if tensor is None or not tensor.is_quantized:
                continue
            if tensor.dtype == "int64":
                graph.set_input(op, position, _float_constant(tensor))
            else:
                graph.set_input(op, position, _dequantized(graph, op, tensor))
        _quantized_after(graph, op)
        op.version = 0
    return len(islands)


def bridge_through_float(graph: Graph) -> int:
    """Converts between int8 and int16 by way of float, as LiteRT's direct QUANTIZE is slow reference code."""
    changed = 0
    for op in list(graph.ops):
        types = {t.dtype for t in (*op.inputs, *op.outputs) if t is not None}
        if op.kind == "QUANTIZE" and types == {"int8", "int16"} and op.inputs[0] is not None:
            graph.set_input(op, 0, _dequantized(graph, op, op.inputs[0]))
            op.version = 0
            changed += 1
    return changed


def rescale_through_float(graph: Graph) -> int:
    """Changes a scale by DEQUANTIZE and QUANTIZE, which round once to the nearest step.

    LiteRT's own QUANTIZE from int8 to int8 multiplies by a ratio of 8 bits: 5 % of the values are one off.
    """
    changed = 0
    for op in _rescales(graph):
        source = op.operand(0)
        graph.set_input(op, 0, _dequantized(graph, op, source))
        op.version = 0
        changed += 1
    return changed


def rescale_by_adding(graph: Graph) -> int:
    """Changes a scale by adding a zero, for devices without float: ADD rounds once, to the nearest step."""
    changed = 0
    for op in _rescales(graph):
        source = op.operand(0)
        data = np.full((1,), int(source.grid.zero_point[0]), np.dtype(source.dtype))
        zero = Tensor(f"{op.name}/zero", (1,), source.dtype, data, source.quantization)
        target = op.outputs[0]
        anchor = graph.ops.index(op)
        graph.remove(op)
        graph.insert(anchor, Op("ADD", [source, zero], [target], {"potScaleInt16": False}, "AddOptions"))
        changed += 1
    return changed


def _rescales(graph: Graph) -> list[Op]:
    """The conversions between two scales of one integer type, shifts by a zero point not among them."""
    found = []
    for op in graph.ops:
        source = op.input(0)
        if op.kind != "QUANTIZE" or source is None or source.quantization is None:
            continue
        target = op.outputs[0]
        if source.dtype == target.dtype and source.is_quantized and target.is_quantized:
            found.append(op)
    return found


def _dequantized(graph: Graph, reader: Op, tensor: Tensor) -> Tensor:
    """Return the float twin of a tensor behind a DEQUANTIZE; an existing one is used again."""
    for other, _ in tensor.consumers:
        if other.kind == "DEQUANTIZE" and graph.ops.index(other) < graph.ops.index(reader):
            return other.outputs[0]
    made = Tensor(f"{tensor.name}_float32", tensor.shape, shape_signature=tensor.shape_signature)
    graph.insert_before(reader, Op("DEQUANTIZE", [tensor], [made], {}, "DequantizeOptions"))
    return made


def _float_constant(tensor: Tensor) -> Tensor:
    q = tensor.grid
    axis = q.axis if q.scale.size > 1 else None
    # int64 does not fit into float32 exactly, but the float op adds it in float32 anyway.
    values = dequantize(tensor.values, q.scale, q.zero_point, axis)
    return Tensor(tensor.name, tensor.shape, data=values)


def _quantized_after(graph: Graph, op: Op) -> None:
    target = op.outputs[0]
    raw = Tensor(f"{target.name}_float32", target.shape, shape_signature=target.shape_signature)
    graph.set_output(op, 0, raw)
    graph.insert_after(op, Op("QUANTIZE", [raw], [target], {}, "QuantizeOptions"))


REWRITES: Final[dict[str, Rewrite]] = {
    r.name: r
    for r in (
        Rewrite("dense_pointwise", dense_pointwise, "weight4 MobileNetV2: 2.3× → about 1.1× float latency"),
        Rewrite("unpack_hybrid", unpack_hybrid, "dynamic range MobileNetV2: 1.7× → about 1.0× float latency"),
        Rewrite("short_biases", short_biases, "int16x8 MobileNetV2: 31× → 9.2× float latency"),
        Rewrite("float_islands", float_islands, "int16x8 MobileNetV2: 31× → 1.5× float latency"),
        Rewrite("bridge_through_float", bridge_through_float, "mixed int8/int16: about half the time"),
        Rewrite("rescale_through_float", rescale_through_float, "5 % of the values a step off → none"),
        Rewrite("rescale_by_adding", rescale_by_adding, "5 % of the values a step off → none, without float"),
    )
}

LAYOUTS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "cpu": (
        ("dense_pointwise", "unpack_hybrid", "float_islands", "bridge_through_float"),
        ("dense_pointwise", "unpack_hybrid", "short_biases", "bridge_through_float"),
        (),
    ),
    "npu": ((),),
    "micro": ((),),
}
"""Target → alternatives in order of preference, each a list of rewrites; the last changes nothing."""

EXACT_RESCALES: Final[dict[str, str]] = {
    "cpu": "rescale_through_float",
    "npu": "rescale_by_adding",
    "micro": "rescale_by_adding",
}
"""Target → the rewrite that changes scales exactly, for plans whose scales are a source's own."""


def alternatives(target: str, *, pinned: bool) -> tuple[tuple[str, ...], ...]:
    """Return the layouts to try for a target, in order.

    Args:
        target: a key of ``LAYOUTS``.
        pinned: the plan's scales are a source's own; see ``Plan.pinned``.

    Example:
        >>> alternatives("npu", pinned=True)
        (('rescale_by_adding',), ())
    """
    if not pinned:
        return LAYOUTS[target]
    exact = EXACT_RESCALES[target]
    return (*((*rewrites, exact) for rewrites in LAYOUTS[target]), ())


def lay_out(model: Model, rewrites: tuple[str, ...]) -> dict[str, int]:
    """Applies rewrites to a quantized model in place; gives name → number of ops changed, where any was.

    Example:
        >>> from tightfit.graph.ir import Graph, Model
        >>> lay_out(Model([Graph()]), ("float_islands",))
        {}
    """
    changed = {name: sum(REWRITES[name].apply(g) for g in model.graphs) for name in rewrites}
    return {name: count for name, count in changed.items() if count}
