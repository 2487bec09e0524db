"""``Cluster``: the weight-clustering transform. ``weights.centroids`` initializes the centroids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.errors import OptionError, unknown_name
from tightfit.graph.ir import Tensor
from tightfit.quantization.arithmetic import spread
from tightfit.training.fake_quant.fake_quantize import round_through
from tightfit.training.graph_weights import TrainedWeight
from tightfit.weights.centroids import INITIAL

Attached = Callable[[Any, Any], Any]
_SMALLEST: Final = 256


@keras.saving.register_keras_serializable("tightfit")
class Cluster:
    """The clustering transform: each weight is its nearest centroid; centroids and weights are trained.

    Where the plan stores the weight as integers, the centroids are integers that all channels share, each
    channel with its own scale. So the file has no more distinct integers than centroids.

    Args:
        clusters: number of centroids, 2 or more.
        initial: centroid initialization: ``linear``, ``density`` or ``kmeans++``.
        per: scope that shares the centroids: ``tensor`` or ``channel``.
        keep_zeros: one centroid is zero, and zero weights remain zero.
        smallest: weights with fewer elements are not clustered.

    Attributes:
        trained: the clustering of each weight, after the transform was attached to a network.
    """

    def __init__(
        self, clusters: int, initial: str = "kmeans++", per: str = "tensor", *, keep_zeros: bool = True,
        smallest: int = _SMALLEST,
    ) -> None:  # fmt: skip
        if initial not in INITIAL:
            raise OptionError(unknown_name("start of centroids", initial, INITIAL))
        if per not in ("tensor", "channel"):
            raise OptionError(unknown_name("scope of clusters", per, ("tensor", "channel")))
        if clusters < 2:
            raise OptionError(f"Clustering needs at least 2 values; received {clusters}.")
        self.clusters, self.initial, self.per = clusters, initial, per
        self.keep_zeros, self.smallest = keep_zeros, smallest
        self.trained: list[Any] = []

    def attach_all(self, owner: Any, weights: Mapping[Tensor, TrainedWeight]) -> dict[Tensor, Attached]:
        """Return a transform for each weight, with centroids of its own.

        Raises:
            OptionError: no weight has more elements than centroids.
        """
        least = max(self.smallest, self.clusters + 1)
        chosen = {t: w for t, w in weights.items() if w.values.size >= least}
        largest = max((w.values.size for w in weights.values()), default=0)
        if weights and largest <= self.clusters:
            raise OptionError(
                f"{self.clusters} clusters are no fewer than the {largest} values of the largest weight; "
                "ask for fewer."
            )
        found: dict[Tensor, Attached] = {}
        self.trained = []
        for tensor, weight in chosen.items():
            clustering = Clustering(self, owner, weight)
            self.trained.append(clustering.centroids)
            found[tensor] = clustering
        return found

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        names = ("clusters", "initial", "per", "keep_zeros", "smallest")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Cluster:
        """Return the transform of ``get_config``."""
        return cls(**config)


class Clustering:
    """The centroids of one weight."""

    def __init__(self, settings: Cluster, owner: Any, weight: TrainedWeight) -> None:
        self.keep_zeros = settings.keep_zeros
        self.axis = weight.output_axis if settings.per == "channel" else None
        storage = weight.storage
        values = weight.values
        if storage is not None and storage.scale:
            values = values / spread(storage.scale, values.ndim, storage.axis)
        rows = values.reshape(1, -1) if self.axis is None else _rows(values, self.axis)
        count = settings.clusters - self.keep_zeros
        start = np.stack(
            [INITIAL[settings.initial](_not_zero(r) if self.keep_zeros else r, count) for r in rows]
        )
        self.centroids = owner.add_state(weight.name, "centroids", start, trainable=weight.variable.trainable)

    def __call__(self, value: Any, scales: Any) -> Any:
        """Return the nearest centroid of each weight; gradients are passed to weights and centroids."""
        domain = value if scales is None else value / scales
        centroids = ops.cast(self.centroids, domain.dtype)
        centroids = centroids if scales is None else round_through(centroids)
        if self.keep_zeros:
            centroids = ops.concatenate([centroids, ops.zeros_like(centroids[:, :1])], axis=1)
        shared = self.nearest(domain, ops.sort(centroids, axis=1))
        shared = shared + (domain - ops.stop_gradient(domain))
        return shared if scales is None else shared * scales

    def nearest(self, domain: Any, centroids: Any) -> Any:
        """Return the index of each value's centroid: the number of midpoints below the value."""
        middles = ops.stop_gradient((centroids[:, 1:] + centroids[:, :-1]) / 2)
        fixed = ops.stop_gradient(domain)
        shape = [-1 if i == self.axis else 1 for i in range(len(domain.shape))]
        place = ops.zeros(domain.shape, "int32")
        for k in range(int(middles.shape[1])):
            middle = middles[0, k] if self.axis is None else ops.reshape(middles[:, k], shape)
            place = place + ops.cast(fixed > middle, "int32")
        if self.axis is not None:
            channels, count = (int(d) for d in centroids.shape)
            place = place + ops.reshape(ops.arange(channels, dtype="int32") * count, shape)
        return ops.take(ops.reshape(centroids, (-1,)), place, axis=0)


def _rows(values: Any, axis: int) -> Any:
    rows = np.moveaxis(values, axis, 0)
    return rows.reshape(rows.shape[0], -1)


def _not_zero(row: Any) -> Any:
    found = row[row != 0]
    return found if found.size else row
