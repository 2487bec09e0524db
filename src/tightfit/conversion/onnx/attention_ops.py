"""ONNX Attention and RotaryEmbedding of opset 23, and positions read from a grid.

Source: the Attention, RotaryEmbedding, GridSample and AffineGrid documents of ONNX.
"""

from __future__ import annotations

import math
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax import nn

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp


def _attention(n: OnnxNode, q: Any, k: Any, v: Any, *rest: Any) -> Any:
    mask, past_key, past_value = [*rest, None, None, None][:3]
    if n.outputs > 1 or past_key is not None or past_value is not None:
        raise n.refuse("keeps keys and values of earlier calls")
    flat = q.ndim == 3
    q_heads, k_heads = n.get("q_num_heads"), n.get("kv_num_heads")
    if flat:
        q, k, v = _heads(q, q_heads), _heads(k, k_heads), _heads(v, k_heads)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = jnp.repeat(k, groups, axis=1), jnp.repeat(v, groups, axis=1)
    scale = n.get("scale") or 1 / math.sqrt(q.shape[-1])
    scores = jnp.matmul(q * np.float32(scale), jnp.swapaxes(k, -1, -2))
    cap = n.get("softcap", 0.0)
    scores = _masked(n, scores, mask)
    scores = cap * jnp.tanh(scores / cap) if cap else scores
    y = jnp.matmul(nn.softmax(scores, axis=-1), v)
    return jnp.swapaxes(y, 1, 2).reshape((y.shape[0], y.shape[2], -1)) if flat else y


def _heads(x: Any, count: int) -> Any:
    return jnp.swapaxes(x.reshape((*x.shape[:2], count, -1)), 1, 2)


def _masked(n: OnnxNode, scores: Any, mask: Any) -> Any:
    if mask is not None and np.dtype(mask.dtype).kind == "b":
        scores = jnp.where(mask, scores, np.float32(-1e9))
    elif mask is not None:
        scores = scores + mask
    if n.get("is_causal", 0):
        rows, columns = scores.shape[-2:]
        keep = np.tri(rows, columns) > 0
        scores = jnp.where(np.broadcast_to(keep, (1, 1, *keep.shape)), scores, np.float32(-1e9))
    return scores


def _rotary(n: OnnxNode, x: Any, cosine: Any, sine: Any, positions: Any = None) -> Any:
    flat = x.ndim == 3
    x = _heads(x, n.get("num_heads")) if flat else x
    if positions is not None:
        cosine, sine = (jnp.take(c, positions, axis=0, mode="clip") for c in (cosine, sine))
    cosine, sine = (c[:, None] for c in (cosine, sine))
    width = n.get("rotary_embedding_dim", 0) or x.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    if n.get("interleaved", 0):
        a, b = turned[..., 0::2], turned[..., 1::2]
        both = jnp.stack([a * cosine - b * sine, a * sine + b * cosine], axis=-1).reshape(turned.shape)
    else:
        a, b = turned[..., : width // 2], turned[..., width // 2 :]
        both = jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], axis=-1)
    y = jnp.concatenate([both, kept], axis=-1) if kept.shape[-1] else both
    return jnp.swapaxes(y, 1, 2).reshape((y.shape[0], y.shape[2], -1)) if flat else y


def _grid_sample(n: OnnxNode, x: Any, grid: Any) -> Any:
    """Images (N, H, W, C) read at points (N, h, w, 2) of −1 … 1; one gather of rows for each neighbour."""
    mode, padding = n.get("mode", "linear"), n.get("padding_mode", "zeros")
    if x.ndim != 4 or mode in ("cubic", "bicubic") or padding == "reflection":
        raise n.refuse(
            "samples volumes, by 'cubic' or with reflections; nearest and linear images are covered"
        )
    height, width = x.shape[1:3]
    at_x, at_y = (_unscaled(n, grid[..., i], s) for i, s in ((0, width), (1, height)))
    if padding == "border":
        at_x, at_y = jnp.clip(at_x, 0, width - 1), jnp.clip(at_y, 0, height - 1)
    if mode == "nearest":
        return _pixels(x, jnp.round(at_y), jnp.round(at_x))
    left, top = jnp.floor(at_x), jnp.floor(at_y)
    right, bottom = (at_x - left)[..., None], (at_y - top)[..., None]
    upper = _pixels(x, top, left) * (1 - right) + _pixels(x, top, left + 1) * right
    lower = _pixels(x, top + 1, left) * (1 - right) + _pixels(x, top + 1, left + 1) * right
    return upper * (1 - bottom) + lower * bottom


def _unscaled(n: OnnxNode, at: Any, size: int) -> Any:
    if n.get("align_corners", 0):
        return (at + 1) * ((size - 1) / 2)
    return ((at + 1) * size - 1) / 2


def _pixels(x: Any, rows: Any, columns: Any) -> Any:
    """The pixels at whole positions, 0 outside."""
    count, height, width, depth = x.shape
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    first = (np.arange(count) * height * width).reshape((-1, *[1] * (rows.ndim - 1)))
    place = jnp.clip(rows, 0, height - 1) * width + jnp.clip(columns, 0, width - 1)
    found = jnp.take(
        x.reshape((-1, depth)), place.astype(jnp.int32) + first.astype(np.int32), axis=0, mode="clip"
    )
    return found * inside[..., None].astype(x.dtype)


def _affine_grid(n: OnnxNode, theta: Any, size: Any) -> Any:
    sizes = (n.numbers("size", size) or [])[2:]
    lines = []
    for length in sizes:
        steps = np.arange(length, dtype=np.float32)
        corners = n.get("align_corners", 0)
        lines.append(steps * (2 / max(length - 1, 1)) - 1 if corners else (2 * steps + 1) / length - 1)
    axes = np.meshgrid(*lines, indexing="ij")[::-1]
    points = np.stack([*axes, np.ones_like(axes[0])], axis=-1).reshape((-1, len(sizes) + 1))
    return jnp.matmul(points, jnp.swapaxes(theta, 1, 2)).reshape((theta.shape[0], *sizes, len(sizes)))


ATTENTION: Final[dict[str, OnnxOp]] = {
    "AffineGrid": OnnxOp(_affine_grid, note="size as a constant"),
    "Attention": OnnxOp(_attention, note="without keys and values of earlier calls"),
    "GridSample": OnnxOp(_grid_sample, Layout.STORED, "nearest and linear images, without reflections"),
    "RotaryEmbedding": OnnxOp(_rotary),
}
