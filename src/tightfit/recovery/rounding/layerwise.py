"""Apply GPTQ to every layer of a plan: the graph's weights are replaced by values of their grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.plan import OpPlan, Plan, Storage
from tightfit.recovery.rounding.damping import CHOICES, choose_damping
from tightfit.recovery.rounding.gptq import Matrix, damped, round_depthwise, round_layer
from tightfit.recovery.rounding.weight_scales import round_on_best_scales, search_scales
from tightfit.streaming.moments import Moments

_FEW: Final = 7
"""Up to this largest integer (four bits) scales are searched with GPTQ itself, which takes three times as
long; above it with plain rounding."""


def round_with_data(model: Model, plan: Plan, moments: Mapping[str, Moments]) -> tuple[Model, Plan]:
    """Return a model whose weights are on the plan's grid, rounded for the least output error of each layer.

    Args:
        model: the float model that the plan was made for; it is not changed.
        plan: the plan of the model.
        moments: layer name → second moments of its input (``calibration.collect_moments``).

    Returns:
        The model and a plan with the scales that were found; ``apply_plan`` of the two stores exactly the
        chosen integers.
    """
    twin = copy_model(model)
    ops = list(plan.graphs[0].ops)
    places = {id(p): i for i, p in enumerate(ops)}
    for layer in layers_of(twin.main, ops):
        if layer.op.name in moments:
            ops[places[id(layer.plan)]] = round_one(layer, moments[layer.op.name])
    graphs = [replace(plan.graphs[0], ops=ops), *plan.graphs[1:]]
    return twin, replace(plan, graphs=graphs)


def round_one(layer: Layer, moments: Moments) -> OpPlan:
    """Round one layer's weights in place and return its plan with the scales that were found.

    Args:
        layer: the layer and its plan.
        moments: second moments of its input.
    """
    values = layer.weights.values
    weights = layer.rows(values)
    bias = bias_values(layer, weights.shape[0])
    storage = layer.plan.constants[1]
    top = LIMITS[storage.dtype][1]
    rounder = round_depthwise if layer.window.depthwise else round_layer
    largest = np.broadcast_to(np.asarray(storage.scale, np.float64), weights.shape[:1]).copy()
    seen = damped(moments.mean(), _damping(layer, weights, moments, largest, top))
    if len(storage.scale) > 1:
        variances = np.diagonal(seen, axis1=-2, axis2=-1)[..., :-1] - seen[..., :-1, -1] ** 2
        least = _least_scales(layer, bias)
        first = np.maximum(search_scales(weights, variances, largest, top), least)
        limits = (least, first.astype(np.float32).astype(np.float64), largest)
        few = top <= _FEW
        found = (
            round_on_best_scales(rounder, weights, bias, seen, limits, top)
            if few
            else (*rounder(weights, bias, seen, limits[1], top), limits[1])
        )
    else:
        found = (*rounder(weights, bias, seen, largest, top), largest)
    integers, corrected, scales = found
    layer.weights.data = layer.shaped(integers * scales[:, None])
    if layer.bias is not None:
        layer.bias.data = corrected.astype(np.float32).reshape(layer.bias.shape)
    return replanned(layer.plan, storage, scales)


def _damping(layer: Layer, weights: Matrix, moments: Moments, scales: Matrix, top: int) -> float:
    """The damping for a layer, chosen once for each integer type; depthwise needs almost none."""
    if layer.window.depthwise:
        return CHOICES[0]
    if top not in moments.damping:
        moments.damping[top] = choose_damping(weights, moments.means(), scales, top)
    return moments.damping[top]


def bias_values(layer: Layer, count: int) -> npt.NDArray[np.float64]:
    """Return the bias of a layer as reals, (rows,); zeros where it has none."""
    if layer.bias is None or layer.bias.data is None:
        return np.zeros(count)
    return np.asarray(layer.bias.data.reshape(-1), np.float64)


def _least_scales(layer: Layer, bias: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weight scales below which an int32 bias would overflow."""
    stored = layer.plan.constants.get(2)
    if stored is None or stored.dtype != "int32":
        return np.zeros(bias.shape)
    weight_scale = np.asarray(layer.plan.constants[1].scale, np.float64)
    input_scale = np.median(np.asarray(stored.scale, np.float64) / weight_scale)
    return np.asarray(np.abs(bias) / (2.0**30 * input_scale))


def replanned(plan: OpPlan, storage: Storage, scales: Matrix) -> OpPlan:
    """Return the op's plan with other weight scales; the bias scale is input scale × weight scale.

    Args:
        plan: the op's plan.
        storage: how its weights are stored.
        scales: the new weight scales, (rows,).
    """
    constants = dict(plan.constants)
    if len(storage.scale) > 1:
        found = tuple(scales.astype(np.float32).tolist())
        constants[1] = replace(storage, scale=found)
        if 2 in constants:
            old = np.asarray(storage.scale, np.float64)
            product = np.asarray(constants[2].scale, np.float64) / old * scales
            constants[2] = replace(constants[2], scale=tuple(product.astype(np.float32).tolist()))
    return replace(plan, constants=constants)
