"""The row type of ``op_table``: the quantization facts of a builtin op, and queries on them.

``op_table`` has the rows, ``float_only`` the reasons of ops without a row. Plans, the training simulation,
target checks and the documentation read the same rows; no decision is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tightfit.graph.ir import Op

ALL: Final[tuple[int, ...]] = (-1,)
"""Value of ``OpRule.same_scale`` for all activation inputs."""

RUNTIME: Final = "LiteRT 2.3"
"""The runtime that the rows were checked on."""

GAIN: Final[Mapping[str, float]] = {"int8": 64.0, "int16": 64.0}
"""Default of ``OpRule.gain``: safe for every kernel; XNNPACK refuses 256, ADD overflows at 150."""

SMALLEST_SCALE: Final = 6 / 2**30
"""Least scale of any output: a fused RELU6 stores 6 / scale in 32 bits, and kernels refuse an overflow."""


@dataclass(frozen=True)
class OpRule:
    """The facts about one builtin op.

    Activations are the float inputs and outputs that are neither weights nor bias nor kept. Quantized, they
    are int8 with any zero point or int16 with zero point 0, per tensor. Weights are int8 (or int4) with zero
    point 0. A constant operand that is not a weight is stored like an activation.

    Attributes:
        kind: the builtin operator's name.
        source: the kernel's file below ``tflite/kernels``.
        int8: the op version for int8 activations and weights, None where no kernel computes it correctly.
        int16: the op version for int16 activations and int8 weights, or None.
        int4: the op version for int8 activations and int4 weights, or None.
        int16_int4: the op version for int16 activations and int4 weights, or None.
        weight: the input position of the weights, None where the op has none.
        runtime_weight: weights computed at run time are a second activation; else they must be constant.
        weight_axis: the axis of their channels; None where the kernel allows only one scale.
        bias: the input position of the bias: zero point 0, scale = input scale * weight scale (one a
            channel), int32 under int8 and int64 under int16.
        activation: the input position whose scale multiplies the weights' for the bias.
        needs_bias: the kernel refuses a missing bias; a bias of zeros is added.
        short_bias: under int16 the bias may be int32, when ``quantizedBiasType`` is set.
        keep_inputs: positions of inputs that are not quantized: shapes, axes, indices, conditions.
        keep_outputs: positions of outputs that are not quantized: indices, booleans.
        same_scale: positions of inputs that share scale and zero point with every output that is not kept,
            since the kernel copies or compares stored integers; ``ALL`` for every activation.
        same_inputs: positions of inputs that share scale and zero point among themselves.
        nonzero: the position of an input for whose stored zero the kernel fails, or None.
        relative: the position of an input whose relative error matters, or None: small values stored as zero
            change the result, whatever the range.
        fixed_output: dtype → (scale, zero point) of the outputs, where the kernel sets them.
        least_input_scale: least scale at which the int8 kernel distinguishes neighbouring values.
        accumulator: the scale of the kernel's accumulator: that of the ``input``, the ``largest`` of the
            inputs' scales, the ``product`` of two, the ``square`` of the largest; "" where the scale of the
            output is free. See ``least_output_scale``.
        gain: dtype → largest ratio of the accumulator's scale to the output's scale.
        int16_options: options that int16 requires (without them ADD reads scales of 1 / 32767 as powers of
            two and refuses the model).
        gates: (weights, bias or None) of each product of an op with several, of one scale each; a bias has
            that of the input * that of its weights.
        cell: the input position of a state that int8 kernels hold as int16, with a power of two as scale.
        hybrid: the op version for float activations, quantized on the fly, and int8 weights of one scale.
        hybrid_per_channel: the op version for the same with a scale for each channel, or None.
        hybrid_int4: the op version for the same with int4 weights, or None.
        hybrid_int2: the op version for the same with int2 weights, or None.
        hybrid_weights: positions of the weights in that mode, where they differ from ``weight``.
        hybrid_axis: their channel axis, where it differs from ``weight_axis``.
        unless: other conditions under which a kernel refuses or loses accuracy, in words.
        why_not: dtype → reason of a None above, where a kernel exists but is not correct.
    """

    kind: str
    source: str
    int8: int | None = None
    int16: int | None = None
    int4: int | None = None
    int16_int4: int | None = None
    weight: int | None = None
    runtime_weight: bool = False
    weight_axis: int | None = None
    bias: int | None = None
    activation: int = 0
    needs_bias: bool = False
    short_bias: bool = False
    keep_inputs: tuple[int, ...] = ()
    keep_outputs: tuple[int, ...] = ()
    same_scale: tuple[int, ...] = ()
    same_inputs: tuple[int, ...] = ()
    nonzero: int | None = None
    relative: int | None = None
    fixed_output: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    least_input_scale: float = 0.0
    accumulator: str = ""
    gain: Mapping[str, float] = field(default_factory=lambda: GAIN)
    int16_options: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[tuple[int, int | None], ...] = ()
    cell: int | None = None
    hybrid: int | None = None
    hybrid_per_channel: int | None = None
    hybrid_int4: int | None = None
    hybrid_int2: int | None = None
    hybrid_weights: tuple[int, ...] = ()
    hybrid_axis: int | None = None
    unless: str = ""
    why_not: Mapping[str, str] = field(default_factory=dict)

    def version(self, dtype: str, weight_dtype: str = "int8") -> int | None:
        """Return the op version for activations of ``dtype`` (``float32``: hybrid), None when there is none.

        ``weight_dtype`` matters only where the op has weights.
        """
        int4 = weight_dtype == "int4" and bool(self.dynamic_weights())
        if weight_dtype == "int2" and self.dynamic_weights():
            return self.hybrid_int2 if dtype == "float32" else None
        if dtype == "float32":
            return self.hybrid_int4 if int4 else (self.hybrid or self.hybrid_per_channel)
        if dtype == "int16":
            return self.int16_int4 if int4 else self.int16
        return self.int4 if int4 else self.int8

    def unlike_activations(self) -> set[int | None]:
        """Return the positions of inputs that have a storage of their own, beside constant weights."""
        gates = {position for pair in self.gates for position in pair}
        return {self.bias, self.cell, *self.keep_inputs, *gates}

    def bias_of(self, weight: int) -> int | None:
        """Return the input position of the bias that is added to the products of some weights, or None."""
        return self.bias if weight == self.weight else dict(self.gates).get(weight)

    def products(self) -> tuple[tuple[int, int], ...]:
        """Return (weights, bias) of each product with a bias.

        Example:
            >>> OpRule("CONV_2D", "conv.cc", weight=1, bias=2).products()
            ((1, 2),)
        """
        pairs = ((self.weight, self.bias), *self.gates)
        return tuple((w, b) for w, b in pairs if w is not None and b is not None)

    def dynamic_weights(self) -> tuple[int, ...]:
        """Return the positions of the weights under float activations."""
        return self.hybrid_weights or (() if self.weight is None else (self.weight,))

    def dynamic_axis(self) -> int | None:
        """Return the channel axis of the weights under float activations, None for one scale only."""
        if self.hybrid_per_channel is None:
            return None
        return self.weight_axis if self.hybrid_axis is None else self.hybrid_axis

    def refusal(self, dtype: str, weight_dtype: str = "int8") -> str | None:
        """Return the reason why the op stays float for these dtypes, or None when it can be quantized."""
        if self.version(dtype, weight_dtype) is not None:
            return None
        with_weights = f" with {weight_dtype} weights" if self.weight is not None else ""
        return self.why_not.get(dtype, f"no {dtype} kernel{with_weights} in {RUNTIME}")


def is_weight(rule: OpRule, op: Op, position: int) -> bool:
    """Return True when the input is the op's weights: at their position and constant."""
    tensor = op.input(position)
    return position == rule.weight and tensor is not None and tensor.is_constant


def activation_inputs(rule: OpRule, op: Op) -> tuple[int, ...]:
    """Return the positions of the inputs that are quantized as activations, constants among them."""
    return tuple(
        i
        for i, tensor in enumerate(op.inputs)
        if tensor is not None
        and i not in rule.unlike_activations()
        and not is_weight(rule, op, i)
        and tensor.dtype == "float32"
    )


def shared_inputs(rule: OpRule, op: Op) -> tuple[int, ...]:
    """Return the positions of the inputs that share scale and zero point with the outputs."""
    inputs = activation_inputs(rule, op)
    return inputs if rule.same_scale == ALL else tuple(i for i in rule.same_scale if i in inputs)


def least_output_scale(rule: OpRule, dtype: str, scales: Sequence[float]) -> float:
    """Return the least output scale for which every kernel is correct: accumulator scale / gain.

    With a finer one kernels refuse the model or compute something else. It binds
    only where an output's range is tiny beside its inputs', as with a dead layer; so nothing is lost.
    Never below ``SMALLEST_SCALE``.

    Args:
        rule: the op's row.
        dtype: type of the activations.
        scales: the scales of the activation inputs in order, then the largest weight scale if the op has
            weights.

    Example:
        >>> least_output_scale(OpRule("ADD", "add.cc", accumulator="largest"), "int8", [0.5, 0.25])
        0.0078125
    """
    if not rule.accumulator or not scales:
        return SMALLEST_SCALE
    worth = {
        "input": scales[0],
        "largest": max(scales),
        "product": scales[0] * scales[min(1, len(scales) - 1)],
        "square": max(scales) ** 2,
    }[rule.accumulator]
    return max(worth / rule.gain[dtype], SMALLEST_SCALE)
