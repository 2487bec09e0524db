"""Divides samples into those that calibrate and those that evaluate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tightfit.errors import DataError
from tightfit.types import Array

Indices = npt.NDArray[np.int64]


def split(
    labels: Array | None,
    count: int,
    calibration: int,
    evaluation: int | None = None,
    *,
    seed: int = 0,
    overlap: bool = False,
) -> tuple[Indices, Indices]:
    """Ascending indices of calibration and evaluation samples: disjoint, seeded, balanced over the classes.

    Calibration takes from each class in turn, so that rare classes are seen. Evaluation takes from each class
    in proportion to what is left of it, so that accuracy means what it means on the whole data.

    Args:
        labels: one number a sample; whole numbers are classes, real numbers are not balanced; or None.
        count: the number of samples.
        calibration: how many calibrate.
        evaluation: how many evaluate at most; None takes all that are left.
        seed: equal seeds give equal splits.
        overlap: lets a sample do both.

    Raises:
        DataError: when nothing would be left to evaluate, or the labels do not match the samples.

    Example:
        >>> cal, ev = split(np.array([0, 0, 0, 1, 1, 1]), 6, 2)
        >>> len(cal), len(ev), len(set(cal) & set(ev))
        (2, 4, 0)
    """
    if labels is not None and len(labels) != count:
        raise DataError(f"There are {len(labels)} labels for {count} samples. Expected one label a sample.")
    if not overlap and calibration >= count:
        raise DataError(
            f"The data has {count} samples, and calibrating with {calibration} leaves none to evaluate. "
            "Pass more data, calibrate with fewer, or let the two overlap."
        )
    groups = _groups(labels, count, np.random.default_rng(seed))
    turns = _in_turn(groups)
    chosen = turns[:calibration]
    used = np.zeros(count, dtype=bool)
    used[[] if overlap else chosen] = True
    rest = _in_proportion([group[~used[group]] for group in groups])
    return np.sort(chosen), np.sort(rest if evaluation is None else rest[:evaluation])


def hold_out(labels: Array | None, count: int, held: int, *, seed: int = 0) -> tuple[Indices, Indices]:
    """Return ascending indices of samples to measure with and of those to train with.

    Both have each class in about its fraction of the data, so a rare class is trained on, and what is
    measured is the accuracy on the data.

    Args:
        labels: one number a sample; whole numbers are classes; or None.
        count: the number of samples.
        held: how many measure.
        seed: equal seeds give equal splits.

    Example:
        >>> measured, trained = hold_out(np.array([0] * 90 + [1] * 10), 100, 30)
        >>> len(measured), int((measured >= 90).sum()), int((trained >= 90).sum())
        (30, 3, 7)
    """
    order = _in_proportion(_groups(labels, count, np.random.default_rng(seed)))
    return np.sort(order[:held]), np.sort(order[held:])


def _groups(labels: Array | None, count: int, random: np.random.Generator) -> list[Indices]:
    """The samples of each class in random order; one group without classes."""
    order = random.permutation(count).astype(np.int64)
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "iub":
        return [order]
    groups = [order[labels[order] == label] for label in np.unique(labels)]
    return [groups[i] for i in random.permutation(len(groups))]


def _in_turn(groups: list[Indices]) -> Indices:
    """First of each class, then second of each class, and so on."""
    rank = np.concatenate([np.arange(len(group)) for group in groups])
    return np.concatenate(groups)[np.argsort(rank, kind="stable")]


def _in_proportion(groups: list[Indices]) -> Indices:
    """An order whose every beginning holds each class in about the share that it has of the whole."""
    place = np.concatenate([(np.arange(len(group)) + 0.5) / max(len(group), 1) for group in groups])
    return np.concatenate(groups)[np.argsort(place, kind="stable")]
