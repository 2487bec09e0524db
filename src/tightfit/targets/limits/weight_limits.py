"""Limits on weights and biases. See ``tensor_limits``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Op
from tightfit.targets.limits.operand_roles import bias, data, option, weights
from tightfit.targets.limits.tensor_limits import listed
from tightfit.types import Array


def constant_weights(op: Op) -> str | None:
    """Weights and bias are constants.

    Fix: fold what computes the weights, or use BATCH_MATMUL for a product of two activations.
    """
    return listed(t for t in (weights(op), bias(op)) if t is not None and not t.is_constant)


def constant_bias(op: Op, *, unpacked: bool = False) -> str | None:
    """The bias is a constant.

    Fix: fold what computes the bias, or add it with an ADD.

    Args: ``unpacked``: one that a DEQUANTIZE unpacks from float16 or int8 counts as a constant too.
    """
    found = bias(op)
    if found is None or found.is_constant:
        return None
    maker = found.producer
    if unpacked and maker is not None and maker.kind == "DEQUANTIZE":
        source = maker.input(0)
        if source is not None and source.is_constant:
            return None
    return f"'{found.name}' is computed at run time"


def weight_types(op: Op, *, types: Sequence[str]) -> str | None:
    """Weights are {types}.

    Fix: --fix stores int4 weights as int8; other types need quantizing again.
    """
    found = weights(op)
    return None if found is None or found.dtype in types else f"'{found.name}' is {found.dtype}"


def bias_types(op: Op, *, types: Sequence[str]) -> str | None:
    """The bias is {types}.

    Fix: quantize the model with tightfit.
    """
    found = bias(op)
    return None if found is None or found.dtype in types else f"'{found.name}' is {found.dtype}"


def short_bias(op: Op) -> str | None:
    """Under 8-bit activations the bias is no int64.

    Fix: quantize the model with tightfit, which stores it as int32.
    """
    found = bias(op)
    if found is None or data(op).dtype not in ("int8", "uint8") or found.dtype != "int64":
        return None
    return f"'{found.name}' is int64 under {data(op).dtype}"


def has_bias(op: Op) -> str | None:
    """The op has a bias.

    Fix: give it a bias of zeros.
    """
    return None if bias(op) is not None else "it has none"


def no_int4(op: Op) -> str | None:
    """No constant is int4.

    Fix: --fix stores int4 weights as int8, which changes no value.
    """
    return listed(t for t in op.inputs if t is not None and t.is_constant and t.dtype == "int4")


def filter_depth(op: Op) -> str | None:
    """The input's channels are a multiple of the filter's, and the filters divide into as many groups.

    Fix: change the network's groups.
    """
    filters, depth = weights(op), data(op).shape[-1:] or (1,)
    if filters is None or not filters.shape[-1] or depth[0] % filters.shape[-1] == 0:
        return None
    return f"{depth[0]} channels, filters of {filters.shape[-1]}"


def weight_sum(op: Op, *, bits8: int, bits16: int) -> str | None:
    """The sum of a filter's absolute weights is at most {bits8}, or {bits16} under 16-bit activations.

    Fix: split the layer over its input channels.
    """
    filters = weights(op)
    if filters is None or filters.data is None:
        return None
    most = bits8 if data(op).dtype in ("int8", "uint8") else bits16
    stored = np.asarray(filters.data)
    if 255 * stored.size <= most:  # no sum of 8-bit weights can be larger
        return None
    found = int(_filter_sums(op, stored).max())
    return None if found <= most else f"it is {found}"


def _filter_sums(op: Op, stored: Array) -> Array:
    quantization = getattr(weights(op), "quantization", None)
    axis = stored.ndim - 1 if op.kind == "DEPTHWISE_CONV_2D" else 0
    zero = 0 if quantization is None or quantization.zero_point.size != 1 else int(quantization.zero_point[0])
    others = tuple(i for i in range(stored.ndim) if i != axis)
    sums: Array = np.abs(stored.astype(np.int64) - zero).sum(axis=others)
    return sums


def bias_shape(op: Op) -> str | None:
    """The bias has one value for each channel, along its last axis.

    Fix: flatten the bias.
    """
    found = bias(op)
    if found is None or found.size <= (found.shape[-1] if found.shape else 1):
        return None
    return f"its shape is {list(found.shape)}"


def bias_range(op: Op, *, bits: int) -> str | None:
    """An int64 bias is below 2^{bits}.

    Fix: quantize with a larger weight scale.
    """
    found = bias(op)
    if found is None or found.data is None or found.dtype != "int64" or not found.data.size:
        return None
    largest = int(np.asarray(found.data).max())
    return None if largest < 1 << bits else f"it reaches {largest}"


def dense_weights(op: Op) -> str | None:
    """Dense weights are a matrix: [outputs, 1, …, 1, inputs].

    Fix: reshape the weights.
    """
    found = weights(op)
    if found is None:
        return None
    shape = found.shape
    flat = len(shape) >= 2 and found.size == shape[0] * shape[-1]
    return None if flat else f"'{found.name}' has the shape {list(shape)}"


def plain_dense(op: Op) -> str | None:
    """Dense weights are in the default format.

    Fix: convert again without shuffled weights.
    """
    return None if not option(op, "weightsFormat") else "its weights are shuffled"


def depth_multiplier(op: Op) -> str | None:
    """The output's channels are the input's × the depth multiplier.

    Fix: convert the layer again.
    """
    channels = data(op).shape[-1] * int(option(op, "depthMultiplier", 1)), op.outputs[0].shape[-1]
    return None if channels[0] == channels[1] else f"{channels[1]}, expected {channels[0]}"
