"""One-shot weight clustering: the weights of a layer share a few values, which compresses well.

Batch norm is folded first (``graph.passes.clean``): folding after clustering would give each channel other
values. Where a plan stores a weight as integers, the centroids are integers on the plan's grid. All channels
share them, each channel with its own scale, so the file holds no more distinct values than centroids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.errors import OptionError, unknown_name
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops import sequence_lstm
from tightfit.quantization.arithmetic import LIMITS, spread
from tightfit.quantization.plan import OpPlan, Plan, Storage
from tightfit.types import Array
from tightfit.weights.centroids import INITIAL

PER: Final = ("tensor", "channel")
_CLUSTERED: Final[dict[str, tuple[int, ...]]] = {
    "CONV_2D": (1,), "DEPTHWISE_CONV_2D": (1,), "FULLY_CONNECTED": (1,), "TRANSPOSE_CONV": (1,),
    sequence_lstm.KIND: (*sequence_lstm.INPUT_WEIGHTS, *sequence_lstm.RECURRENT_WEIGHTS),
}  # fmt: skip
_SMALLEST: Final = 256


@dataclass(frozen=True)
class Clusters:
    """The options of clustering.

    Args:
        count: centroids a tensor (or a channel), 2–256. Zero is one of them where the weight has zeros.
        per: scope that shares the centroids: ``tensor`` or ``channel``.
        initial: centroid initialization, a key of ``centroids.INITIAL``.

    Raises:
        OptionError: a value is out of range or unknown.
    """

    count: int
    per: str = "tensor"
    initial: str = "kmeans++"

    def __post_init__(self) -> None:
        if not 2 <= self.count <= 256:
            raise OptionError(f"Received {self.count} clusters; expected 2 to 256, such as 16.")
        if self.per not in PER:
            raise OptionError(unknown_name("scope of clusters", self.per, PER))
        if self.initial not in INITIAL:
            raise OptionError(unknown_name("start of centroids", self.initial, INITIAL))


@dataclass(frozen=True)
class ClusteredLayer:
    """The result for one weight.

    Args:
        name: the op's name.
        kind: the op's kind, such as ``CONV_2D``.
        values: number of distinct values after clustering.
        error: squared error relative to the weight's power, ``Σ (w' − w)² / Σ w²``, 0 or more.
    """

    name: str
    kind: str
    values: int
    error: float


@dataclass(frozen=True)
class Clustered:
    """A clustered model, with one ``ClusteredLayer`` for each weight that was clustered."""

    model: Model
    layers: list[ClusteredLayer]


def cluster_weights(model: Model, wanted: Clusters, plan: Plan | None = None) -> Clustered:
    """Return a clustered copy of a float model.

    Args:
        model: a cleaned float model; it is not changed.
        wanted: number, scope and initialization of the centroids.
        plan: how the file will store the weights; with it the centroids lie on the grids of its integers.

    Returns:
        The clustered copy and the result for each layer.

    Raises:
        OptionError: no weight has more values than there are clusters.
    """
    twin = copy_model(model)
    plans = plan.ops() if plan is not None else [None for graph in twin.graphs for _ in graph.ops]
    pairs = zip([op for graph in twin.graphs for op in graph.ops], plans, strict=True)
    places = ((op, i, row) for op, row in pairs for i in _CLUSTERED.get(op.kind, ()))
    chosen = [(op, i, row) for op, i, row in places if _is_large(op.input(i), wanted.count)]
    if not chosen:
        raise OptionError(
            f"Nothing to cluster: no weight has more than {max(wanted.count, _SMALLEST)} values. "
            "Ask for fewer clusters."
        )
    done: dict[int, Array] = {}
    return Clustered(twin, [_cluster(op, i, row, wanted, done) for op, i, row in chosen])


def _is_large(weight: Tensor | None, count: int) -> bool:
    if weight is None or weight.data is None or weight.dtype != "float32":
        return False
    return weight.sparsity is None and weight.size > max(count, _SMALLEST)


def _cluster(
    op: Op, position: int, plan: OpPlan | None, wanted: Clusters, done: dict[int, Array]
) -> ClusteredLayer:
    """Cluster one weight; a weight of several ops is clustered once."""
    weight = op.operand(position)
    values, place = weight.values, weight.values.__array_interface__["data"][0]
    if place not in done:
        done[place] = shared_values(values, wanted, _output_axis(op), _storage(plan, position))
    weight.data = done[place].reshape(values.shape)
    power = max(float(np.square(values, dtype=np.float64).sum()), 1e-30)
    change = float(np.square(weight.values - values, dtype=np.float64).sum())
    name = op.name if len(_CLUSTERED[op.kind]) == 1 else weight.name
    return ClusteredLayer(name, op.kind, np.unique(weight.values).size, change / power)


def _output_axis(op: Op) -> int:
    return 3 if op.kind == "DEPTHWISE_CONV_2D" else 0


def _storage(plan: OpPlan | None, position: int) -> Storage | None:
    storage = None if plan is None else plan.constants.get(position)
    return storage if storage is not None and storage.scale else None


def shared_values(values: Array, wanted: Clusters, axis: int, storage: Storage | None = None) -> Array:
    """Return the weights with each replaced by its nearest centroid.

    Args:
        values: float32 weights of any shape.
        wanted: number, scope and initialization of the centroids.
        axis: the axis of the output channels.
        storage: the integer grid that holds the centroids; None for floats.

    Returns:
        float32, the shape of ``values``.

    Example:
        >>> w = np.float32([[0.125, 0.125, 0.75, 1.25], [0.0, 0.125, 1.0, 1.0]])
        >>> shared_values(w, Clusters(3), 0).tolist()
        [[0.125, 0.125, 1.0, 1.0], [0.0, 0.125, 1.0, 1.0]]
    """
    scale = spread(storage.scale, values.ndim, storage.axis) if storage is not None else np.float32(1.0)
    rows = np.moveaxis(values / scale, axis, 0)
    flat = rows.reshape(1 if wanted.per == "tensor" else len(rows), -1)
    limit = None if storage is None else LIMITS[storage.dtype][1]
    shared = np.stack([_nearest(row, _centroids(row, wanted, limit)) for row in flat])
    return np.asarray(np.moveaxis(shared.reshape(rows.shape), 0, axis) * scale, np.float32)


def _centroids(row: Array, wanted: Clusters, limit: int | None) -> Array:
    """The centroids of one row, ascending; zero is one of them where the row has zeros."""
    zeros = bool((row == 0).any())
    rest = row[row != 0]
    if rest.size == 0:
        return np.zeros(1, row.dtype)
    count = min(wanted.count - zeros, rest.size)
    found = INITIAL[wanted.initial](rest, count)
    if limit is not None:
        found = np.clip(np.rint(found), -limit, limit)
    return np.unique(np.append(found, 0.0) if zeros else found).astype(np.float32)


def _nearest(row: Array, centroids: Array) -> Array:
    """The nearest centroid of each value; a zero remains zero, because zero is then a centroid."""
    shared = centroids[np.searchsorted((centroids[1:] + centroids[:-1]) / 2, row)]
    return np.where(row == 0, np.float32(0), shared)
