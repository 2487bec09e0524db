"""Count the zeros and distinct values of the weights of a file, as stored; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.macs import weight_tensors
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import dense_values

_TABLES: Final = {"GATHER": 0, "EMBEDDING_LOOKUP": 1}
_UNPACKING: Final = frozenset({"DEQUANTIZE", "DENSIFY"})


@dataclass(frozen=True)
class TensorValues:
    """The values of one weight tensor as stored, integers as integers.

    Args:
        name: the tensor's name.
        op: kind of the op that reads it.
        dtype: the stored type.
        size: number of elements.
        zeros: fraction of elements that represent 0, 0–1.
        unique: number of distinct values.
    """

    name: str
    op: str
    dtype: str
    size: int
    zeros: float
    unique: int


@dataclass(frozen=True)
class WeightValues:
    """The values of all weights of a file.

    Args:
        zeros: fraction of zeros over all weights, 0–1.
        unique: largest number of distinct values in a tensor.
        tensors: the values of each tensor, in the order of the graph.
    """

    zeros: float
    unique: int
    tensors: tuple[TensorValues, ...]


def weight_values(model: Model | str | Path) -> WeightValues:
    """Return the zeros and distinct values of the weights of convolutions, matrix products and look-ups.

    Args:
        model: a model, or the path of a ``.tflite``.

    Raises:
        ModelError: the file cannot be read.
    """
    read = model if isinstance(model, Model) else read_model(model)
    found: dict[int, TensorValues] = {}  # tensors that share memory are stored once
    for graph in read.graphs:
        for op in graph.ops:
            for tensor in _weights(op):
                place = tensor.values.__array_interface__["data"][0]
                if place not in found:
                    found[place] = _look(tensor, op.kind)
    tensors = tuple(found.values())
    total = sum(t.size for t in tensors)
    zeros = sum(t.zeros * t.size for t in tensors) / total if total else 0.0
    return WeightValues(zeros, max((t.unique for t in tensors), default=0), tensors)


def _weights(op: Op) -> Iterator[Tensor]:
    """The stored weights of an op, also those behind a DEQUANTIZE or DENSIFY."""
    table = op.input(_TABLES[op.kind]) if op.kind in _TABLES else None
    for read in [*weight_tensors(op), *([] if table is None else [table])]:
        tensor: Tensor | None = read
        while tensor is not None and tensor.producer is not None and tensor.producer.kind in _UNPACKING:
            tensor = tensor.producer.inputs[0]
        if tensor is not None and tensor.is_constant and tensor.size:
            yield tensor


def _look(tensor: Tensor, kind: str) -> TensorValues:
    values = dense_values(tensor)
    points = 0 if tensor.quantization is None else tensor.quantization.zero_point
    zero = int(np.asarray(points).reshape(-1)[0]) if np.size(points) else 0
    share = float(np.mean(values == zero))
    return TensorValues(tensor.name, kind, tensor.dtype, tensor.size, share, len(np.unique(values)))


_SMALLEST_WEIGHT: Final = 256


def weight_facts(path: Path) -> tuple[float, int]:
    """Return (fraction of zeros, most distinct values in a tensor) of the large weights of a file."""
    zeros = total = values = 0
    for tensor in (t for g in read_model(path).graphs for t in g.tensors() if t.is_constant):
        weighs = tensor.dtype in ("float32", "int8", "int4", "float16") and len(tensor.shape) > 1
        if not weighs or tensor.size < _SMALLEST_WEIGHT:
            continue  # biases and tables are not counted
        data = dense_values(tensor)
        zeros += int((data == 0).sum())
        total += data.size
        values = max(values, np.unique(data).size)
    return zeros / max(total, 1), values


def refuse_bad_weights(model: Model) -> None:
    """Check that the weights of a float model are numbers.

    Raises:
        ModelError: one is NaN or infinite; the sentence names it.
    """
    for graph in model.graphs:
        for op in graph.ops:
            for tensor in weight_tensors(op):
                values = tensor.data
                if values is None or values.dtype.kind != "f" or np.isfinite(values).all():
                    continue
                raise ModelError(
                    f"The weight '{tensor.name}' of {op.kind} '{op.name}' holds NaN or infinity in "
                    f"{int((~np.isfinite(values)).sum()):,} of {values.size:,} values; expected numbers. "
                    "Train or export the model again."
                )
