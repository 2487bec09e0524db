"""Cross-layer equalization: rescale channels between two layers, without changing the function of the model.

Between two layers that only a positively homogeneous function f separates (ReLU, leaky ReLU, pooling, padding
by zero),

    W₂·f(W₁·x + b₁) = (W₂·S)·f(S⁻¹·W₁·x + S⁻¹·b₁),    S = diag(s) > 0.

The activation between has one scale for all channels, and each row of W₂ has one for all inputs, so channels
of different ranges use only a part of the integers. ``s`` is chosen for the least predicted noise, and a pair
that gains too little is not changed. ReLU6 is homogeneous only below 6: a channel that reached 6 in
calibration keeps its scale, and the others remain below. The least value of a channel that is always positive
is moved into the next bias (high-bias absorption), which is exact for the calibration samples.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", sections
4.1 and 4.1.3. Departures: weights have a scale for each row already, so the range of the activation replaces
the range of W₁'s rows; both are measured and not derived from batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.activations import fused_activation
from tightfit.graph.signatures import tap
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.calibration.observing import observe_model
from tightfit.quantization.plan import Plan
from tightfit.streaming.channel_statistics import ChannelStatistics
from tightfit.types import Array, SampleStream

Vector = npt.NDArray[np.float64]

_GAIN: Final = 0.8
"""A pair is changed only when its predicted noise falls below this fraction of the noise before."""

_MOST: Final = 256.0
"""Largest factor of a channel; a channel that would need more has almost no values."""

_ROOM: Final = 0.98
_EXACT: Final = ("", "RELU", "RELU6")
"""Activations that channels are scaled through."""
_LEAKY: Final = frozenset({"LEAKY_RELU", "PRELU"})
_BETWEEN: Final = _LEAKY | {"RELU", "RELU6", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESHAPE"}


@dataclass(frozen=True)
class Pair:
    """Two layers that share channels.

    Args:
        first: the layer that makes the channels.
        second: the layer that reads them.
        middle: the ops between them, in order.
    """

    first: Layer
    second: Layer
    middle: tuple[Op, ...]

    @property
    def activation(self) -> Tensor:
        """The tensor whose channels are scaled: the first layer's result after its own function.

        Behind a leaky function it is what the second layer reads: what the function shrinks need not be
        held as finely.
        """
        leaky = any(op.kind in _LEAKY for op in self.middle)
        return self.second.source if leaky else self.first.op.outputs[0]

    @property
    def ceiling(self) -> float:
        """The upper bound of the functions between: 6, or infinity."""
        kinds = {op.kind for op in self.middle}
        fused = {fused_activation(self.first.op)} | {fused_activation(op) for op in self.middle}
        return 6.0 if "RELU6" in kinds or "RELU6" in fused else np.inf

    @property
    def rectified(self) -> bool:
        """True when the output has no negative values."""
        kinds = {op.kind for op in self.middle}
        fused = {fused_activation(self.first.op)} | {fused_activation(op) for op in self.middle}
        return bool(kinds & {"RELU", "RELU6"} or fused & {"RELU", "RELU6"})


def equalize(
    model: Model, plan: Plan, samples: SampleStream, *, progress: Callable[[], None] | None = None
) -> tuple[Model, list[str]]:
    """Return an equivalent model with equalized channels, and the names of the ops whose outputs changed.

    Args:
        model: the float model; it is not changed.
        plan: the plan made for it.
        samples: calibration inputs, read once.
        progress: called after each sample.

    Returns:
        The equalized model and the names, after which ranges and moments must be collected again; the model
        itself and an empty list where no pair gains.

    Raises:
        DataError: a sample does not fit.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    twin = copy_model(model)
    pairs = find_pairs(twin, plan)
    seen = _observe(twin, pairs, samples, progress) if pairs else {}
    changed = []
    for pair in pairs:
        channels = seen[pair.activation]
        if channels.rows and _equalize_pair(pair, channels):
            changed.append(pair.first.op.name)
    return (twin, changed) if changed else (model, [])


def find_pairs(model: Model, plan: Plan) -> list[Pair]:
    """Return the pairs of layers whose shared channels can be rescaled, in graph order."""
    layers = {layer.op: layer for layer in layers_of(model.main, plan.graphs[0].ops)}
    ends = {id(t) for t in model.main.outputs}
    found = []
    for op, layer in layers.items():
        if fused_activation(op) not in _EXACT:
            continue
        middle, last = _follow(op, ends)
        second = layers.get(last) if last is not None else None
        if second is not None and second.source.shape[-1] == op.outputs[0].shape[-1]:
            found.append(Pair(layer, second, tuple(middle)))
    return found


def _follow(op: Op, ends: set[int]) -> tuple[list[Op], Op | None]:
    """The homogeneous ops after an op, and the only reader of the last of them, or None."""
    middle: list[Op] = []
    tensor = op.outputs[0]
    while id(tensor) not in ends and len(tensor.consumers) == 1:
        reader, position = tensor.consumers[0]
        if position != 0:
            break
        if reader.kind not in _BETWEEN:
            return middle, reader
        if reader.outputs[0].shape[-1:] != tensor.shape[-1:] or fused_activation(reader) not in _EXACT:
            break
        if reader.kind == "PRELU" and not _has_slope_a_channel(reader):
            break
        middle.append(reader)
        tensor = reader.outputs[0]
    return middle, None


def _has_slope_a_channel(op: Op) -> bool:
    """True for a PRELU whose slopes are constants that differ between channels at most."""
    slopes = op.input(1)
    return slopes is not None and slopes.is_constant and slopes.size in (1, slopes.shape[-1])


def _observe(
    model: Model, pairs: Sequence[Pair], samples: SampleStream, progress: Callable[[], None] | None
) -> dict[Tensor, ChannelStatistics]:
    """The channel statistics of each pair's activation over the samples."""
    twin = copy_model(model)
    keys = model.main.keys()
    tensors = {key: t for t, key in twin.main.keys().items()}
    wanted = {keys[p.activation]: tensors[keys[p.activation]] for p in pairs}
    tap(twin, wanted)
    observers = {key: ChannelStatistics() for key in wanted}

    def with_progress() -> Iterable[Mapping[str, Array]]:
        for sample in samples:
            yield sample
            if progress is not None:
                progress()

    found = observe_model(twin, with_progress(), observers)
    return {p.activation: found[keys[p.activation]] for p in pairs}


def _equalize_pair(pair: Pair, seen: ChannelStatistics) -> bool:
    """Absorb biases and rescale channels of one pair where that gains; return True on a change."""
    absorbed = _absorbed(pair, seen)
    low, high = seen.low - absorbed, seen.high - absorbed
    scales = choose_scales(pair, low, high)
    before = predicted_noise(pair, seen.low, seen.high, seen.mean_square, np.ones_like(scales))
    square = np.maximum(low**2, high**2) if absorbed.any() else seen.mean_square
    after = predicted_noise(pair, low, high, np.minimum(square, seen.mean_square), scales)
    if not after < _GAIN * before:
        return False
    _absorb(pair, absorbed)
    _scale(pair, scales)
    return True


def choose_scales(pair: Pair, low: Vector, high: Vector) -> Vector:
    """Return ``s`` of each channel, (channels,), with 1 where a channel may not be changed.

    ``s ~ √(range / r₂)``, with r₂ the largest weight that reads the channel, relative to its row; a depthwise
    layer has a scale for each channel, so there ``s`` makes all ranges equal. The largest range is unchanged.

    Args:
        pair: the layers.
        low: least value of each channel of the activation, (channels,).
        high: largest value of each channel of the activation, (channels,).
    """
    reach = np.maximum(np.maximum(high, 0.0), -np.minimum(low, 0.0) if not pair.rectified else 0.0)
    top = float(reach.max(initial=0.0))
    if top <= 0.0:
        return np.ones_like(reach)
    reads = np.ones_like(reach) if pair.second.window.depthwise else _reads(pair.second)
    alive = (reach > top / _MOST**2) & (reads > 0.0)
    ratio = np.where(alive, reach / np.maximum(reads, 1e-30), 1.0)
    found = ratio if pair.second.window.depthwise else np.sqrt(ratio)
    # The largest channel keeps its scale, so that no value exceeds the largest of the model.
    found = found * float((reach / found)[alive].max(initial=0.0)) / top
    found = np.clip(found, 1.0 / _MOST, _MOST)
    if np.isfinite(pair.ceiling):
        least = reach / (_ROOM * pair.ceiling)
        found = np.where(reach >= _ROOM * pair.ceiling, 1.0, np.maximum(found, least))
    return np.where(alive, found, 1.0)


def predicted_noise(pair: Pair, low: Vector, high: Vector, square: Vector, scales: Vector) -> float:
    """Return the predicted noise power in the second layer's output under given scales.

    ``Σ step²/12 · |w|²`` from rounding the activation, ``Σ δ²/12 · E[x²]`` from rounding the weights.

    Args:
        pair: the layers.
        low: least value of each channel of the activation, (channels,).
        high: largest value of each channel of the activation, (channels,).
        square: mean square of each channel, (channels,).
        scales: ``s`` of each channel, (channels,).
    """
    step = (max(float((high / scales).max()), 0.0) - min(float((low / scales).min()), 0.0)) / 255.0
    rows = _columns(pair.second) * scales[None, :, None]
    step_noise = float(step**2) / 12.0 * float((rows**2).sum())
    top = LIMITS[pair.second.plan.constants[1].dtype][1]
    reach = np.abs(rows).max(axis=0).max(axis=-1) if pair.second.window.depthwise else None
    if reach is not None:
        return step_noise + float(((reach / top) ** 2 / 12.0 * square / scales**2).sum() * rows.shape[-1])
    largest = np.abs(rows).max(axis=(1, 2))
    energy = float((square / scales**2).sum() * rows.shape[-1])
    return step_noise + float(((largest / top) ** 2 / 12.0).sum()) * energy


def _columns(layer: Layer) -> Vector:
    """Weights as (rows, input channels, window); depthwise as (1, channels, window)."""
    values = layer.weights.values
    if layer.window.depthwise:
        return np.asarray(values.reshape(-1, values.shape[-1]).T[None], np.float64)
    flat = np.asarray(values.reshape(values.shape[0], -1, values.shape[-1]), np.float64)
    return flat.transpose(0, 2, 1)


def _reads(layer: Layer) -> Vector:
    """The largest weight that reads each input channel, relative to the largest in its row."""
    sizes = np.abs(_columns(layer)).max(axis=2)
    return np.asarray((sizes / np.maximum(sizes.max(axis=1, keepdims=True), 1e-30)).max(axis=0))


def _absorbed(pair: Pair, seen: ChannelStatistics) -> Vector:
    """The lower bound of each channel that can be moved into the next bias."""
    nothing = np.zeros_like(seen.low)
    bordered = pair.second.window.same and pair.second.window.kernel != (1, 1)
    padded = any(op.kind == "PAD" for op in pair.middle)
    if not pair.rectified or bordered or padded or pair.second.bias is None or pair.first.bias is None:
        return nothing
    return np.where(seen.high < _ROOM * pair.ceiling, np.maximum(seen.low, 0.0) * _ROOM, 0.0)


def _absorb(pair: Pair, absorbed: Vector) -> None:
    """Move the constant part of channels into the second layer's bias."""
    if not absorbed.any():
        return
    first, second = pair.first.known_bias, pair.second.known_bias
    first.data = (first.values.reshape(-1) - absorbed).astype(np.float32).reshape(first.shape)
    columns = _columns(pair.second).sum(axis=2)
    given = columns[0] * absorbed if pair.second.window.depthwise else columns @ absorbed
    second.data = (second.values.reshape(-1) + given).astype(np.float32).reshape(second.shape)


def _scale(pair: Pair, scales: Vector) -> None:
    """Divide the first layer's channels and multiply the weights that read them."""
    first, second, bias = pair.first.weights, pair.second.weights, pair.first.bias
    first.data = pair.first.shaped(pair.first.rows(first.values) / scales[:, None])
    # Input channels are the last axis of every layer's weights, the output channels of depthwise too.
    second.data = (second.values * scales).astype(np.float32)
    if bias is not None and bias.data is not None:
        bias.data = (bias.data.reshape(-1) / scales).astype(np.float32).reshape(bias.shape)
