"""Calibration samples in an uncompressed ``.npz``: written row by row, read as memory-mapped arrays.

Both sides of a benchmark read the same file. Needs NumPy only: it is imported in the peers' environments too.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Column:
    """One array to write: its rows are taken one at a time.

    Args:
        rows: each of ``shape[1:]``, with or without a batch dimension of 1.
        shape: with the number of rows first.
    """

    rows: Iterable[Array]
    shape: tuple[int, ...]
    dtype: str = "float32"


def write_samples(path: Path, columns: Mapping[str, Column]) -> None:
    """Writes the arrays whole or not at all, holding one row at a time.

    Raises:
        ValueError: an array has another number of rows than its shape says.
    """
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, column in columns.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                _write_column(stream, column)
    part.replace(path)


def _write_column(stream: IO[bytes], column: Column) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(column.dtype))
    header = {"descr": descr, "fortran_order": False, "shape": column.shape}
    np.lib.format.write_array_header_2_0(stream, header)
    written = 0
    for row in column.rows:
        stream.write(np.ascontiguousarray(row, dtype=column.dtype).reshape(column.shape[1:]).tobytes())
        written += 1
    if written != column.shape[0]:
        raise ValueError(f"Received {written} rows for an array of shape {column.shape}.")


def map_samples(path: Path) -> dict[str, Array]:
    """Gives the arrays of an uncompressed ``.npz`` as read-only views of the file."""
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"'{path}' is compressed; expected np.savez, not np.savez_compressed.")
            # Only the local header knows the length of its own extra field (zip specification, 4.3.7).
            stream.seek(entry.header_offset + 26)
            name_length, extra_length = struct.unpack("<HH", stream.read(4))
            stream.seek(name_length + extra_length, 1)
            arrays[entry.filename.removesuffix(".npy")] = _map_array(path, stream)
    return arrays


def _map_array(path: Path, stream: IO[bytes]) -> Array:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    order = "F" if fortran_order else "C"
    return np.memmap(path, dtype=dtype, mode="r", offset=stream.tell(), shape=shape, order=order)


class Rows:
    """The samples as ``{input name: array with batch dimension 1}``; can be iterated more than once.

    Args:
        arrays: name → array of N rows, as ``map_samples`` gives them.
        names: the model's input names; a model with one input takes the array ``x`` whatever its name.
        limit: how many rows, or None for all.
    """

    def __init__(self, arrays: Mapping[str, Array], names: list[str], limit: int | None = None) -> None:
        self._arrays = {names[0]: arrays["x"]} if len(names) == 1 and "x" in arrays else dict(arrays)
        available = len(next(iter(self._arrays.values())))
        self._length = available if limit is None else min(limit, available)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for index in range(self._length):
            # np.asarray drops the memmap class, whose slices are slow to make; the memory is the file's.
            yield {name: np.asarray(array[index : index + 1]) for name, array in self._arrays.items()}
