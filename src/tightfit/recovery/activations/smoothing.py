"""SmoothQuant: move large channels of activations into weights, so that one scale fits the tensor better.

A normalization ends in a gain and a shift for each channel; with a factor s for each channel

    y = W · x = (W · diag(s)) · (x / s),    x / s = unit · (gain / s) + shift / s

is the same function, but the channels of ``x / s`` have similar ranges where ``x`` had a large one. Other
readers of ``x`` (the residual path of a post-norm transformer) read ``(x / s) · s`` from an added MUL.

Source: Xiao et al. 2023, "SmoothQuant", ``sⱼ = max|xⱼ|^α / max|wⱼ|^(1 − α)``. Departures: α is chosen
for each normalization by the noise predicted from the scales, and a normalization with too little gain is
not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.signatures import tap
from tightfit.quantization.calibration.observing import observe_model
from tightfit.quantization.plan import HYBRID, INTEGER, OpPlan
from tightfit.streaming.channel_statistics import ChannelStatistics
from tightfit.types import Array

Vector = npt.NDArray[np.float64]

ALPHAS: Final = (0.25, 0.5, 0.75, 1.0)
LEAST_GAIN: Final = 2.0
"""Least factor by which the predicted noise power must fall: 3 dB, half a bit."""

_LEVELS: Final = 255.0
_INPUT_AXIS: Final = {"FULLY_CONNECTED": 1, "CONV_2D": 3}


@dataclass
class Site:
    """A normalization's output and the layers that multiply it by weights.

    Args:
        tensor: the output of the normalization.
        tail: the ops of the gain and the shift, each with the input position of its constant.
        layers: the layers, each with the input position of its weights.
    """

    tensor: Tensor
    tail: list[tuple[Op, int]]
    layers: list[tuple[Op, int]]


def smooth(
    model: Model,
    plans: Sequence[OpPlan],
    samples: Iterable[Mapping[str, Array]],
    *,
    progress: Callable[[], None] | None = None,
) -> tuple[Model, list[str]]:
    """Return the model with smoothed normalizations, and the names of their outputs.

    Args:
        model: the float model; it is not changed.
        plans: the plans of its main graph's ops; only layers with int8 inputs are considered.
        samples: the samples, read once.
        progress: called after each sample.

    Returns:
        The changed model and the names; the same model object and no names where nothing gains enough.
    """
    twin = copy_model(model)
    sites = find_sites(twin.main, plans)
    powers = _observe(twin, sites, samples, progress) if sites else {}
    moved = []
    for site in sites:
        factors = _factors(site, powers[site.tensor])
        if factors is not None:
            _move(twin.main, site, factors.astype(np.float32))
            moved.append(site.tensor.name)
    return (twin, moved) if moved else (model, [])


# -- finding ---------------------------------------------------------------------------------------


def find_sites(graph: Graph, plans: Sequence[OpPlan]) -> list[Site]:
    """Return the normalizations whose output is read by layers with constant weights and int8 inputs."""
    modes = dict(zip(graph.ops, plans, strict=True))
    sites = []
    for op in graph.ops:
        tail = _tail(op)
        if not tail or op.outputs[0] in graph.outputs:
            continue
        tensor = op.outputs[0]
        layers = [(o, 1) for o, position in tensor.consumers if position == 0 and _multiplies(o, tensor)]
        narrow = [o for o, _ in layers if _rounds(modes[o])]
        if narrow:
            sites.append(Site(tensor, tail, layers))
    return sites


def _rounds(plan: OpPlan) -> bool:
    """True for a layer whose input is rounded to eight bits."""
    return plan.mode == HYBRID or (plan.mode == INTEGER and plan.dtype == "int8")


def _tail(op: Op) -> list[tuple[Op, int]]:
    """The ops of a gain and a shift for each channel that end with this op, one directly after the other."""
    place = _constant_place(op)
    if place is None or op.options.get("fusedActivationFunction", 0) != 0:
        return []
    if op.kind == "MUL":
        return [(op, place)]
    before = op.input(1 - place)
    gain = None if before is None else before.producer
    single = before is not None and len(before.consumers) == 1
    if op.kind != "ADD" or gain is None or gain.kind != "MUL" or not single:
        return []
    inner = _tail(gain)
    return [*inner, (op, place)] if inner else []


def _constant_place(op: Op) -> int | None:
    """The position of a constant operand with one value for each channel."""
    if op.kind not in ("ADD", "MUL") or not op.outputs or not op.outputs[0].shape:
        return None
    channels = op.outputs[0].shape[-1]
    for position in (0, 1):
        tensor, other = op.input(position), op.input(1 - position)
        if tensor is None or other is None or tensor.data is None or tensor.dtype != "float32":
            continue
        if (
            tensor.size == channels > 1
            and tensor.shape[-1] == channels
            and other.shape == op.outputs[0].shape
        ):
            return position
    return None


def _multiplies(op: Op, tensor: Tensor) -> bool:
    """True for a layer with constant weights for each channel of the tensor."""
    weights = op.input(1)
    axis = _INPUT_AXIS.get(op.kind)
    if axis is None or weights is None or weights.data is None or weights.dtype != "float32":
        return False
    return len(weights.consumers) == 1 and weights.shape[axis] == tensor.shape[-1]


# -- observing -------------------------------------------------------------------------------------


def _observe(
    model: Model,
    sites: Sequence[Site],
    samples: Iterable[Mapping[str, Array]],
    progress: Callable[[], None] | None,
) -> dict[Tensor, ChannelStatistics]:
    twin = copy_model(model)
    keys = model.main.keys()
    theirs = {key: t for t, key in twin.main.keys().items()}
    watched = {keys[s.tensor]: theirs[keys[s.tensor]] for s in sites}
    tap(twin, watched)
    feed = _with_progress(samples, progress)
    observers = {key: ChannelStatistics() for key in watched}
    seen = observe_model(twin, feed, observers)
    return {s.tensor: seen[keys[s.tensor]] for s in sites}


def _with_progress(
    samples: Iterable[Mapping[str, Array]], progress: Callable[[], None] | None
) -> Iterable[Mapping[str, Array]]:
    for sample in samples:
        yield sample
        if progress is not None:
            progress()


def _factors(site: Site, seen: ChannelStatistics) -> Vector | None:
    """The factors of the α with the least predicted noise; None where none gains enough."""
    if not seen.rows:
        return None
    weights = np.concatenate([_rows(op, position) for op, position in site.layers])
    largest = np.maximum(seen.largest, 1e-6 * max(float(seen.largest.max()), 1e-30))
    columns = np.abs(weights).max(axis=0)
    columns = np.maximum(columns, 1e-6 * max(float(columns.max()), 1e-30))
    before = _noise(weights, seen, np.ones_like(largest))
    tried = []
    for alpha in ALPHAS:
        factors = largest**alpha / columns ** (1 - alpha)
        # The largest value is about unchanged, so that a residual path keeps its scale.
        factors /= np.exp(np.log(factors).mean())
        tried.append((_noise(weights, seen, factors), factors))
    least, chosen = min(tried, key=lambda t: t[0])
    return chosen if before > LEAST_GAIN * least else None


def _rows(op: Op, position: int) -> Vector:
    """The weights as (outputs · kernel positions, input channels)."""
    weights = op.operand(position)
    return np.asarray(weights.values.reshape(-1, weights.shape[-1]), np.float64)


def _noise(weights: Vector, seen: ChannelStatistics, factors: Vector) -> float:
    """The noise power of the layers' outputs from rounding the activation and the weights.

    ``Δx² / 12 · Σ w² + Σ Δw² / 12 · E[x²]`` with one step Δx for the tensor and one Δw for each row.
    """
    moved = weights * factors
    step = 2 * float((seen.largest / factors).max()) / _LEVELS
    steps = np.abs(moved).max(axis=1) / 127.0
    power = float((seen.mean_square / factors**2).sum())
    return float(step**2 / 12 * np.square(moved).sum() + np.square(steps).sum() / 12 * power)


# -- rescaling -------------------------------------------------------------------------------------


def _move(graph: Graph, site: Site, factors: npt.NDArray[np.float32]) -> None:
    """Divide gain and shift, multiply the layers' weights, and add a MUL for other readers."""
    for op, position in site.tail:
        constant = op.operand(position)
        values = constant.values / factors
        graph.set_input(op, position, Tensor(constant.name, constant.shape, data=values.astype(np.float32)))
    readers = {op for op, _ in site.layers}
    for op, position in site.layers:
        weights = op.operand(position)
        data = np.ascontiguousarray(weights.values * factors, np.float32)
        graph.set_input(op, position, Tensor(weights.name, weights.shape, data=data))
    others = [(op, p) for op, p in site.tensor.consumers if op not in readers]
    if others:
        back = Tensor(f"{site.tensor.name}/unsmoothed", site.tensor.shape,
                      shape_signature=site.tensor.shape_signature)  # fmt: skip
        scale = Tensor(f"{site.tensor.name}/factors", factors.shape, data=factors)
        options = {"fusedActivationFunction": 0}
        first = min((op for op, _ in others), key=graph.ops.index)
        graph.insert_before(first, Op("MUL", [site.tensor, scale], [back], options, "MulOptions"))
        for op, position in others:
            graph.set_input(op, position, back)
