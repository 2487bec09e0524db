"""Biases that make up for the mean error of every channel.

Weights Ŵ instead of W, and inputs x' instead of x, shift the mean of a channel before its activation by

    E[Ŵ·x' − W·x] = Ŵ·E[x'] − W·E[x].

``correct_fast`` takes x' = x: one formula a layer from the moments. ``correct_in_sequence`` measures E[x'] on
LiteRT, layer after layer, on the part of the integer model that is already corrected.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
4.2. Departures: means are taken of the inputs' windows, so fused activations need no formula of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Model
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.plan import Plan
from tightfit.quantization.storing import store
from tightfit.recovery.device import device_model, device_sources, run_to
from tightfit.recovery.layers import Layer, layers_of
from tightfit.recovery.moments import Moments, vectors

Vector = npt.NDArray[np.float64]
Samples = Callable[[], Iterator[Mapping[str, Array]]]


def correct_fast(model: Model, twin: Model, plan: Plan, moments: Mapping[str, Moments]) -> Model:
    """Gives the model with biases that make up for the mean error of each layer's own weights.

    Args:
        model: the float model. twin: the same model, or one with weights that a recovery has moved.
        plan: made for them; it says how the weights are stored.
        moments: see ``layers.collect_moments``.
    """
    changed = copy_model(twin)
    for original, layer in _pairs(model, changed, plan):
        if layer.op.name in moments:
            mean = moments[layer.op.name].mean()[..., :-1, -1]
            _set_bias(original, layer, mean, mean)
    return changed


def correct_in_sequence(
    model: Model,
    twin: Model,
    plan: Plan,
    moments: Mapping[str, Moments],
    samples: Samples,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Gives the model with biases that make up for the mean error of each layer and of all before it.

    Args:
        model, twin, plan, moments: as for ``correct_fast``.
        samples: starts the calibration samples anew at each call; they run once for each layer, through
            the part of the integer model before it.

    Raises:
        DataError: there is no sample. RuntimeFailureError: LiteRT cannot run a part of the model.
    """
    changed = copy_model(twin)
    pairs = [(o, la) for o, la in _pairs(model, changed, plan) if la.op.name in moments]
    for done, (original, layer) in enumerate(pairs, 1):
        wanted = moments[layer.op.name].mean()[..., :-1, -1]
        given = wanted
        if layer.source.producer is not None:
            given = _device_mean(device_model(changed, plan), layer, samples())
        _set_bias(original, layer, wanted, given)
        if progress is not None:
            progress(done, len(pairs))
    return changed


def _pairs(model: Model, twin: Model, plan: Plan) -> list[tuple[Layer, Layer]]:
    """Each layer of the float model beside its twin, where it has a bias to correct."""
    ops = plan.graphs[0].ops
    both = zip(layers_of(model.main, ops), layers_of(twin.main, ops), strict=True)
    return [(a, b) for a, b in both if b.bias is not None and b.bias.data is not None]


def _set_bias(original: Layer, layer: Layer, wanted: Vector, given: Vector) -> None:
    """``b = W·E[x] + b₀ − Ŵ·E[x']``; a mean is (K,), or (channels, K) for depthwise."""
    first, bias = original.bias, layer.bias
    assert bias is not None  # noqa: S101 - of pairs with a bias
    assert first is not None  # noqa: S101 - of pairs with a bias
    assert first.data is not None  # noqa: S101 - layers have constant biases
    assert original.weights.data is not None  # noqa: S101 - layers have constant weights
    means = (original.rows(original.weights.data) * wanted).sum(axis=1)
    stored = (layer.rows(_stored(layer)) * given).sum(axis=1)
    values = first.data.reshape(-1).astype(np.float64) + means - stored
    bias.data = values.astype(np.float32).reshape(bias.shape)


def _stored(layer: Layer) -> Array:
    """The weights as the file will hold them, in reals."""
    storage, values = layer.plan.constants[1], layer.weights.data
    assert values is not None  # noqa: S101 - layers have constant weights
    return dequantize(store(values, storage, layer.op.name), storage.scale, storage.zero_point, storage.axis)


def _device_mean(device: Model, layer: Layer, samples: Iterator[Mapping[str, Array]]) -> Vector:
    """The mean of what a layer multiplies its weights with on the device."""
    total, rows = np.zeros(1), 0
    for (values,) in run_to(device, device_sources(device, [layer]), samples):
        seen = vectors(values, layer.window)
        total = total + seen.sum(axis=-2, dtype=np.float64)
        rows += seen.shape[-2]
    if not rows:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return total / rows
