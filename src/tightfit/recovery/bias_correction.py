"""Bias correction: correct the mean error that rounded weights cause in every channel.

Weights Ŵ instead of W shift the mean of a channel before its activation function by

    E[Ŵ·x − W·x] = (Ŵ − W)·E[x],

a closed form for each layer. ``sequential_bias_correction`` also corrects the errors of the layers before it.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
4.2. Departures: means are taken of the inputs' windows, so fused activations need no formula of their own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.plan import Plan
from tightfit.quantization.storing import store
from tightfit.types import Array

Vector = npt.NDArray[np.float64]


def correct_fast(model: Model, twin: Model, plan: Plan, means: Mapping[str, Vector]) -> Model:
    """Return the model with biases that correct the mean error of each layer's weights.

    Args:
        model: the float model.
        twin: the same model, or a copy with weights that a recovery has rounded.
        plan: the plan of both, with the storage of the weights.
        means: layer name → ``E[x]`` of its input, (K,), or (channels, K) for depthwise.
    """
    changed = copy_model(twin)
    for original, layer in pairs_of(model, changed, plan):
        if layer.op.name in means:
            _set_bias(original, layer, means[layer.op.name])
    return changed


def pairs_of(model: Model, twin: Model, plan: Plan) -> list[tuple[Layer, Layer]]:
    """Return the pairs of layers of the two models, for the layers with a bias to correct."""
    ops = plan.graphs[0].ops
    both = zip(layers_of(model.main, ops), layers_of(twin.main, ops), strict=True)
    return [(a, b) for a, b in both if b.bias is not None and b.bias.data is not None]


def _set_bias(original: Layer, layer: Layer, mean: Vector) -> None:
    """``b = W·E[x] + b₀ − Ŵ·E[x]``."""
    first, bias = original.known_bias, layer.known_bias
    means = (original.rows(original.weights.values) * mean).sum(axis=1)
    stored = (layer.rows(stored_weights(layer)) * mean).sum(axis=1)
    values = first.values.reshape(-1).astype(np.float64) + means - stored
    bias.data = values.astype(np.float32).reshape(bias.shape)


def stored_weights(layer: Layer) -> Array:
    """Return the real values of the weights as stored in the file."""
    storage, values = layer.plan.constants[1], layer.weights.values
    return dequantize(store(values, storage, layer.op.name), storage.scale, storage.zero_point, storage.axis)
