"""Rewrites of scales and stored integers."""

from __future__ import annotations

import numpy as np

from tightfit.graph.ir import Model, Op, Quantization, Tensor
from tightfit.quantization.arithmetic import dequantize
from tightfit.targets.limits.operand_roles import data_inputs
from tightfit.targets.limits.quantization_limits import equal_quantization


def requantize_inputs(op: Op) -> list[Op] | None:
    """Return a QUANTIZE to the output's scale before each input that has another, then the op."""
    target = op.outputs[0]
    if not target.is_quantized or any(t.dtype != target.dtype for t in data_inputs(op)):
        return None
    made: list[Op] = []
    inputs: list[Tensor | None] = []
    for i, source in enumerate(data_inputs(op)):
        if equal_quantization(source, target):
            inputs.append(source)
            continue
        same = Tensor(f"{op.name}/input{i}", source.shape, target.dtype, quantization=target.quantization)
        made.append(Op("QUANTIZE", [source], [same], {}, "QuantizeOptions"))
        inputs.append(same)
    return [*made, Op(op.kind, inputs, [target], dict(op.options), op.options_type)]


def divide_by_constant(op: Op) -> list[Op] | None:
    """Return a MUL with the reciprocal of a constant divisor; the reciprocals are stored as int8 or int16."""
    divisor, source = op.input(1), op.input(0)
    if divisor is None or source is None or divisor.data is None or divisor.quantization is None:
        return None
    q = divisor.quantization
    real = dequantize(divisor.data, q.scale, q.zero_point, None).astype(np.float64)
    if not real.size or not real.all() or q.scale.size != 1:
        return None
    inverse = 1.0 / real
    scale = float(np.abs(inverse).max()) / 127
    stored = np.rint(inverse / scale).astype(divisor.data.dtype)
    zero, step = np.zeros(1, np.int64), np.array([scale], np.float32)
    factor = Tensor(
        f"{divisor.name}/reciprocal", divisor.shape, divisor.dtype, stored, Quantization(step, zero)
    )
    options = {"fusedActivationFunction": op.options.get("fusedActivationFunction", 0)}
    return [Op("MUL", [source, factor], op.outputs, options, "MulOptions")]


def leaky_as_prelu(op: Op) -> list[Op] | None:
    """Return a PRELU whose slope is the LEAKY_RELU's in every channel: α = (α / 127) · 127."""
    source, target = op.input(0), op.outputs[0]
    if source is None or source.dtype not in ("int8", "uint8") or not source.shape:
        return None
    alpha = float(op.options.get("alpha") or 0.0)
    step = np.array([abs(alpha) / 127 or 1.0], np.float32)
    level = int(np.sign(alpha)) * 127
    shape = (*([1] * (len(source.shape) - 2)), source.shape[-1])
    zero = 128 if source.dtype == "uint8" else 0
    stored = np.full(shape, level + zero, source.dtype)
    slope = Tensor(f"{op.name}/slope", shape, source.dtype, stored, Quantization(step, np.array([zero])))
    return [Op("PRELU", [source, slope], [target])]


def widen_int4(model: Model) -> list[str]:
    """Stores int4 constants as int8 in place and gives their names: the same integers, the same values."""
    widened = []
    for graph in model.graphs:
        for tensor in graph.tensors():
            if tensor.dtype == "int4" and tensor.data is not None:
                tensor.dtype, tensor.data = "int8", np.asarray(tensor.data, np.int8)
                widened.append(tensor.name)
                for reader, _ in tensor.consumers:
                    reader.version = 0
    return widened
