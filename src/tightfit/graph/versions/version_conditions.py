"""Conditions on an op's types, ranks and options that decide its version; ``version_rules`` combines them.

Source: ``tflite/converter/tools/versioning/op_signature.cc``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tightfit.graph.ir import Op, Tensor

Condition = Callable[[Op], bool]


def _dtype(tensors: Sequence[Tensor | None], position: int) -> str | None:
    tensor = tensors[position] if position < len(tensors) else None
    return None if tensor is None else tensor.dtype


def input_is(position: int, *dtypes: str) -> Condition:
    """Return the condition: an input has one of the dtypes."""
    return lambda op: _dtype(op.inputs, position) in dtypes


def output_is(position: int, *dtypes: str) -> Condition:
    """Return the condition: an output has one of the dtypes."""
    return lambda op: _dtype(op.outputs, position) in dtypes


def either_is(*dtypes: str) -> Condition:
    """Return the condition: the first input or the first output has one of the dtypes."""
    return lambda op: _dtype(op.inputs, 0) in dtypes or _dtype(op.outputs, 0) in dtypes


def both_are(*dtypes: str) -> Condition:
    """Return the condition: the first input and the first output have one of the dtypes."""
    return lambda op: _dtype(op.inputs, 0) in dtypes and _dtype(op.outputs, 0) in dtypes


def has_option(*names: str) -> Condition:
    """Return the condition: any of the options is set."""
    return lambda op: any(op.options.get(name) for name in names)


def all_of(*conditions: Condition) -> Condition:
    """Return the condition: every condition holds."""
    return lambda op: all(condition(op) for condition in conditions)


def negation(condition: Condition) -> Condition:
    """Return the condition that another one does not hold."""
    return lambda op: not condition(op)


def is_quantized(position: int = 0) -> Condition:
    """Return the condition: an input has quantization parameters."""

    def condition(op: Op) -> bool:
        tensor = op.input(position)
        return tensor is not None and tensor.quantization is not None

    return condition


def rank_above(above: int) -> Condition:
    """Return the condition: some input has more dimensions."""
    return lambda op: max((len(t.shape) for t in op.inputs if t is not None), default=0) > above


def broadcasts(op: Op) -> bool:
    """Return whether the first two inputs differ in shape."""
    first, second = op.input(0), op.input(1)
    return first is not None and second is not None and first.shape != second.shape


def per_channel(position: int, axis: int) -> Condition:
    """Return the condition: the weights have a scale for each channel.

    One scale for one channel counts, as in the source.
    """

    def condition(op: Op) -> bool:
        tensor = op.input(position)
        if tensor is None or tensor.quantization is None or len(tensor.shape) <= axis:
            return False
        return tensor.quantization.scale.size == tensor.shape[axis]

    return condition


def several_scales(op: Op) -> bool:
    """Return whether the quantized side of QUANTIZE or DEQUANTIZE has a scale for each channel."""
    tensor = op.input(0) if op.kind == "DEQUANTIZE" else op.outputs[0]
    return tensor is not None and tensor.quantization is not None and tensor.quantization.scale.size > 1


def is_grouped(op: Op) -> bool:
    """Return whether the weights read only a part of the input channels."""
    data, weights = op.input(0), op.input(1)
    if data is None or weights is None or not data.shape:
        return False
    return data.shape[-1] != weights.shape[-1]


def rescales_up(op: Op) -> bool:
    """Return whether the product of the input scales is at least the output scale (multiplier 1 or more)."""
    scales = [
        None if t is None or t.quantization is None or not t.is_quantized else float(t.quantization.scale[0])
        for t in (op.input(0), op.input(1), *op.outputs)
    ]
    if len(scales) < 3 or scales[0] is None or scales[1] is None or not scales[2]:
        return False
    return scales[0] * scales[1] / scales[2] >= 1.0


def is_dilated(op: Op) -> bool:
    """Return whether a dilation is not one."""
    return any(op.options.get(name, 1) != 1 for name in ("dilationWFactor", "dilationHFactor"))


def adds_axes(op: Op) -> bool:
    """Return whether a strided slice has an ellipsis or makes new axes."""
    return any(op.options.get(name, 0) != 0 for name in ("ellipsisMask", "newAxisMask"))


def general_scales(op: Op) -> bool:
    """Return whether the scales need not be powers of two; they must by default of the schema."""
    return not op.options.get("potScaleInt16", True)


def kernel_type(value: int) -> Condition:
    """Return the condition: the LSTM has this kernel type."""
    return lambda op: op.options.get("kernelType", 0) == value


def two_inputs(op: Op) -> bool:
    """Return whether the optional third input is missing."""
    return len(op.inputs) == 2


def int4_to_float(op: Op) -> bool:
    """Return whether it reads int4 and writes float32."""
    return _dtype(op.inputs, 0) == "int4" and _dtype(op.outputs, 0) == "float32"


def rank_not_4(op: Op) -> bool:
    """Return whether the first input does not have four dimensions."""
    data = op.input(0)
    return data is not None and len(data.shape) != 4


def is_hybrid(weight: int, *dtypes: str) -> Condition:
    """Return the condition: activations are float, weights are integers (int8 unless said otherwise)."""
    return all_of(input_is(0, "float32"), input_is(weight, *(dtypes or ("int8",))), output_is(0, "float32"))
