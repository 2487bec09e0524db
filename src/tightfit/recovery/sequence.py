"""Rounding layer after layer on what the device computed so far: each layer makes up for those before it.

A layer that reads x' on the device, where the float model has x, does best with the weights

    V = argmin E|W·x − V·x'|² = W + W·(Cov[x, x'] − Cov[x', x'])·Cov[x', x']⁻¹,

and V, not W, is what its integers are rounded towards. The bias takes up the means. The inverse is damped as
far as the layer's moments can be trusted, which draws V back to W.

Source: Frantar and Alistarh 2022, "Optimal Brain Compression", section 5 (sequential models), solved for
weights that differ from W before rounding. Departure: both models run side by side on LiteRT, so x' holds
the rounding of activations too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.quantization.arithmetic import LIMITS, weight_scales
from tightfit.quantization.plan import OpPlan, Plan
from tightfit.recovery.damping import CHOICES
from tightfit.recovery.device import Samples, device_model, device_sources, run_to
from tightfit.recovery.layers import Layer, layers_of
from tightfit.recovery.learned import bias_values, replanned, round_towards
from tightfit.recovery.moments import Moments, extended
from tightfit.recovery.rounding import Matrix

Report = Callable[[int, int], None]

_GROUP: Final = 1
"""Layers that are measured in one pass: later ones of a group read what earlier ones gave before it."""

_GROUP_BYTES: Final = 256 * 2**20


class Crossed:
    """Moments of what a layer reads on the device, and of that with what it reads in float."""

    def __init__(self, layer: Layer) -> None:
        self.window = layer.window
        self.given = Moments(layer.window)
        self.both: npt.NDArray[np.float64] | float = 0.0

    def update(self, wanted: npt.NDArray[np.float32], given: npt.NDArray[np.float32]) -> None:
        """Adds one sample: the layer's input in float and on the device."""
        self.given.update(given)
        pair = extended(wanted, self.window), extended(given, self.window)
        self.both = self.both + (pair[0].swapaxes(-1, -2) @ pair[1]).astype(np.float64)

    def mean(self) -> npt.NDArray[np.float64]:
        """Gives ``E[x̃ x̃'ᵀ]``."""
        return np.asarray(self.both / sum(self.given.rows), np.float64)


def round_in_sequence(
    model: Model,
    twin: Model,
    plan: Plan,
    moments: Mapping[str, Moments],
    samples: Callable[[], Samples],
    *,
    progress: Report | None = None,
) -> tuple[Model, Plan]:
    """Gives a model with weights on the plan's grid, each layer fitted to the device's inputs.

    Args:
        model: the float model. twin, plan: as ``round_with_data`` gave them, a good place to start from.
        moments: of the float inputs; they tell how far a layer is to be trusted.
        samples: starts the calibration samples anew at each call; they run once for each three layers.

    Raises:
        DataError: there is no sample. RuntimeFailureError: LiteRT cannot run a part of a model.
    """
    changed = copy_model(twin)
    ops = list(plan.graphs[0].ops)
    pairs = list(zip(layers_of(model.main, ops), layers_of(changed.main, ops), strict=True))
    pairs = [(a, b) for a, b in pairs if b.op.name in moments and len(b.plan.constants[1].scale) > 1]
    places = {p.name: i for i, p in enumerate(ops)}
    done = 0
    for group in _groups(pairs):
        current = replace(plan, graphs=[replace(plan.graphs[0], ops=ops), *plan.graphs[1:]])
        for (original, layer), seen in zip(
            group, _observe(model, changed, current, group, samples), strict=True
        ):
            place = places[layer.op.name]
            ops[place] = _round(original, replace(layer, plan=ops[place]), seen, moments[layer.op.name])
            done += 1
            if progress is not None:
                progress(done, len(pairs))
    return changed, replace(plan, graphs=[replace(plan.graphs[0], ops=ops), *plan.graphs[1:]])


def _groups(pairs: Sequence[tuple[Layer, Layer]]) -> Iterator[list[tuple[Layer, Layer]]]:
    """Consecutive layers, as many as one pass may hold in memory."""
    group: list[tuple[Layer, Layer]] = []
    held = 0
    for pair in pairs:
        size = _bytes(pair[1])
        if group and (len(group) == _GROUP or held + size > _GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(pair)
        held += size
    if group:
        yield group


def _bytes(layer: Layer) -> int:
    """Memory of a layer's matrices."""
    rows = layer.weights.shape[-1] if layer.window.depthwise else 1
    inner = int(np.prod(layer.window.kernel))
    count = inner if layer.window.depthwise else layer.weights.size // layer.weights.shape[0]
    return 3 * 8 * rows * (count + 1) ** 2


def _observe(
    model: Model,
    changed: Model,
    plan: Plan,
    group: Sequence[tuple[Layer, Layer]],
    samples: Callable[[], Samples],
) -> list[Crossed]:
    """Runs both models side by side and takes the moments of a group's inputs."""
    device = device_model(changed, plan)
    wanted = run_to(model, [original.source for original, _ in group], samples())
    given = run_to(device, device_sources(device, [layer for _, layer in group]), samples())
    found = [Crossed(layer) for _, layer in group]
    for pair in zip(wanted, given, strict=True):
        for one, *values in zip(found, *pair, strict=True):
            one.update(*values)
    if not sum(found[0].given.rows):
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return found


def _round(original: Layer, layer: Layer, seen: Crossed, trusted: Moments) -> OpPlan:
    """Fits one layer to the device's inputs and rounds it."""
    storage = layer.plan.constants[1]
    top = LIMITS[storage.dtype][1]
    seen.given.damping[top] = trusted.damping.get(top, CHOICES[0])
    values = original.weights.data
    assert values is not None  # noqa: S101 - layers have constant weights
    weights = original.rows(values)
    bias = bias_values(original, len(weights))
    fitted, shifted = fit(weights, bias, seen.given.mean(), seen.mean(), seen.given.damping[top])
    widest = weight_scales(layer.shaped(fitted), storage.axis, storage.dtype)
    start = replanned(layer.plan, storage, widest.astype(np.float64))
    return round_towards(replace(layer, plan=start), fitted, shifted, seen.given)


def fit(weights: Matrix, bias: Matrix, given: Matrix, both: Matrix, damping: float) -> tuple[Matrix, Matrix]:
    """Gives the real weights and bias that, on the device's inputs, come closest to the float outputs.

    Args:
        weights: (rows, K). bias: (rows,).
        given: ``E[x̃' x̃'ᵀ]``, (K+1, K+1), or (rows, K+1, K+1) for depthwise. both: ``E[x̃ x̃'ᵀ]``, likewise.
        damping: share of the mean variance that draws the weights back to where they were.
    """
    mean, wanted = given[..., :-1, -1], both[..., :-1, -1]
    covariance = given[..., :-1, :-1] - mean[..., :, None] * mean[..., None, :]
    crossed = both[..., :-1, :-1] - wanted[..., :, None] * mean[..., None, :]
    size = covariance.shape[-1]
    level = np.trace(covariance, axis1=-2, axis2=-1)[..., None, None] / size
    damped = covariance + np.maximum(damping * level, 1e-30) * np.eye(size)
    if given.ndim > 2:
        missing = np.einsum("rk,rkl->rl", weights, crossed - covariance)
        fitted = weights + np.linalg.solve(damped, missing[..., None])[..., 0]
        return fitted, bias + (weights * wanted).sum(axis=1) - (fitted * mean).sum(axis=1)
    fitted = weights + np.linalg.solve(damped, (weights @ (crossed - covariance)).T).T
    return fitted, bias + weights @ wanted - fitted @ mean
