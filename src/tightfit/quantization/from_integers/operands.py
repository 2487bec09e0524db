"""The constants of an op that moves to integers: weights on their own grid, biases, constant operands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import dequantize, quantize, weight_scales
from tightfit.quantization.from_integers.promotion_table import EXACT_IN_FLOAT
from tightfit.quantization.grid import KEPT, grid_scales
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.ops.rule_lookup import weight_of
from tightfit.quantization.plan import OpPlan, Storage
from tightfit.units import format_decibels

_EXACT_DB: Final = 120.0
"""Beyond the rounding of float32 nothing is lost."""
_LIMIT: Final = 2**31 - 1
_SAFE_BIAS: Final = 2.0**30


class Refusal(Exception):  # noqa: N818 - a reason, no error
    """Why an op stays in float."""


@dataclass
class StoredWeights:
    """The constants of a product, as its kernel takes them.

    Args:
        constants: input position → storage.
        largest: the largest weight scale, or nothing.
        notes: what was lost.
    """

    constants: dict[int, Storage] = field(default_factory=dict)
    largest: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decide_weights(
    op: Op, plan: OpPlan, rule: OpRule, dtype: str, inputs: dict[int, Storage], *, zero_point: bool
) -> StoredWeights:
    """Return how weights and bias are stored for an integer kernel.

    Args:
        op: the op.
        plan: with the source's own storages.
        rule: the op's row.
        dtype: of the activations.
        inputs: the storages of its activations.
        zero_point: whether the kernel honours one of the weights.

    Raises:
        Refusal: the weights stand on no grid, or the kernel does not take it.
    """
    made = StoredWeights()
    position = weight_of(op, rule)
    if rule.weight is None or (position is None and rule.runtime_weight):
        return made
    tensor = None if position is None else op.input(position)
    if position is None or tensor is None or tensor.data is None:
        raise Refusal(f"its weights are computed at run time; it {EXACT_IN_FLOAT}")
    storage = _on_grid(op, tensor, plan.constants.get(position), rule)
    storage = _symmetric(op, tensor, storage, rule, zero_point=zero_point, made=made)
    storage = _kernel_type(storage, rule, dtype)
    if rule.bias is not None:
        storage = _bias(op, tensor, storage, rule, dtype, inputs[rule.activation], made)
    made.constants[position] = storage
    made.largest = [max(storage.scale)]
    return made


def _on_grid(op: Op, tensor: Tensor, storage: Storage | None, rule: OpRule) -> Storage:
    if storage is None:
        found = grid_scales(tensor.values, rule.weight_axis)
        if found is None:
            raise Refusal("its weights are float in the source, and stay so")
        axis = rule.weight_axis if found.size > 1 else None
        storage = Storage("int8", tuple(found.tolist()), (0,) * found.size, axis, reason=KEPT)
    if storage.axis is not None and storage.axis != rule.weight_axis:
        if len(set(storage.scale)) > 1 or len(set(storage.zero_point)) > 1:
            raise Refusal(
                f"its weights have a scale along axis {storage.axis}, and {op.kind} takes "
                f"{'one' if rule.weight_axis is None else f'axis {rule.weight_axis}'}; it {EXACT_IN_FLOAT}"
            )
        storage = replace(storage, scale=storage.scale[:1], zero_point=storage.zero_point[:1], axis=None)
    return storage


def _symmetric(
    op: Op, tensor: Tensor, storage: Storage, rule: OpRule, *, zero_point: bool, made: StoredWeights
) -> Storage:
    """Weights with zero point 0; the note says what that costs."""
    if not any(storage.zero_point):
        return storage
    plain = replace(storage, dtype="int8", zero_point=(0,) * len(storage.zero_point))
    if _noise_db(tensor.values, plain) > _EXACT_DB:
        return plain  # int8 holds all of them without the shift
    if zero_point and storage.axis is None and storage.dtype == "int8":
        return storage
    scales = weight_scales(tensor.values, rule.weight_axis)
    moved = Storage(
        "int8",
        tuple(scales.tolist()),
        (0,) * scales.size,
        rule.weight_axis,
        narrow=True,
        reason="largest weight",
    )
    made.notes.append(
        f"{op.kind} '{op.name}': its weights have the zero point {storage.zero_point[0]}, which its kernel "
        f"does not take; requantized at {format_decibels(_noise_db(tensor.values, moved))}"
    )
    return moved


def _noise_db(values: npt.NDArray[np.float32], storage: Storage) -> float:
    """Signal-to-noise of constants under a storage."""
    stored = quantize(
        values, storage.scale, storage.zero_point, storage.dtype, storage.axis, narrow=storage.narrow
    )
    error = values - dequantize(stored, storage.scale, storage.zero_point, storage.axis)
    noise = float(np.square(error.astype(np.float64)).sum())
    signal = float(np.square(values.astype(np.float64)).sum())
    return float("inf") if noise == 0.0 else 10.0 * float(np.log10(max(signal, 1e-300) / noise))


def _kernel_type(storage: Storage, rule: OpRule, dtype: str) -> Storage:
    if storage.dtype in ("int4", "int2"):
        wide = storage.dtype == "int2" or rule.version(dtype, "int4") is None
        return replace(storage, dtype="int8") if wide else storage
    if storage.dtype != "int8":
        raise Refusal(f"its weights are {storage.dtype}, which no kernel takes; it {EXACT_IN_FLOAT}")
    return storage


def _bias(  # noqa: PLR0913, PLR0917 - the facts about one product
    op: Op, weights: Tensor, storage: Storage, rule: OpRule, dtype: str, source: Storage, made: StoredWeights
) -> Storage:
    """Stores the bias at input · weight scale; a channel of zeros gets the scale that its bias needs."""
    bias = op.input(rule.bias or 0)
    if bias is None and not rule.needs_bias:
        return storage
    values = np.zeros(1) if bias is None else np.asarray(bias.data, np.float64).reshape(-1)
    scales = np.asarray(storage.scale, np.float32)
    least = (np.abs(values) / (_SAFE_BIAS * source.scale[0])).astype(np.float32)
    if dtype == "int8" and (least > scales).any():
        scales = _widened(weights, storage, scales, least)
        storage = replace(storage, scale=tuple(scales.tolist()), zero_point=(0,) * scales.size,
                          axis=rule.weight_axis if scales.size > 1 else None)  # fmt: skip
    product = (scales.astype(np.float64) * np.float64(np.float32(source.scale[0]))).astype(np.float32)
    if dtype == "int8" and (np.abs(values) / product > _LIMIT).any():
        raise Refusal(f"its bias does not fit 32 bits at the source's scales; it {EXACT_IN_FLOAT}")
    axis = 0 if product.size > 1 else None
    stored = "int32" if dtype == "int8" else "int64"
    made.constants[rule.bias or 0] = Storage(
        stored, tuple(product.tolist()), (0,) * product.size, axis, reason="input scale · weight scale"
    )
    return storage


def _widened(
    weights: Tensor, storage: Storage, scales: npt.NDArray[np.float32], least: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Larger scales for channels whose weights are all zero: nothing else can change there."""
    if storage.axis is None:
        return np.maximum(scales, least.max(keepdims=True)) if not weights.values.any() else scales
    others = tuple(i for i in range(weights.values.ndim) if i != storage.axis)
    empty = ~weights.values.any(axis=others)
    return np.where(empty, np.maximum(scales, least), scales).astype(np.float32)


def constant_operand(tensor: Tensor, storage: Storage | None, dtype: str) -> Storage:
    """Return how a constant that is read like an activation is stored: as in the source, else exactly.

    Args:
        tensor: the constant.
        storage: the source's, or None.
        dtype: of the op's activations.

    Raises:
        Refusal: it stands on no grid of the type.
    """
    if storage is not None and _noise_db(tensor.values, storage) > _EXACT_DB:
        return storage
    if storage is None:
        found = grid_scales(tensor.values, None) if tensor.size > 1 else _of_one(tensor)
        if found is not None:
            own = Storage(dtype, tuple(found.tolist()), (0,), reason="its values' own grid")
            if _noise_db(tensor.values, own) > _EXACT_DB:
                return own
    raise Refusal(f"its constant '{tensor.name}' has no scale in the source; it {EXACT_IN_FLOAT}")


def _of_one(tensor: Tensor) -> npt.NDArray[np.float32]:
    """One number is a hundred steps of a hundredth of it."""
    value = float(np.abs(tensor.values).reshape(-1)[0])
    return np.asarray([value / 100 if value else 1.0], np.float32)
