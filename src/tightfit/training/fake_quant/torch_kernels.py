"""Fake-quantization on torch: the kernels of ``fake_quantize``, in place where a value is not read again.

Torch runs line by line, and allocating a result takes as long as computing it, because new memory is accessed
for the first time. Bounds that are one-element tensors make each line many times slower on a CPU than
numbers.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from tightfit.graph.ops.activations import Ends


def forward(x: Any, scale: Any, low: Any, high: Any) -> Any:
    """``scale · round(clip(x / scale, low, high))``."""
    return (x * (1.0 / scale)).clamp_(float(low), float(high)).round_().mul_(scale)


def backward(x: Any, scale: Any, low: Any, high: Any, upstream: Any) -> tuple[Any, Any]:
    """Return the gradients of values and of scale."""
    return _gradients(x * (1.0 / scale), scale, (float(low), float(high)), upstream)


def forward_sum(y: Any, bias: Any, scale: Any, low: Any, high: Any, *, ends: Ends) -> Any:
    """``forward`` of ``clip(y + bias, ends)``."""
    total = y + bias
    if ends != (None, None):
        total.clamp_(*ends)
    return total.mul_(1.0 / scale).clamp_(float(low), float(high)).round_().mul_(scale)


def backward_sum(  # noqa: PLR0913 - what the forward pass takes, and what comes back
    y: Any, bias: Any, scale: Any, low: Any, high: Any, upstream: Any, *, ends: Ends
) -> tuple[Any, Any, Any]:
    """Return the gradients of sum, bias and scale."""
    steps = y + bias
    if ends != (None, None):
        steps.clamp_(*ends)
    passed, stretched = _gradients(steps.mul_(1.0 / scale), scale, (float(low), float(high)), upstream)
    if ends != (None, None):
        least, most = (-np.inf if ends[0] is None else ends[0]), (np.inf if ends[1] is None else ends[1])
        _between(passed, torch.add(y, bias, out=steps), least, most, into=passed)
    return passed, passed.sum(dim=tuple(range(passed.ndim - 1))), stretched


def _gradients(steps: Any, scale: Any, bounds: tuple[float, float], upstream: Any) -> tuple[Any, Any]:
    """Return the gradients of values and scale from ``x / scale``, which is overwritten."""
    passed = _between(upstream, steps, _below(bounds[0]), -_below(-bounds[1]), into=torch.empty_like(steps))
    clipped = steps.clamp_(*bounds)  # 0 · inf is NaN, and beyond the bounds `passed` is 0
    terms = clipped.round().mul_(upstream).sub_(clipped.mul_(passed))
    shared = [i for i in range(terms.ndim) if scale.ndim == 0 or scale.shape[i] == 1]
    return passed, terms.sum(dim=shared, keepdim=scale.ndim > 0)


@functools.cache
def _below(bound: float) -> float:
    """The next smaller float, because ``_between`` excludes its bounds."""
    return float(np.nextafter(np.float32(bound), np.float32(-np.inf)))


def _between(gradient: Any, values: Any, low: float, high: float, *, into: Any) -> Any:
    """The gradient where ``low < values < high``, 0 elsewhere, in one pass."""
    return torch.ops.aten.hardtanh_backward.grad_input(gradient, values, low, high, grad_input=into)
