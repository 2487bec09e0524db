"""Write the graph classes as a ``.tflite`` file, whole or not at all, with constants aligned to 16 bytes.

Only this module and ``reader`` use the flatbuffer schema. Constants that share memory share a buffer; equal
shapes, scales and zero points share a vector. Up to about 1.9 GB everything is inside the flatbuffer, as
every runtime expects; larger models have their constants after it (``Buffer.offset`` and ``size``), which
needs a runtime ≥ 2.15.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the writer of the format

from tightfit.files import atomic_file
from tightfit.graph.format.attached_files import pack_attached
from tightfit.graph.format.option_tables import (
    byte_vector,
    fill_table,
    quantization_table,
    scale_count,
    set_options,
    signature_table,
    sparsity_table,
)
from tightfit.graph.format.packing import ALIGNMENT, INLINE_LIMIT, PackedBuffer, SharedVectorBuilder
from tightfit.graph.format.storage import PACKED_BITS, pack
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.versions.op_version import op_version
from tightfit.types import Array

_TABLE: Final = 512
"""Bytes that the tables of one tensor or op take at most, but for names, scales and zero points."""


def serialize(model: Model, *, external: bool | None = None) -> bytes:
    """Return the bytes of the ``.tflite`` file of a model.

    Args:
        model: any valid model.
        external: True writes constants after the flatbuffer, False inside, None decides by size.
    """
    return b"".join(bytes(chunk) for chunk in file_chunks(model, external))


def write_model(model: Model, path: str | Path, *, external: bool | None = None) -> None:
    """Write a ``.tflite`` file: a temporary file in the same folder, which is then renamed.

    Args:
        model: any valid model.
        path: the file to write.
        external: see ``serialize``.

    Raises:
        ModelError: the folder is missing or read-only, or the disk is full; nothing is left behind.
    """
    with atomic_file(Path(path)) as file:
        for chunk in file_chunks(model, external):
            file.write(chunk)


def file_chunks(model: Model, external: bool | None = None) -> Iterator[bytes | memoryview]:
    """Return the bytes of a file in parts: the model, then the files that belong to it."""
    length = 0
    for chunk in _model_chunks(model, external):
        length += len(chunk)
        yield chunk
    yield pack_attached(model.attached, length)


def _model_chunks(model: Model, external: bool | None) -> Iterator[bytes | memoryview]:
    model.validate()
    writer = _Writer(model)
    total = sum(len(b) for b in writer.buffers)
    if external is None:
        external = total > INLINE_LIMIT
    if not external:
        yield writer.flatbuffer(None, total)
        return
    # Scalars have a fixed width, so a first pass with placeholders yields the flatbuffer's length.
    length = len(writer.flatbuffer([1] * len(writer.buffers), 0))
    places, at = [], length
    for buffer in writer.buffers:
        at += -at % ALIGNMENT
        places.append(at)
        at += len(buffer)
    yield writer.flatbuffer(places, 0)
    at = length
    for place, buffer in zip(places, writer.buffers, strict=True):
        yield bytes(place - at)
        yield buffer
        at = place + len(buffer)


class _Writer:
    """Collects the tables of one model; ``flatbuffer`` packs them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.buffers: list[memoryview] = [memoryview(b"")]
        self.places: dict[tuple[int, int, str], int] = {}
        self.contiguous: dict[int, tuple[Array, Array]] = {}
        self.codes: dict[tuple[str, int, str | None], int] = {}
        self.root = self.tables()

    def flatbuffer(self, places: list[int] | None, reserve: int) -> bytes | memoryview:
        """Return the packed file; ``places`` are the offsets of the constants after it."""
        at: Sequence[int | None] = places or [None] * len(self.buffers)
        self.root.buffers = [PackedBuffer(b, p) for b, p in zip(self.buffers, at, strict=True)]
        # Growing the builder copies everything again, so it starts with room for the constants.
        builder = SharedVectorBuilder(reserve + 64 * len(self.buffers) + self.tables_bytes())
        builder.Finish(self.root.Pack(builder), file_identifier=b"TFL3")
        return memoryview(builder.Bytes)[builder.head :]

    def tables_bytes(self) -> int:
        """A generous estimate of what all but the constants take."""
        tensors = [t for g in self.model.graphs for t in g.tensors()]
        own = sum(4 * len(t.name) + 12 * scale_count(t) for t in tensors)
        return own + _TABLE * (len(tensors) + sum(len(g.ops) for g in self.model.graphs)) + 65536

    def tables(self) -> Any:
        model = self.model
        root = schema.ModelT()
        root.version = model.version
        root.description = None if model.description is None else byte_vector(model.description)
        indices = [{t: i for i, t in enumerate(g.tensors())} for g in model.graphs]
        root.subgraphs = [self.graph(g, i) for g, i in zip(model.graphs, indices, strict=True)]
        root.operatorCodes = [self.code(*key) for key in self.codes]
        if model.signatures:
            root.signatureDefs = [signature_table(s, indices[s.graph_index]) for s in model.signatures]
        if model.metadata:
            root.metadata = [self.metadata(name, data) for name, data in model.metadata.items()]
        if "metadataBuffer" in model.extra:
            # Buffers are numbered anew, and nothing reads this legacy list of indices.
            root.metadataBuffer = None
        return root

    # -- buffers -------------------------------------------------------------------------------

    def add_bytes(self, data: memoryview) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1

    def buffer_of(self, tensor: Tensor) -> int:
        """Return the index of a tensor's buffer: one for each piece of memory, 0 for none."""
        data = tensor.data
        if data is None:
            return 0
        if id(data) not in self.contiguous:
            # The array is stored too: its identity and address must not be reused while they are keys.
            self.contiguous[id(data)] = data, np.ascontiguousarray(data)
        contiguous = self.contiguous[id(data)][1]
        kind = tensor.dtype if tensor.dtype in PACKED_BITS else ""
        key = (contiguous.__array_interface__["data"][0], contiguous.nbytes, kind)
        if key not in self.places:
            stored = pack(contiguous, tensor.dtype) if kind else contiguous
            self.places[key] = self.add_bytes(stored.reshape(-1).view(np.uint8).data)
        return self.places[key]

    def metadata(self, name: str, data: bytes) -> Any:
        entry = schema.MetadataT()
        entry.name = byte_vector(name)
        entry.buffer = self.add_bytes(memoryview(data))
        return entry

    # -- tables --------------------------------------------------------------------------------

    def code(self, kind: str, version: int, custom: str | None) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        code.customCode = None if custom is None else byte_vector(custom)
        return code

    def graph(self, graph: Graph, index: dict[Tensor, int]) -> Any:
        packed = schema.SubGraphT()
        packed.name = byte_vector(graph.name) if graph.name else None
        packed.tensors = [self.tensor(t, index) for t in index]
        packed.inputs = [index[t] for t in graph.inputs]
        packed.outputs = [index[t] for t in graph.outputs]
        packed.operators = [self.op(op, index) for op in graph.ops]
        packed.debugMetadataIndex = graph.extra.get("debugMetadataIndex", -1)
        return packed

    def tensor(self, tensor: Tensor, index: dict[Tensor, int]) -> Any:
        packed = schema.TensorT()
        packed.name = byte_vector(tensor.name)
        packed.shape = np.asarray(tensor.shape, np.int32)
        packed.type = getattr(schema.TensorType, tensor.dtype.upper())
        packed.buffer = self.buffer_of(tensor)
        packed.quantization = quantization_table(tensor.quantization, index)
        packed.sparsity = sparsity_table(tensor.sparsity)
        packed.isVariable = tensor.is_variable
        packed.hasRank = tensor.has_rank
        if tensor.shape_signature is not None:
            packed.shapeSignature = np.asarray(tensor.shape_signature, np.int32)
        if "variantTensors" in tensor.extra:
            packed.variantTensors = [
                fill_table(schema.VariantSubTypeT(), v) for v in tensor.extra["variantTensors"]
            ]
        return packed

    def op(self, op: Op, index: dict[Tensor, int]) -> Any:
        packed = schema.OperatorT()
        version = op.version or op_version(op)
        packed.opcodeIndex = self.codes.setdefault((op.kind, version, op.custom_code), len(self.codes))
        packed.inputs = [-1 if t is None else index[t] for t in op.inputs]
        packed.outputs = [index[t] for t in op.outputs]
        set_options(packed, op)
        if op.custom_options is not None:
            packed.customOptions = np.frombuffer(op.custom_options, np.uint8)
        if op.intermediates:
            packed.intermediates = [index[t] for t in op.intermediates]
        packed.mutatingVariableInputs = op.extra.get("mutatingVariableInputs")
        packed.debugMetadataIndex = op.extra.get("debugMetadataIndex", -1)
        return packed
