"""Checks the structure of a hostile flatbuffer before anything is built from it.

Every vector, string and table that the reader will walk must lie inside the file, and the walk as a
whole may not visit more elements than the file has bytes: a file of a few bytes can then neither read
out of range nor expand without bound. Options tables are opaque here; the reader catches their errors.

Source: the flatbuffers "Internals" document (tables, vtables, offsets) and ``schema.fbs`` (field numbers).
"""

from __future__ import annotations

import struct
from typing import Final

# Field number → kind. An int: vector of scalars of that many bytes; "s": string; "t:X": table X;
# "v:X": vector of tables X. Scalars need no row: their place is checked with the table they stand in.
_FIELDS: Final[dict[str, dict[int, int | str]]] = {
    "Model": {
        1: "v:OperatorCode", 2: "v:SubGraph", 3: "s", 4: "v:Buffer", 5: 4, 6: "v:Metadata",
        7: "v:SignatureDef", 8: "v:Named", 9: "v:Opaque",
    },
    "OperatorCode": {1: "s"},
    "SubGraph": {0: "v:Tensor", 1: 4, 2: 4, 3: "v:Operator", 4: "s"},
    "Tensor": {0: 4, 3: "s", 4: "t:Quantization", 6: "t:Sparsity", 7: 4, 9: "v:Variant"},
    "Quantization": {0: 4, 1: 4, 2: 4, 3: 8, 5: "t:Opaque"},
    "Sparsity": {0: 4, 1: 4, 2: "v:Dimension"},
    "Dimension": {3: "t:Opaque", 5: "t:Opaque"},
    "Variant": {0: 4},
    "Operator": {1: 4, 2: 4, 4: "t:Opaque", 5: 1, 7: 1, 8: 4, 12: "t:Opaque"},
    "Buffer": {0: 1},
    "Metadata": {0: "s"},
    "SignatureDef": {0: "v:TensorMap", 1: "v:TensorMap", 2: "s"},
    "TensorMap": {0: "s"},
    "Named": {0: "s"},
    "Opaque": {},
}  # fmt: skip


class FlatbufferError(ValueError):
    """The bytes are not a well-formed flatbuffer of the expected schema."""


class _Walker:
    """Walks the tables of one file and counts what it visits against a budget."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self.budget = self.size + 64

    def spend(self, count: int) -> None:
        self.budget -= count
        if self.budget < 0:
            raise FlatbufferError("its tables overlap so often that it would expand without bound")

    def u32(self, at: int) -> int:
        self.inside(at, 4)
        return int(struct.unpack_from("<I", self.data, at)[0])

    def inside(self, at: int, count: int) -> None:
        if at < 0 or at + count > self.size:
            raise FlatbufferError(f"an offset points to byte {at + count} of {self.size}")

    def table(self, at: int, kind: str) -> None:
        self.inside(at, 4)
        vtable = at - int(struct.unpack_from("<i", self.data, at)[0])
        self.inside(vtable, 4)
        length, table_length = struct.unpack_from("<HH", self.data, vtable)
        self.inside(vtable, length)
        self.inside(at, table_length)
        self.spend(1)
        for number, field in _FIELDS[kind].items():
            entry = 4 + 2 * number
            if entry + 2 > length:
                continue
            offset = struct.unpack_from("<H", self.data, vtable + entry)[0]
            if offset:
                self.field(at + offset, field)

    def field(self, at: int, kind: int | str) -> None:
        target = at + self.u32(at)
        if isinstance(kind, int):
            self.inside(target + 4, kind * self.u32(target))
        elif kind == "s":
            self.inside(target + 4, self.u32(target))
        elif kind.startswith("t:"):
            self.table(target, kind[2:])
        else:
            self.vector(target, kind[2:])

    def vector(self, at: int, kind: str) -> None:
        count = self.u32(at)
        self.inside(at + 4, 4 * count)
        self.spend(count)
        for position in range(at + 4, at + 4 + 4 * count, 4):
            self.table(position + self.u32(position), kind)


def verify(data: memoryview) -> None:
    """Checks that ``data`` holds a well-formed ``.tflite`` flatbuffer.

    Raises:
        FlatbufferError: says what is wrong, with the offset where there is one.
    """
    if len(data) < 8 or bytes(data[4:8]) != b"TFL3":
        raise FlatbufferError("it lacks the identifier TFL3 at byte 4")
    walker = _Walker(data)
    walker.table(walker.u32(0), "Model")
