"""Keep masks of pruning: the weights of largest magnitude, unstructured or in a pattern that kernels use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from tightfit.errors import OptionError
from tightfit.types import Array, Mask

UNSTRUCTURED: Final = "unstructured"
_FEW_OF_MANY: Final = re.compile(r"(\d+):(\d+)")
_BLOCK: Final = re.compile(r"(\d+)x(\d+)")


def check_pattern(pattern: str) -> str:
    """Return a pattern unchanged when it is known.

    Raises:
        OptionError: the pattern is neither ``unstructured``, N:M nor rows×columns.

    Example:
        >>> check_pattern("2:4"), check_pattern("1x16")
        ('2:4', '1x16')
    """
    few = _FEW_OF_MANY.fullmatch(pattern)
    block = _BLOCK.fullmatch(pattern)
    right = (
        pattern == UNSTRUCTURED
        or (few is not None and 0 < int(few[1]) < int(few[2]))
        or (block is not None and int(block[1]) > 0 and int(block[2]) > 0)
    )
    if not right:
        raise OptionError(
            f"Unknown pattern '{pattern}'. Known: unstructured; N:M with N < M, such as 2:4; blocks of "
            "output channels x inputs, such as 1x4, 1x16 or 4x1."
        )
    return pattern


def keep(values: Array, sparsity: float, pattern: str, axis: int) -> Mask:
    """Return the keep mask of a weight: True for the weights to keep, in the shape of ``values``.

    Args:
        values: weights of any shape.
        sparsity: fraction of zeros, 0–1.
        pattern: see ``check_pattern``.
        axis: the axis of the output channels.

    Example:
        >>> keep(np.array([[1.0, -3.0, 2.0, 0.5]]), 0.5, "2:4", 0).tolist()
        [[False, True, True, False]]
    """
    rows = np.moveaxis(values, axis, 0)
    matrix = np.abs(rows.reshape(rows.shape[0], -1))
    few, block = _FEW_OF_MANY.fullmatch(pattern), _BLOCK.fullmatch(pattern)
    if few:
        kept = _few_of_many(matrix, sparsity, int(few[1]), int(few[2]))
    elif block:
        kept = _blocks(matrix, sparsity, int(block[1]), int(block[2]))
    else:
        kept = _largest(matrix, sparsity)
    return np.moveaxis(kept.reshape(rows.shape), 0, axis)


def keep_globally(values: Sequence[Array], sparsity: float) -> list[Mask]:
    """Return the keep masks of several weights that are pruned together by magnitude.

    Magnitudes are relative to the root mean square of each weight, so that layers of small weights are not
    pruned completely.

    Args:
        values: weights of any shapes.
        sparsity: fraction of zeros over all weights, 0–1.
    """
    scaled = [np.abs(v) / max(float(np.sqrt(np.mean(np.square(v)))), 1e-30) for v in values]
    kept = _largest(np.concatenate([s.reshape(-1) for s in scaled]), sparsity)
    ends = np.cumsum([v.size for v in values])[:-1]
    return [k.reshape(v.shape) for k, v in zip(np.split(kept, ends), values, strict=True)]


def _largest(scores: Array, sparsity: float) -> Mask:
    """Keep the largest scores; of equal scores the first are pruned."""
    count = round(scores.size * sparsity)
    kept = np.ones(scores.size, np.bool_)
    if count:
        kept[np.argpartition(scores.reshape(-1), count - 1)[:count]] = False
    return kept.reshape(scores.shape)


def _few_of_many(matrix: Array, sparsity: float, few: int, many: int) -> Mask:
    """Keep N of each M neighbours; at a lower sparsity more, in proportion."""
    share = min(sparsity / (1.0 - few / many), 1.0)
    count = many - round((many - few) * share)
    groups = _padded(matrix, 1, many).reshape(matrix.shape[0], -1, many)
    order = np.argsort(np.argsort(-groups, axis=-1, kind="stable"), axis=-1)
    return np.asarray((order < count).reshape(matrix.shape[0], -1)[:, : matrix.shape[1]])


def _blocks(matrix: Array, sparsity: float, height: int, width: int) -> Mask:
    """Keep the blocks with the largest sums of squares; a partial block at the border counts by its mean."""
    ones = _padded(np.ones_like(matrix), height, width)
    squares = _padded(np.square(matrix), height, width)
    shape = (ones.shape[0] // height, height, ones.shape[1] // width, width)
    scores = squares.reshape(shape).sum((1, 3)) / ones.reshape(shape).sum((1, 3))
    kept = _largest(scores, sparsity)
    full = np.repeat(np.repeat(kept, height, axis=0), width, axis=1)
    return np.asarray(full[: matrix.shape[0], : matrix.shape[1]])


def _padded(matrix: Array, height: int, width: int) -> Array:
    rows, columns = matrix.shape
    return np.pad(matrix, ((0, -rows % height), (0, -columns % width)))
