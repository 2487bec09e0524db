"""The facts of a model as plain data, for ``tightfit inspect``. Nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from tightfit.graph.format.storage import ITEM_TYPES, PACKED_BITS
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.macs import macs
from tightfit.graph.passes.loop_turns import graph_runs
from tightfit.graph.scheme_detection import describe_scheme
from tightfit.graph.versions.op_version import min_runtime_version
from tightfit.types import Array

__all__ = ["describe_scheme", "macs", "stored_bytes", "summary", "unique_values", "zeros"]

_LISTED: Final = 10
_FEW: Final = 256
_SAMPLE: Final = 4096


def summary(model: Model) -> dict[str, Any]:
    """Return the facts of a model as JSON-ready values.

    Returns:
        ``inputs``, ``outputs`` (of the main graph), ``signatures``, ``graphs``, ``op_counts`` and ``macs``
        (of all graphs, each counted once), ``parameters`` (numbers; shared ones once), ``weight_bytes`` by
        type as stored, ``sparsity`` (fraction of zero parameters), ``scheme``, ``metadata`` (names),
        ``min_runtime_version``, ``description``, ``largest_constants``, ``largest_activations``.

    Example:
        >>> x, y = Tensor("x", (1, 4)), Tensor("y", (1, 4))
        >>> graph = Graph()
        >>> graph.inputs, graph.outputs = [x], [y]
        >>> _ = graph.append(Op("RELU", [x], [y]))
        >>> summary(Model([graph]))["op_counts"]
        {'RELU': 1}
    """
    ops = [op for graph in model.graphs for op in graph.ops]
    parameters = list(_distinct(t for g in model.graphs for t in g.tensors() if _is_parameter(t)))
    count = sum(t.size for t in parameters)
    return {
        "inputs": [describe_tensor(t) for t in model.main.inputs],
        "outputs": [describe_tensor(t) for t in model.main.outputs],
        "signatures": [_signature(model, i) for i in range(len(model.signatures))],
        "graphs": len(model.graphs),
        "op_counts": dict(Counter(_kind(op) for op in ops).most_common()),
        "macs": _macs(model),
        "parameters": count,
        "weight_bytes": _weight_bytes(parameters),
        "sparsity": sum(zeros(t) for t in parameters) / count if count else 0.0,
        "scheme": describe_scheme(model),
        "metadata": list(model.metadata),
        "min_runtime_version": min_runtime_version(model),
        "description": model.description,
        "largest_constants": [_constant(t) for t in _largest(parameters)],
        "largest_activations": [describe_tensor(t) for t in _largest(_activations(model.graphs))],
    }


def _macs(model: Model) -> int:
    runs = zip(model.graphs, graph_runs(model), strict=True)
    return sum(times * macs(op) for graph, times in runs for op in graph.ops)


def describe_tensor(tensor: Tensor) -> dict[str, Any]:
    """Return name, shape (−1 where dynamic), dtype, size in bytes and quantization of a tensor."""
    scales = tensor.quantization if tensor.is_quantized else None
    per_channel = scales is not None and scales.scale.size > 1
    return {
        "name": tensor.name,
        "shape": list(tensor.shape_signature or tensor.shape),
        "dtype": tensor.dtype,
        "size_bytes": stored_bytes(tensor),
        "scale": None if scales is None or per_channel else float(scales.scale[0]),
        "zero_point": None if scales is None or per_channel else int(scales.zero_point[0]),
        "channel_axis": scales.axis if scales is not None and per_channel else None,
    }


def stored_bytes(tensor: Tensor) -> int:
    """Return the size in bytes of a tensor: as stored for a constant, dense for an activation."""
    count = tensor.size if tensor.data is None or tensor.sparsity is None else tensor.data.size
    if tensor.dtype in PACKED_BITS:
        return -(-count * PACKED_BITS[tensor.dtype] // 8)
    if tensor.dtype not in ITEM_TYPES:
        return 0 if tensor.data is None else tensor.data.nbytes
    return count * int(np.dtype(ITEM_TYPES[tensor.dtype]).itemsize)


def zeros(tensor: Tensor) -> int:
    """Return the number of elements of a constant that represent zero, those a sparse one omits included."""
    if tensor.data is None:
        return 0
    quantization = tensor.quantization if tensor.is_quantized else None
    if quantization is None or not quantization.zero_point.any():
        return tensor.size - int(np.count_nonzero(tensor.data))
    points = quantization.zero_point
    if points.size > 1:
        axis = quantization.axis
        fits = tensor.data.shape[axis : axis + 1] == (points.size,)
        points = points.reshape([-1, *[1] * (tensor.data.ndim - axis - 1)]) if fits else points[:1]
    return tensor.size - int(np.count_nonzero(tensor.data != points))


def unique_values(values: Array) -> int | None:
    """Return the number of distinct values where it is at most 256 (clustered or quantized), else None.

    Example:
        >>> unique_values(np.array([0.5, 1.0, 0.5])), unique_values(np.arange(1000))
        (2, None)
    """
    flat = values.reshape(-1)
    # Most constants have too many values: a sample shows it without sorting millions.
    if np.unique(flat[:_SAMPLE]).size > _FEW:
        return None
    count = int(np.unique(flat).size)
    return count if count <= _FEW else None


def _constant(tensor: Tensor) -> dict[str, Any]:
    facts = describe_tensor(tensor)
    facts["sparsity"] = zeros(tensor) / tensor.size if tensor.size else 0.0
    facts["unique_values"] = None if tensor.data is None else unique_values(tensor.data)
    facts["is_sparse"] = tensor.sparsity is not None
    return facts


def _is_parameter(tensor: Tensor) -> bool:
    """Whether a constant represents reals (weights and biases), not shapes, axes or indices."""
    if not tensor.is_constant or tensor.dtype not in ITEM_TYPES:
        return False
    real = tensor.dtype.startswith(("float", "bfloat", "complex")) or tensor.dtype in PACKED_BITS
    return real or tensor.is_quantized


def _distinct(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    """The tensors, each piece of memory once."""
    seen: set[tuple[int, int]] = set()
    for tensor in tensors:
        if tensor.data is not None:
            key = tensor.data.__array_interface__["data"][0], tensor.data.nbytes
            if key not in seen:
                seen.add(key)
                yield tensor


def _weight_bytes(parameters: list[Tensor]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in parameters:
        sizes[tensor.dtype] += stored_bytes(tensor)
    return dict(sizes.most_common())


def _activations(graphs: list[Graph]) -> list[Tensor]:
    return [t for graph in graphs for t in graph.tensors() if not t.is_constant]


def _largest(tensors: list[Tensor]) -> list[Tensor]:
    return sorted(tensors, key=stored_bytes, reverse=True)[:_LISTED]


def _kind(op: Op) -> str:
    return f"CUSTOM {op.custom_code}" if op.kind == "CUSTOM" else op.kind


def _signature(model: Model, index: int) -> dict[str, Any]:
    signature = model.signatures[index]
    return {
        "key": signature.key,
        "graph": model.graphs[signature.graph_index].name,
        "graph_index": signature.graph_index,
        "op_counts": dict(Counter(_kind(op) for op in model.graphs[signature.graph_index].ops).most_common()),
        "macs": sum(macs(op) for op in model.graphs[signature.graph_index].ops),
        "inputs": {name: describe_tensor(t) for name, t in signature.inputs.items()},
        "outputs": {name: describe_tensor(t) for name, t in signature.outputs.items()},
    }
