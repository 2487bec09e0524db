"""ONNX ops with weights or windows: convolutions, products, normalization. One row an op.

Images are (N, …, C) here. One spatial dimension becomes two, since ``.tflite`` has no op for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import lax

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp
from tightfit.conversion.onnx.onnx_window import OnnxWindow, Pairs, as_image
from tightfit.conversion.onnx.pool_ops import POOLS
from tightfit.conversion.stablehlo.transposed_convolution import crop, dilate, widened

# -- convolutions ----------------------------------------------------------------------------------


def _conv(n: OnnxNode, x: Any, weights: Any, bias: Any = None) -> Any:
    w = n.xp.transpose(weights, (*range(2, weights.ndim), 1, 0))
    window = OnnxWindow(n, x.shape[1:-1], w.shape[:-2])
    strides, dilations, pads = window.strides, window.dilations, window.pads
    if x.ndim == 3:
        x, w = as_image(x), w.reshape((1, *w.shape))
        strides, dilations, pads = [1, *strides], [1, *dilations], [(0, 0), *pads]
    letters = "DHW"[-(x.ndim - 2) :]
    y = lax.conv_general_dilated(
        x, w, strides, pads, rhs_dilation=dilations, feature_group_count=n.get("group", 1),
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )  # fmt: skip
    y = y if bias is None else y + bias
    return y.reshape((y.shape[0], *y.shape[2:])) if len(window.kernel) == 1 else y


def _conv_transpose(n: OnnxNode, x: Any, weights: Any, bias: Any = None) -> Any:
    if n.get("group", 1) != 1:
        return _grouped_transpose(n, x, weights, bias)
    rank, kernel = x.ndim - 2, weights.shape[2:]
    window = OnnxWindow(n, x.shape[1:-1], kernel)
    extra = n.get("output_padding") or [0] * rank
    w = n.xp.flip(n.xp.transpose(weights, (*range(2, rank + 2), 0, 1)), tuple(range(rank)))
    pads: Pairs = []
    reaches = [(size - 1) * d for size, d in zip(kernel, window.dilations, strict=True)]
    for i, (low, high) in enumerate(_output_pads(n, window, x.shape[1:-1], extra)):
        pads.append((reaches[i] - low, reaches[i] - high + extra[i]))
    strides, dilations = window.strides, window.dilations
    if rank == 1:
        x, w = as_image(x), w.reshape((1, *w.shape))
        strides, dilations, pads, reaches = [1, *strides], [1, *dilations], [(0, 0), *pads], [0, *reaches]
    letters = "DHW"[-(x.ndim - 2) :]
    upsamples = any(s > 1 for s in strides)
    if upsamples:
        w, dilations = widened(w, dilations, range(len(dilations))), [1] * len(dilations)
    if rank == 3 and upsamples:  # .tflite has no transposed convolution over three dimensions
        x, strides = dilate(x, strides, range(1, 4)), [1] * 3
    y = lax.conv_general_dilated(
        x, w, [1] * len(strides), [(r, r) for r in reaches] if upsamples else pads, lhs_dilation=strides,
        rhs_dilation=dilations, dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )  # fmt: skip
    y = crop(y, pads, reaches, range(1, y.ndim - 1)) if upsamples else y
    y = y if bias is None else y + bias
    return y.reshape((y.shape[0], *y.shape[2:])) if rank == 1 else y


def _output_pads(n: OnnxNode, window: OnnxWindow, sizes: Sequence[int], extra: Sequence[int]) -> Pairs:
    """The pads that an output shape or SAME asks for, else those given."""
    wanted = n.get("output_shape")
    auto = n.get("auto_pad", "NOTSET")
    if wanted is None and auto not in ("SAME_UPPER", "SAME_LOWER"):
        return window.pads
    pairs: Pairs = []
    for i, size in enumerate(sizes):
        stride = window.strides[i]
        target = size * stride if wanted is None else wanted[-len(sizes) :][i]
        reach = (window.kernel[i] - 1) * window.dilations[i] + 1
        total = max(0, stride * (size - 1) + extra[i] + reach - target)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return pairs


def _grouped_transpose(n: OnnxNode, x: Any, weights: Any, bias: Any) -> Any:
    """One transposed convolution a group, joined: ``.tflite`` has no grouped one."""
    groups = n.attributes.pop("group")
    parts = zip(jnp.split(x, groups, axis=-1), np.split(weights, groups, axis=0), strict=True)
    y = jnp.concatenate([_conv_transpose(n, a, w) for a, w in parts], axis=-1)
    n.attributes["group"] = groups
    return y if bias is None else y + bias


# -- products --------------------------------------------------------------------------------------


def _gemm(n: OnnxNode, a: Any, b: Any, c: Any = None) -> Any:
    a = a.T if n.get("transA", 0) else a
    b = b.T if n.get("transB", 0) else b
    alpha, beta = n.get("alpha", 1.0), n.get("beta", 1.0)
    if alpha != 1:
        b = b * np.asarray(alpha, b.dtype)
    y = n.xp.matmul(a, b)
    if c is None:
        return y
    return y + (c if beta == 1 else c * np.asarray(beta, c.dtype))


def _einsum(n: OnnxNode, *arrays: Any) -> Any:
    equation = n.get("equation")
    text = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = [_diagonal(n, t, a) for t, a in zip(left.split(","), arrays, strict=True)]
    return n.xp.einsum(",".join(t for t, _ in terms) + arrow + right, *(a for _, a in terms))


def _diagonal(n: OnnxNode, letters: str, x: Any) -> tuple[str, Any]:
    """A term without repeated letters: elements with equal indices are read from a flat copy."""
    for letter in dict.fromkeys(letters.replace(".", "")):
        if letters.count(letter) == 2 and "." not in letters:
            first, second = (i for i, c in enumerate(letters) if c == letter)
            x = n.xp.moveaxis(x, (first, second), (0, 1))
            size = x.shape[0]
            x = x.reshape((size * size, *x.shape[2:]))[:: size + 1]
            letters = letter + letters.replace(letter, "")
    return letters, x


# -- normalization ---------------------------------------------------------------------------------


def _batch_norm(n: OnnxNode, x: Any, *parameters: Any) -> Any:
    if n.get("training_mode", 0):
        raise n.refuse("is in training mode; export the model for inference")
    scale, bias, mean, variance = (n.constant(p, "parameters").astype(np.float32) for p in parameters)
    factor = scale / np.sqrt(variance + np.float32(n.get("epsilon", 1e-5)))
    return x * factor + (bias - mean * factor)


def _normalized(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    centred = x - jnp.mean(x, axis=axes, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred * centred, axis=axes, keepdims=True) + epsilon)


def _instance_norm(n: OnnxNode, x: Any, scale: Any, bias: Any) -> Any:
    return _normalized(x, tuple(range(1, x.ndim - 1)), n.get("epsilon", 1e-5)) * scale + bias


def _layer_norm(n: OnnxNode, x: Any, scale: Any, bias: Any = None) -> Any:
    if n.outputs > 1:
        raise n.refuse("gives its mean and deviation")
    axes = tuple(range(n.get("axis", -1) % x.ndim, x.ndim))
    y = _normalized(x, axes, n.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def _group_norm(n: OnnxNode, x: Any, scale: Any, bias: Any) -> Any:
    groups = n.get("num_groups")
    depth = x.shape[-1]
    split = x.reshape((*x.shape[:-1], groups, depth // groups))
    axes = (*range(1, x.ndim - 1), x.ndim)
    y = _normalized(split, axes, n.get("epsilon", 1e-5))
    if n.opset < 21 or scale.size == groups != depth:
        scale, bias = (np.repeat(np.asarray(v), depth // groups) for v in (scale, bias))
    return y.reshape(x.shape) * scale + bias


def _rms_norm(n: OnnxNode, x: Any, scale: Any) -> Any:
    axes = tuple(range(n.get("axis", -1) % x.ndim, x.ndim))
    return x * lax.rsqrt(jnp.mean(x * x, axis=axes, keepdims=True) + n.get("epsilon", 1e-5)) * scale


def _lp_norm(n: OnnxNode, x: Any) -> Any:
    axis = n.get("axis", -1)
    if n.get("p", 2) == 1:
        return x / jnp.sum(abs(x), axis=axis, keepdims=True)
    return x / jnp.sqrt(jnp.sum(x * x, axis=axis, keepdims=True))


def _lrn(n: OnnxNode, x: Any) -> Any:
    size, alpha, beta, bias = n.get("size"), n.get("alpha", 1e-4), n.get("beta", 0.75), n.get("bias", 1.0)
    low = (size - 1) // 2
    window, pads = [1] * (x.ndim - 1) + [size], [(0, 0)] * (x.ndim - 1) + [(low, size - 1 - low)]
    total = lax.reduce_window(x * x, 0.0, lax.add, window, [1] * x.ndim, pads)
    return x / jnp.power(bias + alpha / size * total, beta)


def _same(n: OnnxNode, x: Any, *_: Any) -> Any:
    return (x, np.ones(x.shape, bool)) if n.outputs > 1 else x


LAYERS: Final[dict[str, OnnxOp]] = POOLS | {
    "BatchNormalization": OnnxOp(_batch_norm, Layout.STORED, "inference, constant parameters"),
    "Conv": OnnxOp(_conv, Layout.STORED),
    "ConvTranspose": OnnxOp(_conv_transpose, Layout.STORED),
    "Dropout": OnnxOp(_same, Layout.AXES, "inference"),
    "Einsum": OnnxOp(_einsum),
    "Gemm": OnnxOp(_gemm),
    "GroupNormalization": OnnxOp(_group_norm, Layout.STORED),
    "Identity": OnnxOp(_same, Layout.AXES),
    "InstanceNormalization": OnnxOp(_instance_norm, Layout.STORED),
    "LRN": OnnxOp(_lrn, Layout.STORED),
    "LayerNormalization": OnnxOp(_layer_norm, note="without mean and deviation as outputs"),
    "LpNormalization": OnnxOp(_lp_norm),
    "MatMul": OnnxOp(lambda n, a, b: n.xp.matmul(a, b)),
    "RMSNormalization": OnnxOp(_rms_norm),
}
