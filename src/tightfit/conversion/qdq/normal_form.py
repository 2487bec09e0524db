"""Rewrites a quantized ONNX model so that its values are reals and two ops are left of the quantization.

``DequantizeLinear`` has a constant and gives its reals. ``QuantizeLinear`` rounds reals to integers and back,
so its output is real. Everything else computes on reals. What the producers write (``forms``, one row an op)
is brought to this form; ops that move integers move reals instead.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tightfit.conversion.qdq import block_scales, dynamic, linear_ops, qonnx, rounding_ops
from tightfit.conversion.qdq.node_order import MICROSOFT, domain_of
from tightfit.conversion.qdq.qdq_parameters import LIMITS, QdqParameters
from tightfit.conversion.qdq.walker import Form, NormalForm, Walker
from tightfit.types import Array

__all__ = [
    "NormalForm",
    "as_qdq",
    "has_integer_kernels",
    "in_range",
    "integer_outputs",
    "is_known_to_onnxruntime",
    "is_quantized",
    "normal_form",
]


def is_quantized(model: onnx.ModelProto) -> bool:
    """Return True when a node of the main graph quantizes or computes on quantized values.

    Args:
        model: any ONNX model.
    """
    return any((domain_of(node), node.op_type) in forms() for node in model.graph.node)


def has_integer_kernels(model: onnx.ModelProto) -> bool:
    """Return True when an op of the source computes on integers itself (QLinearConv, MatMulInteger).

    Args:
        model: a quantized ONNX model.
    """
    plain = {"QuantizeLinear", "DequantizeLinear", "Quant"}
    kinds = {(domain_of(n), n.op_type) for n in model.graph.node if n.op_type not in plain}
    return not kinds.isdisjoint(forms())


def is_known_to_onnxruntime(model: onnx.ModelProto) -> bool:
    """Return True when onnxruntime has every op of a source; QONNX's, for one, it has not.

    Args:
        model: a quantized ONNX model.
    """
    return all(domain_of(n) in ("", MICROSOFT, "ai.onnx.ml") for n in model.graph.node)


def normal_form(model: onnx.ModelProto) -> NormalForm:
    """Return the normal form of a quantized model, which is not changed.

    Args:
        model: with QuantizeLinear, QLinear or integer ops of any producer.

    Raises:
        ModelError: a node quantizes in a way that has no normal form; the sentence names it.
    """
    return Walker(model).run(forms())


def as_qdq(form: NormalForm) -> onnx.ModelProto:
    """Return a normal form as an ONNX model that every runtime computes: Q and DQ around float ops.

    Args:
        form: of a quantized source; not changed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(form.model)
    del model.graph.node[:]
    for node in form.model.graph.node:
        if node.op_type != "QuantizeLinear":
            model.graph.node.append(node)
            continue
        first, integers = onnx.NodeProto(), f"{node.output[0]}/integers"
        first.CopyFrom(node)
        first.output[0] = integers
        scales = [integers, *node.input[1:]]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        model.graph.node.extend(
            [first, helper.make_node("DequantizeLinear", scales, list(node.output), axis=axis)]
        )
    for node in model.graph.node:
        node.ClearField("name")  # several nodes here come from one of the source
    return model


def in_range(form: NormalForm, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return inputs within the range that a source was calibrated for, integers where it takes integers.

    Args:
        form: of the source.
        arrays: reals in [-1, 1) by input's name; only those with a scale are given back.
    """
    known = {t.name: t for t in form.model.graph.initializer}
    found: dict[str, Array] = {}
    for node in form.model.graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type != "QuantizeLinear" or name not in arrays:
            continue
        scale, zero = (numpy_helper.to_array(known[n]) for n in node.input[1:3])
        own = QdqParameters(zero.dtype.name, scale.reshape(-1)[:1], zero.astype(np.int64).reshape(-1)[:1])
        low, high = (float(own.dequantize(np.asarray(v))) for v in LIMITS[own.dtype])
        # Dense in the middle like most data: uniform noise saturates the values behind it.
        folded = np.arcsin(np.clip(arrays[name], -1, 1)) / np.pi * np.abs(arrays[name])
        found[name] = ((folded + 0.5) * (high - low) + low).astype(np.float32)
    for name, parameters in form.inputs.items():
        found[name] = parameters.quantize(found.get(name, arrays[name])).astype(parameters.dtype)
    return found


def reals_of_inputs(form: NormalForm, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return a source's inputs as its normal form takes them: reals where the source takes integers.

    Args:
        form: of the source.
        arrays: by input's name.
    """
    return {n: form.inputs[n].dequantize(a) if n in form.inputs else a for n, a in arrays.items()}


def integer_outputs(form: NormalForm, results: list[Array]) -> list[Array]:
    """Return a normal form's outputs as the source gives them: integers where it does.

    Args:
        form: of the source.
        results: of its outputs, in order.
    """
    named = zip((o.name for o in form.model.graph.output), results, strict=True)
    return [
        form.outputs[n].quantize(r).astype(form.outputs[n].dtype) if n in form.outputs else r
        for n, r in named
    ]


def forms() -> dict[tuple[str, str], Form]:
    """Return the rows: (domain, op) → how it is rewritten."""
    return rounding_ops.FORMS | linear_ops.FORMS | dynamic.FORMS | block_scales.FORMS | qonnx.FORMS
