"""Rounding layer after layer: each one sees the inputs that the device will give it, and aims at float outputs.

For a layer with float inputs x and device inputs x', the weights are first re-fitted by least squares,

    W* = argmin E|W·x − W*·x'|² = (W·E[x x'ᵀ] + λW) (E[x' x'ᵀ] + λI)⁻¹,

so that it makes up for the errors before it, and then rounded under E[x' x'ᵀ]. The device inputs come from
LiteRT, running the part of the quantized model that is already decided.

Source: Nagel et al. 2020 ("AdaRound", asymmetric reconstruction) and Frantar et al. 2023 ("GPTQ").
Departures: closed form throughout; λ keeps W* near W where samples say little.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.data.adapt import adapt_inputs
from tightfit.data.samples import Sample
from tightfit.errors import DataError, QuantizationError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Model, Signature, Tensor
from tightfit.graph.passes import remove_dead_ops
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration import input_names
from tightfit.quantization.plan import Plan
from tightfit.recovery.layers import Layer, layers_of
from tightfit.recovery.learned import round_one
from tightfit.recovery.moments import vectors
from tightfit.runtime.session import Session

Matrix = npt.NDArray[np.float64]

_RIDGE: Final = 0.02


@dataclass
class Paired:
    """Sums over rows of the device's inputs and of the float model's, the constant 1 appended to both.

    Args:
        device: ``Σ x̃' x̃'ᵀ``. cross: ``Σ x̃ x̃'ᵀ``. rows: vectors summed.
    """

    device: Matrix
    cross: Matrix
    rows: int


def round_in_sequence(
    model: Model,
    plan: Plan,
    samples: Callable[[], Iterator[Mapping[str, Array]]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Model, Plan]:
    """Gives a model and a plan whose weights were fitted and rounded one layer after the other.

    Args:
        model: the float model that the plan was made for; it is not changed.
        samples: starts the calibration samples anew at each call; they run once for each layer.

    Raises:
        RuntimeFailureError: LiteRT cannot run a part of the model.
    """
    twin = copy_model(model)
    ops = list(plan.graphs[0].ops)
    current = replace(plan, graphs=[replace(plan.graphs[0], ops=ops), *plan.graphs[1:]])
    places = {id(op): i for i, op in enumerate(twin.main.ops)}
    layers = layers_of(twin.main, ops)
    for done, layer in enumerate(layers, 1):
        device = apply_plan(twin, current)
        paired = _collect(model, device, layer, samples())
        _refit(layer, paired)
        ops[places[id(layer.op)]] = round_one(layer, paired.device / paired.rows)
        if progress is not None:
            progress(done, len(layers))
    return twin, current


def _collect(model: Model, device: Model, layer: Layer, samples: Iterator[Mapping[str, Array]]) -> Paired:
    """Runs the samples through what stands before a layer, in float and as the device will."""
    if layer.source.producer is None:
        return _collect_inputs(model, layer, samples)
    reference = _prefix(model, layer.source.name)
    candidate = _prefix(device, _device_source(device, layer).name)
    held = candidate.main.outputs[0]
    total: Paired | None = None
    with Session(serialize(reference)) as first, Session(serialize(candidate)) as second:
        ours, theirs = itertools.tee(Sample(dict(s)) for s in samples)
        wanted = first.run_many(adapt_inputs(s, first.inputs) for s in ours)
        given = second.run_many(adapt_inputs(s, second.inputs) for s in theirs)
        for x, y in zip(wanted, given, strict=True):
            added = _pair(layer, x["tap"], _real(y["tap"], held))
            total = added if total is None else _sum(total, added)
    return _some(total)


def _collect_inputs(model: Model, layer: Layer, samples: Iterator[Mapping[str, Array]]) -> Paired:
    """The same for a layer that reads an input of the model."""
    name = next(n for n, t in input_names(model).items() if t.name == layer.source.name)
    total: Paired | None = None
    for sample in samples:
        added = _pair(layer, sample[name], sample[name])
        total = added if total is None else _sum(total, added)
    return _some(total)


def _some(total: Paired | None) -> Paired:
    if total is None:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return total


def _device_source(device: Model, layer: Layer) -> Tensor:
    """The tensor that the layer's op reads in the quantized model; its weights tell the op."""
    for op in device.main.ops:
        weights = op.input(1)
        if op.kind == layer.op.kind and weights is not None and weights.name == layer.weights.name:
            source = op.input(0)
            if source is not None:
                return source
    raise QuantizationError(f"{layer.op!r} is not in the quantized model; make a plan for this model.")


def _prefix(model: Model, name: str) -> Model:
    """The part of a model that computes one tensor, which becomes its only output."""
    twin = copy_model(model)
    graph = twin.main
    tensor = graph.find(name)
    names = input_names(twin)
    graph.outputs = [tensor]
    twin.signatures = [Signature("prefix", names, {"tap": tensor})]
    remove_dead_ops(twin)
    return twin


def _real(values: Array, tensor: Tensor) -> Array:
    q = tensor.quantization
    return values if q is None or not q.is_affine else dequantize(values, q.scale, q.zero_point)


def _pair(layer: Layer, wanted: Array, given: Array) -> Paired:
    x, y = (_extended(vectors(v, layer.window)) for v in (wanted, given))
    turned = y.swapaxes(-1, -2)
    return Paired((turned @ y).astype(np.float64), (x.swapaxes(-1, -2) @ y).astype(np.float64), y.shape[-2])


def _extended(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1), np.float32)], axis=-1)


def _sum(a: Paired, b: Paired) -> Paired:
    return Paired(a.device + b.device, a.cross + b.cross, a.rows + b.rows)


def _refit(layer: Layer, paired: Paired) -> None:
    """Moves the layer's weights and bias to the least-squares fit on the device's inputs."""
    values = layer.weights.data
    if values is None or layer.bias is None or layer.bias.data is None:
        return
    weights = layer.rows(values)
    both = np.concatenate([weights, layer.bias.data.reshape(-1, 1).astype(np.float64)], axis=1)
    device, cross = paired.device / paired.rows, paired.cross / paired.rows
    size = device.shape[-1]
    power = np.trace(device, axis1=-2, axis2=-1) / size
    ridge = (_RIDGE * np.maximum(power, 1e-9))[..., None, None] * np.eye(size)
    if device.ndim == 3:
        right = both[:, None, :] @ (cross + ridge)
        fitted = np.linalg.solve((device + ridge).swapaxes(-1, -2), right.swapaxes(-1, -2))[..., 0]
    else:
        fitted = np.linalg.solve((device + ridge).T, (both @ (cross + ridge)).T).T
    layer.weights.data = layer.shaped(fitted[:, :-1])
    layer.bias.data = fitted[:, -1].astype(np.float32).reshape(layer.bias.shape)
