"""Options, signatures, quantization and sparse storage as tables of the schema."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the writer of the format

from tightfit.errors import ModelError
from tightfit.graph.ir import Op, Quantization, Signature, Sparsity, Tensor
from tightfit.types import Array

_REFERENCES: Final = frozenset({"scales", "zeroPoints"})  # tensors in a quantization's details, −1 for none


def set_options(packed: Any, op: Op) -> None:
    """Set the options table of a packed operator."""
    name = op.options_type
    if name is None:
        if op.options:
            raise ModelError(
                f"{op!r} has the options {sorted(op.options)}, but no options type to store them in."
            )
        return
    for union, slot in (
        (schema.BuiltinOptions, "builtinOptions"),
        (schema.BuiltinOptions2, "builtinOptions2"),
    ):
        if hasattr(union, name):
            setattr(packed, slot + "Type", getattr(union, name))
            setattr(packed, slot, fill_table(getattr(schema, name + "T")(), op.options))
            return
    raise ModelError(f"{op!r} has options of the type '{name}', which the schema lacks.")


def fill_table(table: Any, fields: dict[str, Any]) -> Any:
    """Set the fields of an object-API table; nested tables have their type under ``@type``."""
    for name, value in fields.items():
        if name == "@type":
            continue
        if not hasattr(table, name):
            raise ModelError(f"{type(table).__name__.removesuffix('T')} has no option '{name}'.")
        setattr(table, name, _unplain(value))
    return table


def _unplain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # Packing copies the bytes of an array, whatever width the field has; it converts numbers.
        return value.tolist()
    if isinstance(value, dict):
        return fill_table(getattr(schema, value["@type"])(), value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_unplain(v) for v in value]
    return value


def byte_vector(text: str) -> bytes:
    """Return a text as bytes; bytes that were no UTF-8 when read are kept."""
    return text.encode("utf-8", "surrogateescape")


def signature_table(signature: Signature, index: dict[Tensor, int]) -> Any:
    """Return a signature as a table; ``index``: tensor → its position in the subgraph."""
    packed = schema.SignatureDefT()
    packed.signatureKey = byte_vector(signature.key)
    packed.subgraphIndex = signature.graph_index
    packed.inputs = [_tensor_map(n, index[t]) for n, t in signature.inputs.items()]
    packed.outputs = [_tensor_map(n, index[t]) for n, t in signature.outputs.items()]
    return packed


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name = byte_vector(name)
    entry.tensorIndex = index
    return entry


def scale_count(tensor: Tensor) -> int:
    """The number of a tensor's scales."""
    return 0 if tensor.quantization is None else int(tensor.quantization.scale.size)


def quantization_table(quantization: Quantization | None, index: dict[Tensor, int]) -> Any:
    """Return quantization parameters as a table, None without any."""
    if quantization is None:
        return None
    packed = schema.QuantizationParametersT()
    if quantization.scale.size:
        packed.scale = np.ascontiguousarray(quantization.scale, np.float32)
        packed.zeroPoint = np.ascontiguousarray(quantization.zero_point, np.int64)
    packed.quantizedDimension = quantization.axis
    packed.min, packed.max = quantization.range_min, quantization.range_max
    if quantization.details is not None:
        kind, fields = quantization.details
        plain = {k: index[v] if isinstance(v, Tensor) else v for k, v in fields.items()}
        for name in _REFERENCES & plain.keys():
            plain[name] = -1 if plain[name] is None else plain[name]
        packed.details = fill_table(getattr(schema, kind + "T")(), plain)
        packed.detailsType = getattr(schema.QuantizationDetails, kind)
    return packed


def sparsity_table(sparsity: Sparsity | None) -> Any:
    """Return the storage of a sparse constant as a table, None for a dense one."""
    if sparsity is None:
        return None
    packed = schema.SparsityParametersT()
    packed.traversalOrder = np.asarray(sparsity.traversal_order, np.int32)
    packed.blockMap = np.asarray(sparsity.block_map, np.int32) if sparsity.block_map else None
    packed.dimMetadata = [_dimension(d) for d in sparsity.dimensions]
    return packed


def _dimension(dimension: tuple[Any, ...]) -> Any:
    packed = schema.DimensionMetadataT()
    if dimension[0] == "dense":
        packed.format = schema.DimensionType.DENSE
        packed.denseSize = dimension[1]
        return packed
    packed.format = schema.DimensionType.SPARSE_CSR
    packed.arraySegmentsType, packed.arraySegments = _index_vector(dimension[1])
    packed.arrayIndicesType, packed.arrayIndices = _index_vector(dimension[2])
    return packed


def _index_vector(values: Array) -> tuple[int, Any]:
    """The narrowest vector type for the indices; every reader accepts all three types."""
    largest = int(values.max(initial=0))
    name, dtype = next(
        (n, d)
        for n, d, limit in (
            ("Uint8Vector", np.uint8, 2**8),
            ("Uint16Vector", np.uint16, 2**16),
            ("Int32Vector", np.int32, 2**31),
        )
        if largest < limit
    )
    vector = getattr(schema, name + "T")()
    vector.values = np.asarray(values, dtype)
    return getattr(schema.SparseIndexVector, name), vector
