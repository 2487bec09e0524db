"""Centroid initializations of weight clustering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.types import Array

Centroids = npt.NDArray[np.float32]

_ROUNDS: Final = 10


def linear(values: Array, count: int) -> Centroids:
    """Return ``count`` centroids at equal distances between the extremes, ascending.

    Example:
        >>> linear(np.array([0.0, 1.0, 3.0]), 4).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    return np.linspace(values.min(), values.max(), count).astype(np.float32)


def density(values: Array, count: int) -> Centroids:
    """Return centroids with equally many values around each: the quantiles (i + ½) / count, ascending."""
    return np.quantile(values, (np.arange(count) + 0.5) / count).astype(np.float32)


def kmeans(values: Array, count: int) -> Centroids:
    """Return the centroids of k-means, initialized by k-means++ with a fixed seed, ascending.

    Source: Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding".
    """
    flat = np.sort(values.reshape(-1).astype(np.float64))
    found = np.sort(_seeds(flat, count))
    totals = np.concatenate([[0.0], np.cumsum(flat)])
    for _ in range(_ROUNDS):
        ends = np.searchsorted(flat, (found[1:] + found[:-1]) / 2)
        ends = np.concatenate([[0], ends, [flat.size]])
        sizes = np.diff(ends)
        means = np.diff(totals[ends]) / np.maximum(sizes, 1)
        found = np.sort(np.where(sizes > 0, means, found))
    return found.astype(np.float32)


def _seeds(flat: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Draw seeds, each with a probability proportional to the squared distance to the earlier seeds."""
    random = np.random.default_rng(0)
    seeds = [flat[random.integers(flat.size)]]
    distance = np.square(flat - seeds[0])
    while len(seeds) < count:
        total = distance.sum()
        chance = None if total <= 0 else distance / total
        seeds.append(flat[random.choice(flat.size, p=chance)])
        distance = np.minimum(distance, np.square(flat - seeds[-1]))
    return np.asarray(seeds)


INITIAL: Final[dict[str, Callable[[Array, int], Centroids]]] = {
    "linear": linear, "density": density, "kmeans++": kmeans,
}  # fmt: skip
"""Name → function of (values, count) that returns at most ``count`` ascending centroids."""
