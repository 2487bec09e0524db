"""What each builtin op asks for when it is quantized: the row type and the look-ups.

The rows stand in ``op_table``, the reasons of ops without a row in ``float_only``. Plans, the training
simulation, target checks and the documentation read the same rows; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tightfit.graph.ir import Op

ALL: Final[tuple[int, ...]] = (-1,)
"""For ``OpRule.same_scale``: every input that is not kept."""

RUNTIME: Final = "LiteRT 2.3"
"""The runtime that the rows were checked on."""


@dataclass(frozen=True)
class OpRule:
    """The facts about one builtin op.

    Activations are the inputs and outputs that are neither weights, biases nor kept. They are int8 with any
    zero point, or int16 with zero point 0. Weights are int8 (or int4) with zero point 0. A constant operand
    that is no weight is stored like an activation, per tensor, with the dtype of the activations.

    Attributes:
        kind: the builtin operator's name.
        source: the kernel file below ``tflite/kernels``.
        int8: the op version that first takes int8 activations, None where no kernel computes with them.
        int16: the same for int16 activations; weights stay int8.
        int4: the op version that first takes int4 weights under int8 activations.
        int16_int4: the same under int16 activations.
        weight: the input position of the weights; where that input is not constant it is an activation.
        weight_axis: the axis of their channels; None where scales can only be per tensor.
        bias: the input position of the bias: int32 under int8, int64 (or int32 where ``short_bias``) under
            int16; its scale is that of input ``activation`` times that of the weights, its zero point 0.
        activation: the input position whose scale multiplies the weights' for the bias.
        needs_bias: the kernel refuses a missing bias; zeros do.
        short_bias: int16 takes an int32 bias when ``quantizedBiasType`` says so.
        keep_inputs: positions of inputs that stay as they are: shapes, axes, indices, conditions.
        keep_outputs: positions of outputs that stay as they are: indices, booleans.
        same_scale: input positions that share scale and zero point with every output that is not kept,
            because the kernel copies or compares integers; ``ALL`` for every activation.
        same_inputs: input positions that share scale and zero point among themselves only.
        fixed_output: dtype → (scale, zero point) of the outputs, where the kernel sets them.
        hybrid: the op version of the dynamic-range kernel (float activations, int8 weights per tensor).
        hybrid_per_channel: the same for weights with a scale per channel.
        hybrid_int4: the same for int4 weights.
        hybrid_weights: the input positions of the weights of that kernel, where not just ``weight``.
        limits: names in ``op_limits.LIMITS`` of conditions on scales and shapes that the plan must check.
        unless: what else makes the kernel refuse or lose accuracy, for people.
        why_not: dtype → the reason of a None above, where it is not simply that there is no kernel.
    """

    kind: str
    source: str
    int8: int | None = None
    int16: int | None = None
    int4: int | None = None
    int16_int4: int | None = None
    weight: int | None = None
    weight_axis: int | None = None
    bias: int | None = None
    activation: int = 0
    needs_bias: bool = False
    short_bias: bool = False
    keep_inputs: tuple[int, ...] = ()
    keep_outputs: tuple[int, ...] = ()
    same_scale: tuple[int, ...] = ()
    same_inputs: tuple[int, ...] = ()
    fixed_output: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    hybrid: int | None = None
    hybrid_per_channel: int | None = None
    hybrid_int4: int | None = None
    hybrid_weights: tuple[int, ...] = ()
    limits: tuple[str, ...] = ()
    unless: str = ""
    why_not: Mapping[str, str] = field(default_factory=dict)
