"""Second moments of the inputs of layers that sum over channels, streamed over samples.

For a layer ``y = W·x̃`` with ``x̃ = (x, 1)``, fitting needs only ``M = E[x̃ x̃ᵀ]``, whose size does not depend
on the number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.channel_groups import Dependencies
from tightfit.compression.channels.channel_trace import SUMMED, TracePlace, is_cuttable
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.signatures import input_names, tap
from tightfit.quantization.calibration.collect_moments import Several
from tightfit.quantization.calibration.observing import observe_model
from tightfit.streaming.moments import Moments, MomentWindow, window_of
from tightfit.types import Array

Matrix = npt.NDArray[np.float64]

KINDS: Final = frozenset({"CONV_2D", "FULLY_CONNECTED"})
_LEAST_DAMPING: Final = 1e-4
MOST_COLUMNS: Final = 5000
"""Most columns of a layer's weights as rows; the moments of a wider layer would take over 200 MB."""


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that sums over channels and can be fitted: not grouped, and no weight is shared.

    Args:
        op: the layer.
        columns: the channel number of each column of the weights as rows, (K,), without the bias.
    """

    op: Op
    columns: npt.NDArray[np.int64]

    @property
    def source(self) -> Tensor:
        """The layer's input."""
        return self.op.operand(0)

    @property
    def window(self) -> MomentWindow:
        """The window of the input that one output is computed from."""
        return window_of(self.op.kind, weights_of(self.op).shape, self.op.options)


def weights_of(op: Op) -> Tensor:
    """Return the constant weights of a layer."""
    return op.operand(1)


def damping(mean: Matrix, rows: int) -> Matrix:
    """Return the damping that is added to moments before their inversion; it grows as the rows get fewer.

        δ = max(10⁻⁴, K / 10·rows) · mean of the diagonal

    With few rows, most channels look like linear combinations of others; damping keeps the fit from relying
    on that.

    Args:
        mean: second moments, (K, K).
        rows: number of rows that the moments were computed from.

    Returns:
        A diagonal matrix, (K, K).
    """
    size = mean.shape[-1]
    share = max(_LEAST_DAMPING, size / (10 * max(rows, 1)))
    return np.asarray(share * max(float(np.trace(mean)) / size, 1e-30) * np.eye(size), np.float64)


def is_fittable(op: Op, kinds: frozenset[str] = KINDS) -> bool:
    """Return True for a layer whose weights and bias can be fitted without changing another layer."""
    weights, bias, source = op.input(1), op.input(2), op.input(0)
    if op.kind not in kinds or weights is None or source is None or not is_cuttable(weights):
        return False
    if len(weights.consumers) != 1 or (bias is not None and (len(bias.consumers) != 1 or bias.data is None)):
        return False
    if op.kind == "FULLY_CONNECTED":
        # The kernel flattens an image by itself: the last dimension is then not the row length.
        return weights.shape[1] == source.shape[-1] and weights.shape[1] <= MOST_COLUMNS
    if op.kind == "DEPTHWISE_CONV_2D":
        return weights.shape[-1] == source.shape[-1]
    return weights.shape[-1] == source.shape[-1] and int(np.prod(weights.shape[1:])) <= MOST_COLUMNS


def readers_of(found: Dependencies) -> list[Reader]:
    """Return the layers that sum over labelled channels and can be fitted."""
    return [Reader(p.op, _columns(p)) for p in found.places if p.role == SUMMED and is_fittable(p.op)]


def _columns(place: TracePlace) -> npt.NDArray[np.int64]:
    shape = place.tensor.shape
    return np.tile(place.channels, int(np.prod(shape[1:])) // place.channels.size)


def collect(
    model: Model,
    readers: Sequence[Reader],
    samples: Iterable[Mapping[str, Array]],
    progress: Callable[[], None] | None = None,
) -> dict[Op, Moments]:
    """Return the second moments of each layer's input, from one pass of the model on LiteRT.

    Args:
        model: the float model; it is not changed.
        readers: the layers.
        samples: the samples, read once.
        progress: called after each sample.

    Returns:
        The layer's op → moments, (K + 1, K + 1).

    Raises:
        DataError: a sample does not fit.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    places = {op: i for i, op in enumerate(model.main.ops)}
    twin = copy_model(model)
    keys = twin.main.keys()
    sources = {r.op: _source(twin, places[r.op]) for r in readers}
    windows: dict[str, list[MomentWindow]] = {}
    for reader in readers:
        windows.setdefault(keys[sources[reader.op]], []).append(reader.window)
    observers = {key: Several(list(dict.fromkeys(several)), Moments) for key, several in windows.items()}
    watched = {keys[t]: t for t in sources.values() if t.producer is not None}
    tap(twin, watched)
    feed = _fed(
        samples,
        {n: observers[keys[t]] for n, t in input_names(twin).items() if keys[t] in observers},
        progress,
    )
    inner = {key: o for key, o in observers.items() if key in watched}
    observers.update(observe_model(twin, feed, inner))
    return {r.op: observers[keys[sources[r.op]]].of(r.window) for r in readers}


def _source(model: Model, index: int) -> Tensor:
    return model.main.ops[index].operand(0)


def _fed(
    samples: Iterable[Mapping[str, Array]],
    observers: Mapping[str, Several[Moments]],
    progress: Callable[[], None] | None,
) -> Iterator[Mapping[str, Array]]:
    """Yield the samples; update the observers with the inputs before each."""
    for sample in samples:
        for name, observer in observers.items():
            observer.update(sample[name])
        yield sample
        if progress is not None:
            progress()


def rows(values: Array, kind: str) -> Matrix:
    """Return the weights of a layer as (output channels, K), in the order of the moments' columns."""
    if kind == "DEPTHWISE_CONV_2D":
        return np.asarray(values.reshape(-1, values.shape[-1]).T, np.float64)
    return np.asarray(values.reshape(values.shape[0], -1), np.float64)
