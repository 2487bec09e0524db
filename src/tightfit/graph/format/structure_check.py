"""Check the structure of an untrusted flatbuffer before a model is built from it.

Every vector, string and table that the reader visits must be inside the file. All visits together may not
exceed what a writer can have written: a small file can then neither be read out of range nor expand without
bound through overlapping tables. The vectors of options tables are not checked here: the reader uses them as
views and handles their errors. Their strings are copied, so they are counted.

Source: the flatbuffers "Internals" document (tables, vtables, offsets) and ``schema.fbs`` (field numbers).
"""

from __future__ import annotations

import struct
from typing import Final

# Field number → kind. An int: vector of scalars of that many bytes; "s": string; "t:X": table X;
# "v:X": vector of tables X. Scalars need no row: they are checked with their table.
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
    "VarHandle": {0: "s", 1: "s"},
    "CustomCall": {0: "s", 2: "s"},
    "Composite": {0: "s"},
}  # fmt: skip

# (field of the union's type, its value) → the options table with strings in the next field.
_UNIONS: Final[dict[str, dict[tuple[int, int], str]]] = {
    "Operator": {(3, 111): "VarHandle", (11, 5): "CustomCall", (11, 21): "Composite"},
}

_TABLE_BYTES: Final = 8  # the least size of a table: its offset in a vector or field, and that of its vtable
_SLACK: Final = 4096  # for strings and vectors that a writer shares


class FlatbufferError(ValueError):
    """The bytes are not a well-formed flatbuffer of the expected schema."""


class _Walker:
    """Visits the tables of one file and counts the visited bytes against a budget."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self.tables = self.size // _TABLE_BYTES + 64
        self.bytes = 2 * self.size + _SLACK

    def spend(self, tables: int, size: int = 0) -> None:
        self.tables -= tables
        self.bytes -= size
        if self.tables < 0 or self.bytes < 0:
            raise FlatbufferError("its tables overlap so often that it would expand without bound")

    def span(self, at: int, size: int) -> None:
        """Count the content of a vector or a string."""
        self.inside(at, size)
        self.spend(0, size)

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
        entries = struct.unpack_from(f"<{max(0, length - 4) // 2}H", self.data, vtable + 4)
        special = self.union(at, entries, kind) if kind in _UNIONS else {}
        for number, field in _FIELDS[kind].items():
            if number < len(entries) and entries[number]:
                self.field(at + entries[number], special.get(number, field))

    def union(self, at: int, entries: tuple[int, ...], kind: str) -> dict[int, int | str]:
        """Return the fields of this table whose options have strings."""
        found: dict[int, int | str] = {}
        for (number, value), table in _UNIONS[kind].items():
            if number < len(entries) and entries[number]:
                self.inside(at + entries[number], 1)
                if self.data[at + entries[number]] == value:
                    found[number + 1] = f"t:{table}"
        return found

    def field(self, at: int, kind: int | str) -> None:
        target = at + self.u32(at)
        if isinstance(kind, int):
            self.span(target + 4, kind * self.u32(target))
        elif kind == "s":
            self.span(target + 4, self.u32(target))
        elif kind.startswith("t:"):
            self.table(target, kind[2:])
        else:
            self.vector(target, kind[2:])

    def vector(self, at: int, kind: str) -> None:
        count = self.u32(at)
        self.span(at + 4, 4 * count)
        for position in range(at + 4, at + 4 + 4 * count, 4):
            self.table(position + self.u32(position), kind)


def verify(data: memoryview) -> None:
    """Check that ``data`` is a well-formed ``.tflite`` flatbuffer.

    Raises:
        FlatbufferError: it is not; the message gives the fault, with the offset where there is one.
    """
    if len(data) < 8 or bytes(data[4:8]) != b"TFL3":
        raise FlatbufferError("it lacks the identifier TFL3 at byte 4")
    walker = _Walker(data)
    walker.table(walker.u32(0), "Model")
