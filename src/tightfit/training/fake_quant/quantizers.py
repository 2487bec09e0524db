"""Fake-quantizers of activations and weights, and the update of their scales during training.

``learned``: the scale is trained as a logarithm (``learned_scales``), except that of the model's inputs,
which is known from the data and whose gradient would need a backward pass through the first layer.
``average``: the range of activations is a moving average of their extremes, that of weights their largest
value. ``fixed``: the plan's scales are not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ops.activations import Ends
from tightfit.quantization.plan import Storage
from tightfit.training.fake_quant.fake_quantize import fake_quantize, fake_quantize_sum, limits
from tightfit.training.fake_quant.learned_scales import LearnedScales, Part
from tightfit.training.fake_quant.quantization_points import Point

_MOMENTUM: Final = 0.99
_SMALLEST: Final = 1e-9
Grid = tuple[Any, Any]
"""(scale, zero point)."""
GIVEN: Final = "given"
"""Begin of the cache's keys of grids that are set from outside, one for each step of a scan."""


class ActivationQuantizer:
    """The fake-quantizer of one point.

    Args:
        owner: the Keras model of the variables.
        point: the point and its storage in the plan.
        ranges: range updates, one of ``RANGES``; scales that a kernel fixes never change.
        learned: the learned scales of the network.
    """

    def __init__(self, owner: Any, point: Point, ranges: str, learned: LearnedScales) -> None:
        self.point, self.storage = point, point.storage
        self.ranges = "fixed" if point.fixed or (point.given and ranges == "learned") else ranges
        self.bounds = limits(point.storage)
        self.initial = np.float32(point.storage.scale[0])
        self.zero_point = float(point.storage.zero_point[0])
        self.least = self.initial if "coarser" in point.storage.reason else np.float32(_SMALLEST)
        self.low = self.high = None
        self.learned: Part | None = None
        if self.ranges == "learned":
            self.learned = learned.add(np.asarray(self.initial), float(self.least))
        elif self.ranges == "average":
            ends = [self.initial * (b - self.zero_point) for b in self.bounds]
            self.low = owner.add_state(point.name, "low", np.asarray(ends[0]), trainable=False)
            self.high = owner.add_state(point.name, "high", np.asarray(ends[1]), trainable=False)

    def __call__(self, x: Any, cache: dict[Any, Any], *, training: bool) -> Any:
        """Return the values on the grid; ``average`` updates the range while training.

        Args:
            x: values of any shape.
            cache: results that this call of the network computed already.
            training: whether the network is in training.
        """
        if training and self.low is not None and self.high is not None:
            self.follow(x)
        scale, zero_point = self.parameters(cache)
        return fake_quantize(x, scale, zero_point, *self.bounds)

    def after_sum(self, y: Any, bias: Any, ends: Ends, grid: Grid) -> Any:
        """Return ``clip(y + bias, ends)`` on the grid, computed in one pass.

        Args:
            y: sums of products, (…, channels).
            bias: the bias, (channels,).
            ends: the output range of the activation function.
            grid: (scale, zero point).
        """
        scale, zero_point = grid
        bottom, top = self.bounds
        return fake_quantize_sum(y, bias, ends, scale, (bottom - zero_point, top - zero_point))

    def follow(self, x: Any) -> None:
        """Move the range towards the values of this step."""
        values = ops.stop_gradient(ops.cast(x, "float32"))
        for variable, seen in ((self.low, ops.min(values)), (self.high, ops.max(values))):
            assert variable is not None  # noqa: S101 - both exist under "average"
            variable.assign(variable * _MOMENTUM + seen * (1.0 - _MOMENTUM))

    def parameters(self, cache: dict[Any, Any]) -> Grid:
        """Return the present (scale, zero point), or those that this call was given for a step."""
        if (GIVEN, self) in cache:
            given: Grid = cache[GIVEN, self]
            return given
        if self.learned is not None:
            return ops.reshape(self.learned(cache), ()), self.zero_point
        if self.low is None or self.high is None:
            return ops.convert_to_tensor(self.initial), self.zero_point
        bottom, top = self.bounds
        low, high = ops.minimum(self.low, 0.0), ops.maximum(self.high, 0.0)
        if self.storage.dtype == "int16":
            return ops.maximum(ops.maximum(-low, high) / top, self.least), 0.0
        scale = ops.maximum((high - low) / (top - bottom), self.least)
        return scale, ops.clip(ops.round(bottom - low / scale), bottom, top)

    def trained(self) -> Storage:
        """Return the storage with the trained scale."""
        if self.ranges == "fixed":
            return self.storage
        scale, zero_point = (float(ops.convert_to_numpy(p)) for p in self.parameters({}))
        bottom, top = self.bounds
        span = (scale * (bottom - zero_point), scale * (top - zero_point))
        reason = f"{self.ranges} in training"
        found = replace(self.storage, scale=(scale,), zero_point=(round(zero_point),), reason=reason)
        return replace(found, range=span)


def stacked_scales(quantizers: Sequence[ActivationQuantizer], cache: dict[Any, Any]) -> Any:
    """Return the present scales of several points, (points,)."""
    learned = [q.learned for q in quantizers if q.learned is not None]
    if not learned:
        return ops.convert_to_tensor(np.asarray([q.initial for q in quantizers], np.float32))
    if len(learned) < len(quantizers):
        return ops.stack([ops.convert_to_tensor(q.parameters(cache)[0], "float32") for q in quantizers])
    return ops.take(learned[0].owner.vector(cache), np.asarray([part.start for part in learned]))


class WeightQuantizer:
    """The symmetric fake-quantizer of one weight, with a scale for each channel or one for all.

    Args:
        storage: the weight's storage in the plan.
        rank: rank of the weight.
        ranges: range updates, one of ``RANGES``.
        learned: the learned scales of the network.
    """

    def __init__(self, storage: Storage, rank: int, ranges: str, learned: LearnedScales) -> None:
        self.storage, self.rank, self.ranges = storage, rank, ranges
        self.bounds = limits(storage)
        self.initial = np.asarray(storage.scale, np.float32)
        self.learned = learned.add(self.initial) if ranges == "learned" else None

    def scales(self, cache: dict[Any, Any], weights: Any) -> Any:
        """Return the present scales, (channels,) or (1,).

        Args:
            cache: results that this call of the network computed already.
            weights: the weight, for ``average``.
        """
        if self.ranges == "average":
            axes = None if self.storage.axis is None else tuple(self.others())
            largest = ops.stop_gradient(ops.max(ops.abs(weights), axis=axes))
            return ops.maximum(ops.reshape(largest, (-1,)) / self.bounds[1], _SMALLEST)
        return ops.convert_to_tensor(self.initial) if self.learned is None else self.learned(cache)

    def others(self) -> list[int]:
        """Return the axes along which the scale is constant."""
        return [i for i in range(self.rank) if i != self.storage.axis]

    def broadcast(self, scales: Any) -> Any:
        """Return the scales in a shape that broadcasts along their axis."""
        if self.storage.axis is None or self.initial.size == 1:
            return ops.reshape(scales, ())
        return ops.reshape(scales, [-1 if i == self.storage.axis else 1 for i in range(self.rank)])

    def __call__(self, weights: Any, scales: Any) -> Any:
        """Return the weights on the grid."""
        return fake_quantize(weights, self.broadcast(scales), 0.0, *self.bounds)
