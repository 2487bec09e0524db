"""Aligned buffers and vectors of a flatbuffer; equal ones are stored once."""

from __future__ import annotations

from typing import Any, Final

import flatbuffers  # noqa: TID251 - the writer of the format
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the writer of the format

from tightfit.types import Array

ALIGNMENT: Final = 16
"""Constants begin at multiples of this, in bytes."""


INLINE_LIMIT: Final = 1_900_000_000


class SharedVectorBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers has no types
    """Stores equal arrays once: an int8 convolution alone has two vectors of as many int64 zeros as channels.

    Several tables may refer to one vector; every reader and the format's own verifier follow each reference
    on its own.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.stored: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> int:  # noqa: N802 - the builder's name
        """Return the offset of a vector; an equal one that was written before is used again."""
        key = (x.dtype.str, x.tobytes())
        if key not in self.stored:
            self.stored[key] = super().CreateNumpyVector(x)
        return self.stored[key]


class PackedBuffer:
    """Replaces ``BufferT`` of the object API: packs aligned bytes, or the offset of external ones."""

    def __init__(self, data: memoryview, place: int | None) -> None:
        self.data = data
        self.place = place

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the object API's name
        """Return the offset of the buffer's table."""
        vector = None
        if self.place is None and len(self.data):
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        elif self.place is not None and len(self.data):
            schema.BufferAddOffset(builder, self.place)
            schema.BufferAddSize(builder, len(self.data))
        return int(schema.BufferEnd(builder))
