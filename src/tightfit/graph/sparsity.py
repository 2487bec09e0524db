"""Decode sparse constants to dense values.

A sparse constant is a tree: each level of the traversal order is ``dense`` (every coordinate) or ``csr`` (the
listed coordinates of each node of the level above), and its leaves are the stored values.
``compression.sparsity.sparse_encoding`` encodes.

Source: the comments of ``SparsityParameters`` in ``schema.fbs`` and
``tflite/kernels/internal/utils/sparsity_format_converter.cc``.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.graph.ir import Model, Sparsity, Tensor
from tightfit.types import Array
from tightfit.units import format_count

_LARGEST: Final = 2**31  # elements; no runtime supports a larger tensor

Offsets = npt.NDArray[np.int64]


def dense_values(tensor: Tensor) -> Array:
    """Return the dense array of a constant, with zeros where a sparse one stores nothing.

    For a tensor without sparsity this is its own array, not a copy.

    Raises:
        ModelError: the tensor is not a constant, or its sparsity does not fit its shape and values.

    Example:
        >>> csr = ("csr", np.array([0, 1, 1]), np.array([2]))
        >>> sparsity = Sparsity((0, 1), (), (("dense", 2), csr))
        >>> dense_values(Tensor("w", (2, 3), data=np.array([5.0], np.float32), sparsity=sparsity)).tolist()
        [[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]]
    """
    if tensor.data is None:
        raise ModelError(f"Tensor '{tensor.name}' has no stored values; expected a constant.")
    if tensor.sparsity is None:
        return tensor.data
    if tensor.size > _LARGEST:
        raise ModelError(f"Sparse constant '{tensor.name}' has {tensor.size} elements; at most 2³¹ are read.")
    try:
        offsets = _leaf_offsets(tensor.shape, tensor.sparsity)
        return _scatter(tensor, offsets)
    except (_MismatchError, ValueError, IndexError) as error:
        raise ModelError(
            f"The sparsity of constant '{tensor.name}' with shape {list(tensor.shape)} is damaged: {error}. "
            "Convert the model again."
        ) from error


def restore_sparse(model: Model) -> list[str]:
    """Replace sparse constants by dense ones in place, and remove the DENSIFY ops that read them.

    Condition: the output of the DENSIFY is not an output of the graph.

    Returns:
        A sentence with the number of constants; empty when there is none.

    Raises:
        ModelError: a sparse constant is damaged.
    """
    count = 0
    for graph in model.graphs:
        for tensor in graph.tensors():
            if tensor.sparsity is not None and tensor.is_constant:
                tensor.data, tensor.sparsity = dense_values(tensor), None
                count += 1
        for op in [o for o in graph.ops if o.kind == "DENSIFY"]:
            source, result = op.input(0), op.outputs[0]
            if source is not None and source.is_constant and result not in graph.outputs:
                graph.remove(op)
                graph.replace_uses(result, source)
    return [f"Stored {format_count(count, 'sparse constant')} in full again."] if count else []


class _MismatchError(ValueError):
    """The levels, the shape and the values contradict each other."""


def _scatter(tensor: Tensor, offsets: Offsets) -> Array:
    stored = np.asarray(tensor.data).reshape(-1)
    # The last byte of a packed type may have padding.
    if stored.size < offsets.size or stored.size - offsets.size > 3:
        raise _MismatchError(f"it places {offsets.size} values, but {stored.size} are stored")
    if offsets.size and not 0 <= offsets.min() <= offsets.max() < tensor.size:
        raise _MismatchError("it places a value outside of the tensor")
    dense = np.zeros(tensor.size, stored.dtype)
    dense[offsets] = stored[: offsets.size]
    return dense.reshape(tensor.shape)


def _leaf_offsets(shape: tuple[int, ...], sparsity: Sparsity) -> Offsets:
    """The offset of each stored value in the row-major dense tensor, computed level by level."""
    strides, sizes = _level_strides(shape, sparsity)
    limit = math.prod(shape)
    offsets = np.zeros(1, np.int64)
    for dimension, level in zip(sparsity.dimensions, sparsity.traversal_order, strict=True):
        if dimension[0] == "dense":
            if dimension[1] != sizes[level]:
                raise _MismatchError(f"dimension {level} has {dimension[1]} entries, expected {sizes[level]}")
            offsets = _dense_level(offsets, dimension[1], strides[level], limit)
        else:
            offsets = _csr_level(offsets, dimension, strides[level], sizes[level])
    return offsets


def _dense_level(offsets: Offsets, size: int, stride: int, limit: int) -> Offsets:
    if offsets.size * size > limit:
        raise _MismatchError("its levels have more nodes than the tensor has elements")
    return (offsets[:, None] + stride * np.arange(size, dtype=np.int64)).reshape(-1)


def _csr_level(offsets: Offsets, dimension: tuple[Any, ...], stride: int, size: int) -> Offsets:
    segments, indices = (np.asarray(v, np.int64).reshape(-1) for v in dimension[1:])
    counts = np.diff(segments)
    if counts.size != offsets.size or (counts < 0).any() or segments[0] != 0 or segments[-1] != indices.size:
        raise _MismatchError(f"its segments do not divide {indices.size} indices among {offsets.size} rows")
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise _MismatchError(f"an index lies outside of 0…{size - 1}")
    return np.asarray(np.repeat(offsets, counts) + stride * indices, np.int64)


def _level_strides(shape: tuple[int, ...], sparsity: Sparsity) -> tuple[list[int], list[int]]:
    """The row-major stride and the size of each dimension (the tensor's, then the blocks')."""
    rank, blocks = len(shape), sparsity.block_map
    if sorted(sparsity.traversal_order) != list(range(rank + len(blocks))):
        raise _MismatchError(f"its traversal order {list(sparsity.traversal_order)} names other dimensions")
    if len(sparsity.dimensions) != rank + len(blocks) or not set(blocks) <= set(range(rank)):
        raise _MismatchError(f"it has {len(sparsity.dimensions)} levels and the block map {list(blocks)}")
    if len(set(blocks)) < len(blocks):
        raise _MismatchError(f"its block map {list(blocks)} names a dimension twice")
    strides = [math.prod(shape[i + 1 :]) for i in range(rank)]
    sizes = list(shape)
    dimension_of = dict(zip(sparsity.traversal_order, sparsity.dimensions, strict=True))
    for position, target in enumerate(blocks):
        kind, size = dimension_of[rank + position][:2]
        if kind != "dense" or size < 1 or sizes[target] % size:
            raise _MismatchError(f"a block does not divide dimension {target} of size {sizes[target]}")
        strides.append(strides[target])
        sizes.append(size)
        strides[target] *= size
        sizes[target] //= size
    return strides, sizes
