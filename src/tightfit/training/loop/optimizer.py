"""Adam with relative steps: relative to the size of a channel's weights, a bias, or a centroid."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.training.network import Network
from tightfit.types import Array

_LEAST_SHARE: Final = 0.05
"""Least size of a channel as a fraction of its tensor's, so that channels near zero can be trained."""


class RelativeAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Adam with a step of ``learning_rate · size``; the size is the root mean square of the variable.

    With batch norm folded, the channels of one layer differ in size by a factor of a hundred and more: one
    absolute step does not suit all. Scales are trained as logarithms and need no size.

    Args:
        learning_rate: most relative change of a weight in a step, or a schedule of it.
        sizes: variable path → size (``sizes_of``); a variable without an entry has size 1.

    Source: Kingma and Ba 2015, "Adam"; relative steps as in Shazeer and Stern 2018, "Adafactor". Departure:
    sizes are taken once, before training, and for each output channel.
    """

    def __init__(self, learning_rate: Any, sizes: dict[str, Array], **options: Any) -> None:
        super().__init__(learning_rate, **options)
        self.sizes = sizes
        self.in_order: list[Array | None] = []

    def build(self, variables: Any) -> None:
        """Make the moments of Adam."""
        self.in_order = [self.sizes.get(v.path) for v in variables]
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable.

        Args:
            gradient: its gradient.
            variable: the variable.
            learning_rate: the present learning rate.
        """
        size = self.in_order[self._get_variable_index(variable)]
        scaled = learning_rate if size is None else ops.cast(learning_rate, variable.dtype) * size
        super().update_step(gradient, variable, scaled)


def sizes_of(network: Network) -> dict[str, Array]:
    """Return variable path → size: for kernels one of each output channel, for others one of the tensor."""
    weights = network.graph_weights
    sizes = {v.path: _root_mean_square(_values(v), None) for v in weights.variables.values()}
    for weight in weights.weights.values():
        sizes[weight.variable.path] = _root_mean_square(_values(weight.variable), weight.output_axis)
    for transform in network.transforms:
        for variable in getattr(transform, "trained", []):
            sizes[variable.path] = _root_mean_square(_values(variable), None)
    return sizes


def _values(variable: Any) -> Array:
    return np.asarray(ops.convert_to_numpy(variable), np.float32)


def _root_mean_square(values: Array, axis: int | None) -> Array:
    """The size of a tensor, or of each channel in a shape that broadcasts."""
    whole = float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
    if axis is None or values.ndim < 2:
        return np.asarray(whole or 1.0, np.float32)
    others = tuple(i for i in range(values.ndim) if i != axis)
    sizes = np.sqrt(np.mean(np.square(values), axis=others, keepdims=True))
    return np.asarray(np.maximum(sizes, _LEAST_SHARE * (whole or 1.0)), np.float32)
