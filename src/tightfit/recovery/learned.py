"""Applies data-aware rounding to every layer of a plan: the graph's weights move onto their grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.plan import OpPlan, Plan, Storage
from tightfit.recovery.layers import Layer, layers_of
from tightfit.recovery.moments import Moments
from tightfit.recovery.rounding import round_depthwise, round_layer, search_scales


def round_with_data(model: Model, plan: Plan, moments: Mapping[str, Moments]) -> tuple[Model, Plan]:
    """Gives a model whose weights stand on the plan's grid, chosen to keep each layer's output.

    Args:
        model: the float model that the plan was made for; it is not changed.
        moments: see ``layers.collect_moments``.

    Returns:
        the model and a plan with the scales that were found; ``apply_plan`` of the two gives exactly the
        integers that were chosen.
    """
    twin = copy_model(model)
    ops = list(plan.graphs[0].ops)
    places = {id(p): i for i, p in enumerate(ops)}
    for layer in layers_of(twin.main, ops):
        if layer.op.name in moments:
            ops[places[id(layer.plan)]] = round_one(layer, moments[layer.op.name].mean())
    graphs = [replace(plan.graphs[0], ops=ops), *plan.graphs[1:]]
    return twin, replace(plan, graphs=graphs)


def round_one(layer: Layer, moments: npt.NDArray[np.float64]) -> OpPlan:
    """Rounds one layer's weights in place and gives its plan with the scales that were found.

    Args:
        moments: ``E[x̃ x̃ᵀ]`` of its inputs, (K+1, K+1) or (channels, K+1, K+1).
    """
    storage = layer.plan.constants[1]
    top = LIMITS[storage.dtype][1]
    values = layer.weights.data
    assert values is not None  # noqa: S101 - layers have constant weights
    weights = layer.rows(values)
    bias = _bias_values(layer, weights.shape[0])
    depthwise = layer.window.depthwise
    means = moments[..., :-1, -1]
    variances = np.maximum(np.diagonal(moments, axis1=-2, axis2=-1)[..., :-1] - means**2, 1e-12)
    scales = np.broadcast_to(np.asarray(storage.scale, np.float64), weights.shape[:1]).copy()
    if len(storage.scale) > 1:
        scales = search_scales(weights, variances, scales, top)
        scales = np.maximum(scales, _least_scales(layer, bias)).astype(np.float32).astype(np.float64)
    rounder = round_depthwise if depthwise else round_layer
    integers, corrected = rounder(weights, bias, moments, scales, top)
    layer.weights.data = layer.shaped(integers * scales[:, None])
    if layer.bias is not None:
        layer.bias.data = corrected.astype(np.float32).reshape(layer.bias.shape)
    return _replanned(layer.plan, storage, scales)


def _bias_values(layer: Layer, count: int) -> npt.NDArray[np.float64]:
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


def _replanned(plan: OpPlan, storage: Storage, scales: npt.NDArray[np.float64]) -> OpPlan:
    """The op's plan with the scales that were found; the bias stays on the product's grid."""
    constants = dict(plan.constants)
    if len(storage.scale) > 1:
        found = tuple(scales.astype(np.float32).tolist())
        constants[1] = replace(storage, scale=found)
        if 2 in constants:
            old = np.asarray(storage.scale, np.float64)
            product = np.asarray(constants[2].scale, np.float64) / old * scales
            constants[2] = replace(constants[2], scale=tuple(product.astype(np.float32).tolist()))
    return replace(plan, constants=constants)
