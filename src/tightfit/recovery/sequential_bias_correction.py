"""Sequential bias correction: fit biases layer by layer on the inputs that LiteRT computes in integers.

    find c  so that  E[f(Ŵ·x' + b + c)] = E[f(W·x + b₀)],

f is the activation function after the layer. Values that f cuts off are not compared: a unit that is inactive
most of the time has a mean far below zero before f, and shifting it to correct that mean would change the few
active values. On a deep network with ReLU6 and 4-bit weights (EfficientNet-Lite0), correcting means before f
halved the features layer by layer.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
4.2, the empirical variant. Departure: means are compared after the activation function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.activations import CLIPS, fused_activation
from tightfit.graph.signatures import tap
from tightfit.quantization.calibration.layers import Layer
from tightfit.quantization.calibration.observing import observe_model
from tightfit.quantization.plan import Plan
from tightfit.recovery.bias_correction import pairs_of, stored_weights
from tightfit.recovery.quantized_runs import device_model, device_sources, run_to
from tightfit.streaming.channel_means import ChannelMean
from tightfit.streaming.moments import vectors
from tightfit.types import Array, Samples

Vector = npt.NDArray[np.float64]


Matrix = npt.NDArray[np.float32]


MOST_ROWS: Final = 4096
"""Most positions kept of a layer with an activation function, spread evenly over all samples."""


_ROUNDS: Final = 20


_LEAST_ACTIVE: Final = 0.02
"""A step of Newton's method divides by the fraction of active values, and by no less than this."""


def correct_in_sequence(
    model: Model,
    twin: Model,
    plan: Plan,
    samples: Samples,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Return the model with biases that correct the mean error of each layer and of all layers before it.

    Args:
        model: the float model.
        twin: the same model, or a copy with weights that a recovery has rounded.
        plan: the plan of both, with the storage of the weights.
        samples: starts the calibration samples anew at each call; they run once through the float model,
            and once for each layer through the part of the integer model before it.
        progress: progress callback, called with (layers done, layers in total).

    Raises:
        DataError: there is no sample.
        RuntimeFailureError: LiteRT cannot run a part of the model.
    """
    changed = copy_model(twin)
    pairs = pairs_of(model, changed, plan)
    wanted = _float_means(model, [original for original, _ in pairs], samples())
    for done, (original, layer) in enumerate(pairs, 1):
        seen = _on_device(device_model(changed, plan), layer, samples())
        bias = layer.known_bias
        values = bias.values.reshape(-1).astype(np.float64)
        values = values + seen.shift(wanted[original.op.name], bounds_of(layer.op), values)
        bias.data = values.astype(np.float32).reshape(bias.shape)
        if progress is not None:
            progress(done, len(pairs))
    return changed


def bounds_of(op: Op) -> tuple[float, float]:
    """Return the output range of an op's activation function, fused or as the only op that reads it."""
    after = _reader(op)
    least, most = CLIPS.get(after.kind if after is not None else fused_activation(op), CLIPS[""])
    return -np.inf if least is None else least, np.inf if most is None else most


def _reader(op: Op) -> Op | None:
    """The activation function that is the only reader of an op's output."""
    readers = [reader for reader, _ in op.outputs[0].consumers]
    is_end = op.graph is not None and op.outputs[0] in op.graph.outputs
    return readers[0] if len(readers) == 1 and readers[0].kind in CLIPS and not is_end else None


def _float_means(
    model: Model, layers: Sequence[Layer], samples: Iterator[Mapping[str, Array]]
) -> dict[str, Vector]:
    """Layer name → E[f(W·x + b)] of the float model, by one pass."""
    twin = copy_model(model)
    names = {op.name: op for op in twin.main.ops}
    results: dict[str, Tensor] = {}
    for layer in layers:
        op = names[layer.op.name]
        results[op.name] = (_reader(op) or op).outputs[0]
    keys = {tensor: f"result{i}" for i, tensor in enumerate(dict.fromkeys(results.values()))}
    tap(twin, {key: tensor for tensor, key in keys.items()})
    observers = {key: ChannelMean() for key in keys.values()}
    seen = observe_model(twin, samples, observers)
    if any(not mean.rows for mean in seen.values()):
        raise DataError("There is no calibration sample; give at least one, better 100.")
    return {name: seen[keys[result]].total / seen[keys[result]].rows for name, result in results.items()}


class Results:
    """Statistics of a layer's output before its bias: the mean, and some rows spread evenly over all.

    Example:
        >>> seen = Results()
        >>> seen.add(np.float32([[-3.0], [1.0]]))
        >>> seen.shift(np.array([1.0]), (0.0, np.inf), np.array([0.0])).round(3)  # E[max(0, y + 1)] = 1
        array([1.])
    """

    def __init__(self) -> None:
        self.total: Vector = np.zeros(1)
        self.rows = 0
        self.kept: list[Matrix] = []
        self.step = 1

    def add(self, values: Matrix) -> None:
        """Add the rows of one sample, (rows, channels)."""
        self.total = self.total + values.sum(axis=0, dtype=np.float64)
        self.kept.append(values[-self.rows % self.step :: self.step])
        self.rows += len(values)
        if sum(map(len, self.kept)) > 2 * MOST_ROWS:
            # Every second row is dropped, so that the rest is spread evenly over all rows so far.
            self.kept = [np.concatenate(self.kept)[::2]]
            self.step *= 2

    def shift(self, wanted: Vector, bounds: tuple[float, float], bias: Vector) -> Vector:
        """Return the change of the bias with which the mean after the activation function is ``wanted``.

        Args:
            wanted: mean of the float model after the activation function, (channels,).
            bounds: output range of the activation function.
            bias: the present bias, (channels,).

        Raises:
            DataError: nothing was added.
        """
        if not self.rows:
            raise DataError("There is no calibration sample; give at least one, better 100.")
        if np.isinf(bounds).all():
            return np.asarray(wanted - self.total / self.rows - bias, np.float64)
        rows = np.concatenate(self.kept) + bias
        found, best = np.zeros(len(bias)), np.full(len(bias), np.inf)
        tried = found.copy()
        for _ in range(_ROUNDS):
            moved = rows + tried
            gap = wanted - np.clip(moved, *bounds).mean(axis=0)
            better = np.abs(gap) < best
            best, found = np.where(better, np.abs(gap), best), np.where(better, tried, found)
            active = ((moved > bounds[0]) & (moved < bounds[1])).mean(axis=0)
            # A unit that is never active has no slope: its bias is not changed.
            tried = found + np.where(better & (active > 0), gap / np.maximum(active, _LEAST_ACTIVE), 0.0)
        return found


def _on_device(device: Model, layer: Layer, samples: Iterator[Mapping[str, Array]]) -> Results:
    """Run the samples up to a layer on LiteRT; the layer's product is exact, so it is computed here."""
    weights, seen = layer.rows(stored_weights(layer)).astype(np.float32), Results()
    for (values,) in run_to(device, device_sources(device, [layer]), samples):
        inputs = vectors(values, layer.window)
        # Depthwise: (channels, rows, K) with weights (channels, K).
        seen.add(np.einsum("crk,ck->rc", inputs, weights) if layer.window.depthwise else inputs @ weights.T)
    return seen
