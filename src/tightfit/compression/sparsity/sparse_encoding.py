"""Encode sparse constants: the forms in which a file may omit zeros, and the size of each.

A form stores one dimension in compressed sparse row format (CSR): a list of the coordinates that hold a
value. The other dimensions are dense; the leaves may be small dense blocks. ``graph.sparsity.dense_values``
decodes every form.

Source: ``SparsityParameters`` in ``schema.fbs``; ``sparsity_format_converter.cc``, which requires the
tensor's own dimensions before those of the blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.graph.ir import Sparsity
from tightfit.types import Array

_TABLE_BYTES: Final = 160
"""Approximate size in bytes of the extra op, tensor and tables of a sparse constant."""


@dataclass(frozen=True)
class SparseForm:
    """One way to store a sparse constant.

    Args:
        name: the name shown in reports.
        axis: the dimension whose coordinates are listed; negative counts from the end.
        block: block length: this many neighbours along ``block_axis`` are stored or omitted together.
            1 means no blocks.
        block_axis: the dimension of the blocks; negative counts from the end.
    """

    name: str
    axis: int = -1
    block: int = 1
    block_axis: int = -1

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return True when the blocks divide the shape and ``axis`` has coordinates to list."""
        return len(shape) > 1 and math.prod(shape) > 0 and shape[self.block_axis] % self.block == 0


UNSTRUCTURED: Final = SparseForm("unstructured")
FORMS: Final[tuple[SparseForm, ...]] = (
    UNSTRUCTURED,
    SparseForm("unstructured by output channel", axis=0),
    SparseForm("1x4 blocks", block=4),
    SparseForm("1x16 blocks", block=16),
    SparseForm("blocks of 4 output channels", block=4, block_axis=0),
)
"""All forms that are tried; the unstructured ones store any pattern of zeros."""


def find_form(name: str) -> SparseForm:
    """Return the form with a name.

    Raises:
        ModelError: the name is unknown.

    Example:
        >>> find_form("1x4 blocks").block
        4
    """
    for form in FORMS:
        if form.name == name:
            return form
    raise ModelError(f"There is no sparse form '{name}'; known: {', '.join(f.name for f in FORMS)}.")


def encode(values: Array, form: SparseForm) -> tuple[Array, Sparsity]:
    """Return the stored values of a dense array and the description of their places.

    The encoding is exact: ``dense_values`` returns the same array (−0.0 becomes 0.0).

    Args:
        values: the dense array, of any shape that the form fits.
        form: the form of storage.

    Returns:
        The stored values, one-dimensional, and their ``Sparsity``.

    Raises:
        ModelError: the form does not fit the shape.

    Example:
        >>> stored, sparsity = encode(np.array([[0.0, 5.0], [0.0, 0.0]]), UNSTRUCTURED)
        >>> stored.tolist(), [d[0] for d in sparsity.dimensions]
        ([5.0], ['dense', 'csr'])
    """
    if not form.fits(values.shape):
        raise ModelError(f"The form '{form.name}' does not fit the shape {list(values.shape)}.")
    order, leaves = _leaves(values, form)
    used = (leaves != 0).any(axis=-1)
    places = np.nonzero(used)
    segments = np.concatenate([[0], np.cumsum(used.sum(axis=-1).reshape(-1))])
    dense = [("dense", int(n)) for n in used.shape[:-1]]
    listed = ("csr", segments.astype(np.int64), places[-1].astype(np.int64))
    rank, block_map = values.ndim, (form.block_axis % values.ndim,)
    if form.block == 1:
        return leaves[used].reshape(-1), Sparsity(order, (), (*dense, listed))
    levels = (*dense, listed, ("dense", form.block))
    return leaves[used].reshape(-1), Sparsity((*order, rank), block_map, levels)


def _leaves(values: Array, form: SparseForm) -> tuple[tuple[int, ...], Array]:
    """The traversal order of the tensor's dimensions, and its values in that order with blocks last."""
    rank, along = values.ndim, form.block_axis % values.ndim
    split = (*values.shape[:along], -1, form.block, *values.shape[along + 1 :])
    blocks = np.moveaxis(values.reshape(split), along + 1, -1)
    axis = form.axis % rank
    order = (*(d for d in range(rank) if d != axis), axis)
    return order, blocks.transpose(*order, rank)


def encoded_bytes(values: Array, form: SparseForm) -> int:
    """Return the size in bytes of a sparse constant in a file, indices and tables included."""
    leaves = _leaves(values, form)[1]
    used = (leaves != 0).any(axis=-1)
    count = int(np.count_nonzero(used))
    segments = (used.size // used.shape[-1] + 1) * _width(count)
    indices = count * _width(used.shape[-1] - 1)
    return int(count * form.block * values.itemsize + segments + indices + _TABLE_BYTES)


def _width(largest: int) -> int:
    """The width in bytes of the narrowest index vector that holds a number."""
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def smallest_form(values: Array) -> SparseForm | None:
    """Return the form that takes the fewest bytes, or None when the dense array is smaller.

    Example:
        >>> smallest_form(np.ones((64, 64), np.float32)) is None
        True
        >>> smallest_form(np.kron(np.eye(64), np.ones((1, 4)))).name
        '1x4 blocks'
    """
    sizes = {form: encoded_bytes(values, form) for form in FORMS if form.fits(values.shape)}
    best = min(sizes, key=lambda form: sizes[form], default=None)
    return None if best is None or sizes[best] >= values.nbytes else best


def block_share(values: npt.NDArray[np.generic], form: SparseForm) -> float:
    """Return the fraction of a form's blocks that hold a value, 0–1.

    A kernel that skips empty blocks computes this fraction of the products.

    Example:
        >>> block_share(np.kron(np.eye(4), np.ones((1, 4))), FORMS[2])
        0.25
    """
    used = (_leaves(values, form)[1] != 0).any(axis=-1)
    return float(used.mean()) if used.size else 0.0
