"""Read a ``.tflite`` file into the graph classes; constants are views into the (mapped) file.

Only this module and ``writer`` use the flatbuffer schema.
"""

from __future__ import annotations

import functools
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the reader of the format

from tightfit.errors import ModelError
from tightfit.graph.format.attached_files import read_attached
from tightfit.graph.format.mapped_files import map_file
from tightfit.graph.format.storage import ITEM_TYPES, PACKED_BITS, unpack
from tightfit.graph.format.stored_numbers import link_details, read_quantization, read_sparsity
from tightfit.graph.format.structure_check import FlatbufferError, verify
from tightfit.graph.format.table_fields import as_list, as_text, enum_word, pick, to_fields
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.types import Array

_MALFORMED = (struct.error, ValueError, IndexError, TypeError, AttributeError, UnicodeError, OverflowError)


def read_model(source: str | Path | bytes | mmap.mmap) -> Model:
    """Return the model of a ``.tflite`` file, or of its bytes or map.

    Constants are read-only views into the file, so a model near 2 GB costs no memory until changed.

    Raises:
        ModelError: the file is missing, is not a ``.tflite``, is truncated or inconsistent.
    """
    if isinstance(source, bytes | mmap.mmap):
        return _parse(source, "the given bytes")
    path = Path(source)
    return _parse(map_file(path), f"'{path}'")


def read_ops(path: Path) -> list[list[Op]]:
    """Return the ops of each subgraph, linked to no graph.

    For what a compiler wrote: vela lets two of its ops write parts of one tensor, which no ``Graph`` holds.

    Raises:
        ModelError: as ``read_model``.
    """
    data = map_file(path)
    with _refusals(f"'{path}'"):
        verify(memoryview(data))
        reader = _Reader(schema.ModelT.InitFromPackedBuf(data, 0), data)
        return [reader.ops(graph) for graph in reader.packed.subgraphs or []]


def _parse(data: bytes | mmap.mmap, label: str) -> Model:
    with _refusals(label):
        verify(memoryview(data))
        model = _Reader(schema.ModelT.InitFromPackedBuf(data, 0), data).model()
        model.validate()
    return model


@contextmanager
def _refusals(label: str) -> Iterator[None]:
    hint = "Expected a .tflite model (schema version 3); convert or download it again."
    try:
        yield
    except FlatbufferError as error:
        raise ModelError(f"Cannot read {label}: {error}. {hint}") from error
    except ModelError as error:
        raise ModelError(f"Cannot read {label}: {error}") from error
    except _MALFORMED as error:
        raise ModelError(f"Cannot read {label}: its tables are damaged ({error}). {hint}") from error


class _Reader:
    """Converts the unpacked tables of one file to linked graphs."""

    def __init__(self, packed: Any, data: bytes | mmap.mmap) -> None:
        self.packed = packed
        self.data = data
        self.arrays: dict[tuple[int, str], Array] = {}
        self.behind: dict[tuple[int, int], Array] = {}
        self.room = 2 * len(data)
        # Decoded once: many ops may share one long name.
        self.custom_codes = [
            None if c.customCode is None else as_text(c.customCode) for c in packed.operatorCodes or []
        ]

    def model(self) -> Model:
        packed = self.packed
        if packed.version != 3:
            raise ModelError(f"the schema version is {packed.version}, expected 3.")
        if not packed.subgraphs:
            raise ModelError("it has no subgraph; expected at least one.")
        tables = [self.tensors(g) for g in packed.subgraphs]
        graphs = [self.graph(g, t) for g, t in zip(packed.subgraphs, tables, strict=True)]
        signatures = [self.signature(s, tables) for s in packed.signatureDefs or []]
        copy = functools.cache(self.bytes)  # many entries may name one buffer
        metadata = {as_text(m.name): copy(m.buffer) for m in packed.metadata or []}
        extra = {"metadataBuffer": packed.metadataBuffer} if packed.metadataBuffer is not None else {}
        description = None if packed.description is None else as_text(packed.description)
        files = read_attached(self.data)
        return Model(graphs, signatures, metadata, description, packed.version, extra, files)

    # -- constants -----------------------------------------------------------------------------

    def raw(self, index: int) -> Array | None:
        """Return the bytes of a buffer as a view, or None when it is empty."""
        buffers = self.packed.buffers or []
        if not 0 <= index < len(buffers):
            raise ModelError(f"it uses buffer {index}, but the file has {len(buffers)} buffers.")
        buffer = buffers[index]
        if buffer.offset > 1:
            return self.outside(buffer.offset, buffer.size, f"buffer {index}")
        data = buffer.data
        return None if data is None or len(data) == 0 else np.asarray(data, np.uint8)

    def outside(self, start: int, size: int, what: str) -> Array | None:
        """Return bytes after the flatbuffer as a view, or None when the size is 0.

        Args:
            start: offset in the file.
            size: number of bytes.
            what: the bytes in words, for the error message.
        """
        if start + size > len(self.data):
            raise ModelError(f"{what} ends at byte {start + size}, but the file has {len(self.data)}.")
        if (start, size) not in self.behind:
            self.room -= size
            if self.room < 0:
                raise ModelError("its buffers overlap so often that they would expand without bound.")
            self.behind[start, size] = np.frombuffer(self.data, np.uint8, size, start)
        return self.behind[start, size] if size else None

    def bytes(self, index: int) -> bytes:
        raw = self.raw(index)
        return b"" if raw is None else raw.tobytes()

    def constant(self, tensor: Tensor, index: int) -> Array | None:
        """Return the array of a constant tensor; tensors of one buffer are views of the same memory."""
        raw = self.raw(index)
        if raw is None:
            return None
        if tensor.dtype not in ITEM_TYPES:
            return raw
        key = (index, tensor.dtype)
        if key not in self.arrays:
            self.arrays[key] = self.flat(tensor, raw)
        flat = self.arrays[key]
        if tensor.sparsity is not None:
            return flat
        if flat.size < tensor.size or (tensor.dtype not in PACKED_BITS and flat.size != tensor.size):
            raise ModelError(
                f"constant '{tensor.name}' holds {flat.size} values, but its shape {list(tensor.shape)} "
                f"has {tensor.size}."
            )
        return flat[: tensor.size].reshape(tensor.shape)

    @staticmethod
    def flat(tensor: Tensor, raw: Array) -> Array:
        if tensor.dtype in PACKED_BITS:
            return unpack(raw, tensor.dtype)
        return raw.view(ITEM_TYPES[tensor.dtype])

    # -- tables --------------------------------------------------------------------------------

    def tensors(self, packed: Any) -> list[Tensor]:
        tensors = [self.tensor(t) for t in packed.tensors or []]
        for tensor in tensors:
            link_details(tensor, tensors)
        return tensors

    def tensor(self, packed: Any) -> Tensor:
        name = as_text(packed.name)
        shape = [int(d) for d in as_list(packed.shape)]
        if any(d < 0 for d in shape):
            raise ModelError(f"tensor '{name}' has the shape {shape}; dimensions must be ≥ 0.")
        tensor = Tensor(
            name,
            shape,
            enum_word("TensorType", packed.type, f"tensor '{name}'").lower(),
            quantization=read_quantization(packed.quantization),
            sparsity=read_sparsity(packed.sparsity),
            shape_signature=None if packed.shapeSignature is None else as_list(packed.shapeSignature),
            is_variable=bool(packed.isVariable),
            has_rank=bool(packed.hasRank),
        )
        if packed.externalBuffer:
            raise ModelError(f"the constant '{name}' is in another file; merge it into the model first.")
        if packed.variantTensors:
            tensor.extra["variantTensors"] = [to_fields(v) for v in packed.variantTensors]
        tensor.data = self.constant(tensor, packed.buffer)
        return tensor

    def graph(self, packed: Any, tensors: list[Tensor]) -> Graph:
        graph = Graph(as_text(packed.name))
        graph.inputs = [pick(tensors, i, "an input") for i in as_list(packed.inputs)]
        graph.outputs = [pick(tensors, i, "an output") for i in as_list(packed.outputs)]
        for operator in packed.operators or []:
            graph.append(self.op(operator, tensors))
        used = {t.serial for t in graph.tensors()}
        graph.loose = [t for t in tensors if t.serial not in used]
        if packed.debugMetadataIndex not in (-1, None):
            graph.extra["debugMetadataIndex"] = packed.debugMetadataIndex
        return graph

    def ops(self, packed: Any) -> list[Op]:
        tensors = self.tensors(packed)
        return [self.op(operator, tensors) for operator in packed.operators or []]

    def op(self, packed: Any, tensors: list[Tensor]) -> Op:
        codes = self.packed.operatorCodes or []
        if not 0 <= packed.opcodeIndex < len(codes):
            raise ModelError(f"an op uses operator code {packed.opcodeIndex} of {len(codes)}.")
        code = codes[packed.opcodeIndex]
        kind = enum_word("BuiltinOperator", max(code.builtinCode, code.deprecatedBuiltinCode), "an op")
        inputs = [None if i == -1 else pick(tensors, i, f"{kind} input") for i in as_list(packed.inputs)]
        outputs = [pick(tensors, i, f"{kind} output") for i in as_list(packed.outputs)]
        op = Op(kind, inputs, outputs, version=code.version)
        self.fill_options(op, packed)
        op.custom_code = self.custom_codes[packed.opcodeIndex]
        op.intermediates = [pick(tensors, i, f"{kind} intermediate") for i in as_list(packed.intermediates)]
        if packed.mutatingVariableInputs is not None:
            op.extra["mutatingVariableInputs"] = [bool(v) for v in packed.mutatingVariableInputs]
        if packed.debugMetadataIndex not in (-1, None):
            op.extra["debugMetadataIndex"] = packed.debugMetadataIndex
        return op

    def fill_options(self, op: Op, packed: Any) -> None:
        value = packed.builtinOptions if packed.builtinOptions is not None else packed.builtinOptions2
        if value is not None:
            op.options_type = type(value).__name__.removesuffix("T")
            op.options = to_fields(value)
        if packed.largeCustomOptionsOffset > 1:
            start, size = packed.largeCustomOptionsOffset, packed.largeCustomOptionsSize
            raw = self.outside(start, size, f"the custom options of {op!r}")
            op.custom_options = b"" if raw is None else raw.tobytes()
        elif packed.customOptions is not None:
            op.custom_options = np.asarray(packed.customOptions, np.uint8).tobytes()

    def signature(self, packed: Any, tables: list[list[Tensor]]) -> Signature:
        index = packed.subgraphIndex
        if not 0 <= index < len(tables):
            raise ModelError(f"a signature names subgraph {index} of {len(tables)}.")
        inputs, outputs = (
            {as_text(m.name): pick(tables[index], m.tensorIndex, "a signature") for m in maps or []}
            for maps in (packed.inputs, packed.outputs)
        )
        return Signature(as_text(packed.signatureKey), inputs, outputs, index)
