"""The operands of one integer op: stored integers, their grids, and the weights as in the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.graph.ir import Op
from tightfit.graph.ops.activations import fused_activation
from tightfit.quantization.arithmetic import bias_integers, quantize
from tightfit.quantization.ops.rule_lookup import find_rule, weight_of
from tightfit.quantization.plan import OpPlan, Storage
from tightfit.training.integer.rescaling import Grid
from tightfit.types import Array

_NO_SCALES: Final = np.zeros(0, np.float32)


@dataclass
class IntegerWeights:
    """The weights and the bias of an op.

    Args:
        values: integers in the file's layout.
        scales: float32 scales, (1,) or (channels,).
        axis: axis of the output channels.
        bias: integers of the accumulator's type.
        short: whether the bias is int32.
        dtype: type in the file, ``int8`` or ``int4``.
    """

    values: Array
    scales: npt.NDArray[np.float32] = field(default_factory=_NO_SCALES.copy)
    axis: int = 0
    bias: Array | None = None
    short: bool = False
    dtype: str = "int8"


@dataclass
class IntegerOperands:
    """The operands of one integer op for a batch.

    Args:
        op: the op.
        dtype: type of its activations.
        batch: number of samples.
        values: stored integers by input position, the batch first; None for inputs that are not reals.
        grids: the grids of ``values``.
        output: the grid of the output.
        statics: operands that are not reals (shapes, axes), by position.
        weights: weights of a convolution or dense layer.
        activation: position of the input that the weights multiply.
        device: whose kernels are repeated, ``x86`` or ``arm``.
    """

    op: Op
    dtype: str
    batch: int
    values: list[Array | None]
    grids: list[Grid | None]
    output: Grid
    statics: dict[int, Array]
    weights: IntegerWeights | None = None
    activation: int = 0
    device: str = "x86"

    def grid(self, position: int = 0) -> Grid:
        """Return the grid of an input.

        Raises:
            ModelError: it has none.
        """
        found = self.grids[position]
        if found is None:
            raise ModelError(f"Input {position} of {self.op.kind} '{self.op.name}' holds no reals.")
        return found

    @property
    def products(self) -> IntegerWeights:
        """The weights of an op that has some.

        Raises:
            ModelError: it has none.
        """
        if self.weights is None:
            raise ModelError(f"{self.op.kind} '{self.op.name}' has no weights; expected constant ones.")
        return self.weights

    def stored(self, position: int = 0) -> Array:
        """Return the integers of an input.

        Raises:
            ModelError: the op lacks it.
        """
        values = self.values[position]
        if values is None:
            raise ModelError(
                f"{self.op.kind} '{self.op.name}' lacks its input {position}; expected integers."
            )
        return values

    def shifted(self, position: int = 0) -> npt.NDArray[np.int32]:
        """Return the integers of an input without their zero point."""
        return np.subtract(self.stored(position), self.grid(position).zero_point, dtype=np.int32)

    def both(self) -> list[Array]:
        """Return both inputs without their zero points, axes of one after the batch where ranks differ."""
        values = [self.shifted(i).astype(np.int64) for i in (0, 1)]
        rank = max(v.ndim for v in values)
        return [v.reshape(v.shape[0], *([1] * (rank - v.ndim)), *v.shape[1:]) for v in values]

    @property
    def fused(self) -> str:
        """The fused activation function of the op."""
        return fused_activation(self.op)


def stored_weights(op: Op, decision: OpPlan, constants: dict[int, Any]) -> IntegerWeights | None:
    """Return the weights of an op as ``apply_plan`` writes them, or None where they are computed.

    Args:
        op: the op.
        decision: its plan.
        constants: input position → trained real values of a constant.
    """
    rule = find_rule(op.kind)
    position = None if rule is None else weight_of(op, rule)
    storage = None if position is None else decision.constants.get(position)
    if rule is None or position not in constants or storage is None or not storage.scale:
        return None
    values = quantize(
        constants[position], storage.scale, storage.zero_point, storage.dtype, storage.axis,
        narrow=storage.narrow,
    )  # fmt: skip
    made = IntegerWeights(
        values, np.asarray(storage.scale, np.float32), storage.axis or rule.weight_axis or 0
    )
    made.dtype = storage.dtype
    bias = None if rule.bias is None else decision.constants.get(rule.bias)
    if bias is not None and rule.bias in constants:
        made.bias, made.short = _bias(constants[rule.bias], bias), bias.dtype == "int32"
    return made


def _bias(values: Array, storage: Storage) -> Array:
    whole, _ = bias_integers(values, np.asarray(storage.scale, np.float64), storage.dtype)
    return whole.reshape(-1).astype(np.int64)
