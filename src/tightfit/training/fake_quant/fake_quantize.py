"""The fake-quantize op: reals rounded to an integer grid, with straight-through gradients.

``keras.quantizers.fake_quant_with_min_max_vars`` ignores its bits, its narrow range and its axis on symbolic
tensors (Keras 3.15.1), so it is not used here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.graph.ir import Op
from tightfit.graph.ops.activations import Ends
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.plan import Storage


def limits(storage: Storage) -> tuple[int, int]:
    """Return the least and the largest integer of a storage.

    Example:
        >>> limits(Storage("int8", (0.1,), (0,), narrow=True))
        (-127, 127)
    """
    bottom, top = LIMITS[storage.dtype]
    return bottom + storage.narrow, top


def fake_quantize(x: Any, scale: Any, zero_point: Any, bottom: int, top: int) -> Any:
    """Return ``scale · round(clip(x / scale, bottom - zero_point, top - zero_point))``, in float32.

    The forward pass equals ``dequantize(quantize(x))`` of ``quantization.arithmetic`` to the bit: the
    reciprocal in float32, halves to even. Backward pass: the gradient of ``x`` is passed on inside the range
    and is 0 outside; that of ``scale`` is ``round(x / scale) - x / scale`` inside and the bound outside.

    Args:
        x: values of any shape.
        scale: a scalar, or an array that broadcasts against ``x``.
        zero_point: as ``scale``.
        bottom: the least integer.
        top: the largest integer.

    Returns:
        float32 in the shape of ``x``.

    Source: Esser et al. 2020, "Learned Step Size Quantization"; Jain et al. 2020, "Trained Quantization
    Thresholds". Departure: no scaling of the gradient; the scale is trained as a logarithm (``quantizers``).
    """
    scale = ops.convert_to_tensor(scale, "float32")
    bounds = (ops.convert_to_tensor(bottom - zero_point, "float32"),
              ops.convert_to_tensor(top - zero_point, "float32"))  # fmt: skip
    forward, backward = kernels()[:2]

    # The bounds are arguments: those of a step of a scan exist only inside of it.
    @ops.custom_gradient  # type: ignore[untyped-decorator]  # Keras has no types
    def quantized(x: Any, scale: Any, low: Any, high: Any) -> Any:
        def gradient(*args: Any, upstream: Any = None) -> Any:
            found = backward(x, scale, low, high, args[0] if upstream is None else upstream)
            return *found, ops.zeros_like(low), ops.zeros_like(high)

        return forward(x, scale, low, high), gradient

    return ops.cast(quantized(ops.cast(x, "float32"), scale, *bounds), x.dtype)


def _forward(x: Any, scale: Any, low: Any, high: Any) -> Any:
    return ops.round(ops.clip(x * (1.0 / scale), low, high)) * scale


def _backward(x: Any, scale: Any, low: Any, high: Any, upstream: Any) -> tuple[Any, Any]:
    """The gradients of values and scale, computed again from ``x``, so that only ``x`` is stored."""
    steps = x * (1.0 / scale)
    inside = (steps >= low) & (steps <= high)
    # Clipped, as 0 · inf is NaN: a mask of −3.4e38 divided by its scale is −inf.
    clipped = ops.clip(steps, low, high)
    # One product with the gradient: XLA computes a sum of two in twice the time.
    terms = upstream * ops.where(inside, ops.round(clipped) - clipped, clipped)
    passed = ops.where(inside, upstream, 0.0)
    rank = len(scale.shape)
    shared = [i for i in range(len(x.shape)) if rank == 0 or scale.shape[i] == 1]
    return passed, ops.sum(terms, axis=shared, keepdims=rank > 0)


def fake_quantize_sum(y: Any, bias: Any, ends: Ends, scale: Any, bounds: tuple[Any, Any]) -> Any:
    """Return ``fake_quantize(clip(y + bias, ends))``, computed in one pass over the sums of a convolution.

    Three separate ops would each read and write the whole tensor, forward and backward, and store its input;
    here only ``y`` is stored. The gradients equal those of the three ops.

    Args:
        y: sums of products, (…, channels).
        bias: the bias, (channels,).
        ends: least and largest value of the activation function, None for unbounded.
        scale: a scalar.
        bounds: the least and the largest integer minus the zero point.
    """
    fixed = [ops.convert_to_tensor(bound, "float32") for bound in bounds]
    forward, backward = (functools.partial(k, ends=ends) for k in kernels()[2:])

    @ops.custom_gradient  # type: ignore[untyped-decorator]  # Keras has no types
    def quantized(y: Any, bias: Any, scale: Any, low: Any, high: Any) -> Any:
        def gradient(*args: Any, upstream: Any = None) -> Any:
            found = backward(y, bias, scale, low, high, args[0] if upstream is None else upstream)
            return *found, ops.zeros_like(low), ops.zeros_like(high)

        return forward(y, bias, scale, low, high), gradient

    operands = (ops.cast(value, "float32") for value in (y, ops.reshape(bias, (-1,)), scale))
    return ops.cast(quantized(*operands, *fixed), y.dtype)


def _forward_sum(y: Any, bias: Any, scale: Any, low: Any, high: Any, *, ends: Ends) -> Any:
    return _forward(_clipped(y + bias, ends), scale, low, high)


def _backward_sum(  # noqa: PLR0913 - what the forward pass takes, and what comes back
    y: Any, bias: Any, scale: Any, low: Any, high: Any, upstream: Any, *, ends: Ends
) -> tuple[Any, Any, Any]:
    """The gradients of sum, bias and scale."""
    total = y + bias
    passed, stretched = _backward(_clipped(total, ends), scale, low, high, upstream)
    for inside in _inside(total, ends):
        passed = ops.where(inside, passed, 0.0)
    return passed, ops.sum(passed, axis=tuple(range(len(y.shape) - 1))), stretched


def _clipped(total: Any, ends: Ends) -> Any:
    total = total if ends[0] is None else ops.maximum(total, ends[0])
    return total if ends[1] is None else ops.minimum(total, ends[1])


def _inside(total: Any, ends: Ends) -> Iterator[Any]:
    if ends[0] is not None:
        yield total > ends[0]
    if ends[1] is not None:
        yield total < ends[1]


PLAIN: Final = (_forward, _backward, _forward_sum, _backward_sum)
Kernels = tuple[Callable[..., Any], ...]
"""The forward and backward functions, of values and of sums."""


@functools.cache
def kernels() -> Kernels:
    """Return the kernels of the backend: faster ones where there are some, else ``PLAIN``."""
    faster = _FASTER.get(keras.backend.backend())
    return PLAIN if faster is None else faster()


def _of_tensorflow() -> Kernels:
    """The kernels compiled by XLA, which passes over memory once; TensorFlow would for each line."""
    import tensorflow as tf  # noqa: PLC0415 - only on this backend

    return tuple(tf.function(kernel, jit_compile=True) for kernel in PLAIN)


def _of_torch() -> Kernels:
    """Kernels that work in place: torch runs line by line, and less memory is allocated."""
    from tightfit.training.fake_quant import torch_kernels as kernels  # noqa: PLC0415 - only on this backend

    return kernels.forward, kernels.backward, kernels.forward_sum, kernels.backward_sum


_FASTER: Final[dict[str, Callable[[], Kernels]]] = {"tensorflow": _of_tensorflow, "torch": _of_torch}
"""Backend → faster kernels with the same results; JAX compiles ``PLAIN`` with the ops around it."""


def round_through(x: Any) -> Any:
    """Return the values rounded, halves to even; the gradient is straight-through."""
    fixed = ops.stop_gradient(x)  # first, so that no backend records what it need not differentiate
    return x + (ops.round(fixed) - fixed)


def halve_precision(x: Any) -> Any:
    """Return the values rounded to float16, as float32; the gradient is straight-through."""
    fixed = ops.stop_gradient(x)
    return x + (ops.cast(ops.cast(fixed, "float16"), x.dtype) - fixed)


def quantize_as_output(op: Op, values: list[Any]) -> Any:
    """Return the output of a QUANTIZE in a graph as reals."""
    quantization = op.outputs[0].grid
    bottom, top = LIMITS[op.outputs[0].dtype]
    scale, zero_point = np.float32(quantization.scale[0]), float(quantization.zero_point[0])
    return fake_quantize(values[0], scale, zero_point, bottom, top)
