"""A model's file for as long as a runtime needs it, written without a copy of the model in memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tightfit.graph.ir import Model
from tightfit.graph.writer import file_chunks

STREAMED: Final = 32_000_000
"""Constants of more bytes stand behind the flatbuffer, so that they are not copied through its builder."""


@contextlib.contextmanager
def temporary_file(model: Model) -> Iterator[Path]:
    """Return the path of a model's file, which vanishes at the end of the block.

    Example:
        >>> from tightfit.graph.ir import Graph
        >>> with temporary_file(Model([Graph("g")])) as path:
        ...     path.suffix
        '.tflite'
    """
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        for chunk in file_chunks(model, True if stored_bytes(model) > STREAMED else None):
            file.write(chunk)
        file.flush()
        yield Path(file.name)


def stored_bytes(model: Model) -> int:
    """Return the bytes of a model's constants.

    Example:
        >>> from tightfit.graph.ir import Graph
        >>> stored_bytes(Model([Graph("g")]))
        0
    """
    return sum(t.data.nbytes for g in model.graphs for t in g.tensors() if t.data is not None)
