"""Biases that make up for the mean error of every channel.

Weights Ŵ instead of W shift the mean of a channel before its activation by

    E[Ŵ·x − W·x] = (Ŵ − W)·E[x],

one formula a layer. What the layers before it do to x is seen by ``bias_sequence``.

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
    """Gives the model with biases that make up for the mean error of each layer's own weights.

    Args:
        model: the float model. twin: the same model, or one with weights that a recovery has moved.
        plan: made for them; it says how the weights are stored.
        means: layer name → ``E[x]`` of its inputs, (K,), or (channels, K) for depthwise.
    """
    changed = copy_model(twin)
    for original, layer in pairs_of(model, changed, plan):
        if layer.op.name in means:
            _set_bias(original, layer, means[layer.op.name])
    return changed


def pairs_of(model: Model, twin: Model, plan: Plan) -> list[tuple[Layer, Layer]]:
    """Gives each layer of the float model beside its twin, where it has a bias to correct."""
    ops = plan.graphs[0].ops
    both = zip(layers_of(model.main, ops), layers_of(twin.main, ops), strict=True)
    return [(a, b) for a, b in both if b.bias is not None and b.bias.data is not None]


def _set_bias(original: Layer, layer: Layer, mean: Vector) -> None:
    """``b = W·E[x] + b₀ − Ŵ·E[x]``."""
    first, bias = original.bias, layer.bias
    assert bias is not None  # noqa: S101 - of pairs with a bias
    assert first is not None  # noqa: S101 - of pairs with a bias
    means = (original.rows(original.weights.values) * mean).sum(axis=1)
    stored = (layer.rows(stored_weights(layer)) * mean).sum(axis=1)
    values = first.values.reshape(-1).astype(np.float64) + means - stored
    bias.data = values.astype(np.float32).reshape(bias.shape)


def stored_weights(layer: Layer) -> Array:
    """Gives the weights as the file will hold them, in reals."""
    storage, values = layer.plan.constants[1], layer.weights.data
    assert values is not None  # noqa: S101 - layers have constant weights
    return dequantize(store(values, storage, layer.op.name), storage.scale, storage.zero_point, storage.axis)
