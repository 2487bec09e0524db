"""Measure the output noise of each layer's few-bit weights, one layer at a time, on LiteRT.

    noiseₗ = Σ |y − yₗ|² / Σ |y|²

The sums run over samples and outputs; y comes from the float model, yₗ from the float model with only the
weights of layer l rounded. Noise is nearly additive, so the sum over layers predicts the noise of a plan.

Source: Dong et al. 2019, "HAWQ", ranks layers by curvature. Departure: the output error is measured, which
needs a few dozen samples and no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.plan import Plan
from tightfit.recovery.output_noise import Inputs, noise_share, outputs_of
from tightfit.recovery.rounding.layerwise import round_one
from tightfit.streaming.moments import Moments
from tightfit.types import Array


@dataclass(frozen=True)
class Sensitivity:
    """The output noise of the stored weights of one layer.

    Args:
        name: the op's name.
        kind: the op's kind, such as ``CONV_2D``.
        dtype: type of its weights in the plan.
        elements: number of weights.
        noise: noise as a fraction of the outputs' power, 0 or more.
    """

    name: str
    kind: str
    dtype: str
    elements: int
    noise: float


def measure_sensitivities(
    model: Model,
    plan: Plan,
    moments: Mapping[str, Moments],
    samples: Sequence[Inputs],
    *,
    dtypes: Sequence[str] = ("int4", "int2"),
    progress: Callable[[int, int], None] | None = None,
) -> list[Sensitivity]:
    """Return the sensitivity of every layer whose weights the plan stores in one of ``dtypes``.

    Args:
        model: the float model that the plan was made for; it is not changed.
        plan: the plan of the model.
        moments: layer name → second moments (``calibration.collect_moments``); layers without moments are
            rounded to nearest with the plan's scales.
        samples: inputs by name, kept in memory; a few dozen are enough.
        dtypes: the integer types of weights to measure.
        progress: progress callback, called with (layers done, layers in total).

    Raises:
        DataError: there is no sample.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    if not samples:
        raise DataError("There is no sample to measure sensitivities with; give about 32.")
    twin = copy_model(model)
    layers = [
        layer
        for layer in layers_of(twin.main, plan.graphs[0].ops)
        if layer.plan.constants[1].dtype in dtypes and layer.op.name in moments
    ]
    wanted = list(outputs_of(twin, samples))
    found = []
    for done, layer in enumerate(layers, 1):
        noise = _noise_of(twin, layer, moments[layer.op.name], samples, wanted)
        elements = int(layer.weights.size)
        found.append(
            Sensitivity(layer.op.name, layer.op.kind, layer.plan.constants[1].dtype, elements, noise)
        )
        if progress is not None:
            progress(done, len(layers))
    return found


def _noise_of(
    twin: Model, layer: Layer, moments: Moments, samples: Sequence[Inputs], wanted: Sequence[list[Array]]
) -> float:
    """Round one layer, run the samples, and restore the weights."""
    bias = layer.bias
    before = (layer.weights.data, None if bias is None else bias.data)
    try:
        round_one(layer, moments)
        got = list(outputs_of(twin, samples))
    finally:
        layer.weights.data = before[0]
        if bias is not None:
            bias.data = before[1]
    return noise_share(wanted, got)
