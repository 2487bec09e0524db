"""Our own fake-quantize op: reals that stand on an integer grid, with straight-through gradients.

``keras.quantizers.fake_quant_with_min_max_vars`` loses its bits, its narrow range and its axis on symbolic
tensors (Keras 3.15.1), so nothing of it is used here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.plan import Storage


def limits(storage: Storage) -> tuple[int, int]:
    """Gives the least and the largest integer of a storage.

    Example:
        >>> limits(Storage("int8", (0.1,), (0,), narrow=True))
        (-127, 127)
    """
    bottom, top = LIMITS[storage.dtype]
    return bottom + storage.narrow, top


def fake_quantize(x: Any, scale: Any, zero_point: Any, bottom: int, top: int) -> Any:
    """Gives ``scale · round(clip(x / scale, bottom - zero_point, top - zero_point))``, in float32.

    Forward it is, to the bit, ``dequantize(quantize(x))`` of ``quantization.arithmetic``: the reciprocal in
    float32, halves to even. Backward: the gradient of ``x`` passes inside of the range and is 0 outside;
    that of ``scale`` is ``round(x / scale) - x / scale`` inside and the bound outside.

    Args:
        x: values of any shape. scale, zero_point: scalars, or arrays that broadcast against ``x``.
        bottom, top: the least and the largest integer.

    Source: Esser et al. 2020, "Learned Step Size Quantization"; Jain et al. 2020, "Trained Quantization
    Thresholds". Departure: no scaling of the gradient; the scale is trained as a logarithm (``quantizers``).
    """
    scale = ops.convert_to_tensor(scale, "float32")
    bounds = (ops.convert_to_tensor(bottom - zero_point, "float32"),
              ops.convert_to_tensor(top - zero_point, "float32"))  # fmt: skip
    forward, backward = _kernels()

    @ops.custom_gradient  # type: ignore[untyped-decorator]  # Keras has no types
    def quantized(x: Any, scale: Any) -> Any:
        def gradient(*args: Any, upstream: Any = None) -> Any:
            return backward(x, scale, *bounds, args[0] if upstream is None else upstream)

        return forward(x, scale, *bounds), gradient

    return ops.cast(quantized(ops.cast(x, "float32"), scale), x.dtype)


def _forward(x: Any, scale: Any, low: Any, high: Any) -> Any:
    return ops.round(ops.clip(x * (1.0 / scale), low, high)) * scale


def _backward(x: Any, scale: Any, low: Any, high: Any, upstream: Any) -> tuple[Any, Any]:
    """The gradients of values and of scale; all is formed anew from ``x``, so that nothing else is kept."""
    steps = x * (1.0 / scale)
    passed = upstream * ops.cast((steps >= low) & (steps <= high), "float32")
    terms = upstream * ops.round(ops.clip(steps, low, high)) - passed * steps
    rank = len(scale.shape)
    shared = [i for i in range(len(x.shape)) if rank == 0 or scale.shape[i] == 1]
    return passed, ops.sum(terms, axis=shared, keepdims=rank > 0)


@functools.cache
def _kernels() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Forward and backward; in TensorFlow each line would be a pass over memory, XLA makes one of all."""
    if keras.backend.backend() != "tensorflow":
        return _forward, _backward
    import tensorflow as tf  # noqa: PLC0415 - only on this backend

    return tf.function(_forward, jit_compile=True), tf.function(_backward, jit_compile=True)


def round_through(x: Any) -> Any:
    """Rounds, halves to even; the gradient passes as if it had not been rounded."""
    fixed = ops.stop_gradient(x)  # first, so that no backend records what it need not differentiate
    return x + (ops.round(fixed) - fixed)


def halve_precision(x: Any) -> Any:
    """Gives the values that float16 holds, as float32; the gradient passes."""
    fixed = ops.stop_gradient(x)
    return x + (ops.cast(ops.cast(fixed, "float16"), x.dtype) - fixed)


def quantize_as_output(op: Op, values: list[Any]) -> Any:
    """QUANTIZE in a graph: the reals that the integers of its output stand for."""
    quantization = op.outputs[0].quantization
    assert quantization is not None  # noqa: S101 - the kernel refuses an output without a scale
    bottom, top = LIMITS[op.outputs[0].dtype]
    scale, zero_point = np.float32(quantization.scale[0]), float(quantization.zero_point[0])
    return fake_quantize(values[0], scale, zero_point, bottom, top)
