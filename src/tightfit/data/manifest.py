"""Lists of samples in a ``.csv`` or ``.jsonl`` file.

A ``.csv`` has a header with ``path`` and, optionally, ``label``; a line of a ``.jsonl`` is an object with
``path`` or with one array for each input of the model, and optionally ``label``. Paths are relative to the
manifest.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.image_files import ImageFile
from tightfit.data.sample import DataRecord
from tightfit.errors import DataError
from tightfit.types import Array

_CHUNK_BYTES = 1 << 20
_LARGEST = 2**63  # a label is an index or a real number


class JsonArrays:
    """A ``.jsonl`` file whose lines hold arrays, as a source of records; only line offsets are held."""

    kind = "arrays"

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._offsets: list[int] = []
        self._labels: list[Any] = []
        for number, offset, row in _json_rows(path):
            self._offsets.append(offset)
            self._labels.append(_checked_label(row.get("label"), path.name, number))
        _check_all_or_none(self._labels, path.name)

    @property
    def has_labels(self) -> bool:
        """True when the lines have a label."""
        return self._labels[0] is not None

    def count(self) -> int:
        """The number of lines."""
        return len(self._offsets)

    def labels(self) -> Array | None:
        """The labels, when each is one number."""
        if not self.has_labels or any(isinstance(label, list) for label in self._labels):
            return None
        return scalar_labels(self._labels)

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Parses the lines one at a time."""
        with self._path.open("rb") as stream:
            for i in range(len(self._offsets)) if indices is None else indices:
                stream.seek(self._offsets[i])
                where = f"Sample {i} of '{self.name}'"
                row = _json_object(stream.readline(), self.name, i + 1)
                label = row.pop("label", None)
                yield DataRecord(
                    i, where, {name: _array(value, name, where) for name, value in row.items()}, label
                )

    def fingerprint(self) -> str:
        """SHA-256 over the file."""
        digest = hashlib.sha256()
        with self._path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


def manifest_images(path: Path) -> list[ImageFile] | None:
    """The images that a manifest lists, in its order, or None for a ``.jsonl`` of arrays.

    Raises:
        DataError: names the line that is not understood or the image that is missing.
    """
    if path.suffix.lower() == ".csv":
        rows: Iterator[tuple[int, dict[str, Any]]] = _csv_rows(path)
    else:
        first = next(_json_rows(path))[2]
        if "path" not in first:
            return None
        rows = ((number, row) for number, _, row in _json_rows(path))
    files = [_image(row, path, number) for number, row in rows]
    if not files:
        raise DataError(f"The manifest '{path.name}' lists no samples. Add a row for each.")
    _check_all_or_none([file.label for file in files], path.name)
    return files


def _image(row: dict[str, Any], manifest: Path, number: int) -> ImageFile:
    name = row.get("path")
    if not isinstance(name, str) or not name:
        raise DataError(f"Line {number} of '{manifest.name}' has no path. Expected path and label.")
    image = manifest.parent / name
    if not image.is_file():
        raise DataError(
            f"Line {number} of '{manifest.name}' names '{name}', which does not exist beside the manifest."
        )
    label = _checked_label(row.get("label"), manifest.name, number)
    if isinstance(label, list):
        raise DataError(
            f"Line {number} of '{manifest.name}' labels an image with a list. Expected a class index."
        )
    return ImageFile(image, name, label)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = reader.fieldnames or []
            if "path" not in columns or set(columns) - {"path", "label"}:
                received = ", ".join(f"'{c}'" for c in columns) or "nothing"
                raise DataError(
                    f"The header of '{path.name}' is {received}. Expected the columns path,label (or path)."
                )
            for row in reader:
                label = row.get("label")
                yield reader.line_num, {"path": row["path"], "label": _number(label) if label else None}
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"The manifest '{path.name}' is not a UTF-8 .csv file: {error}.") from error


def _json_rows(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Line number, byte offset and object of every line that is not blank."""
    offset, found = 0, False
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                found = True
                yield number, offset, _json_object(line, path.name, number)
            offset += len(line)
    if not found:
        raise DataError(f"The manifest '{path.name}' lists no samples. Add a line for each.")


def _json_object(line: bytes, file: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError as error:
        raise DataError(f"Line {number} of '{file}' is nested too deeply. Expected arrays.") from error
    except ValueError as error:
        raise DataError(f"Line {number} of '{file}' is not JSON: {str(error).rstrip('.')}.") from error
    if not isinstance(row, dict):
        raise DataError(
            f'Line {number} of \'{file}\' is not an object. Expected one like {{"path": …, "label": …}}.'
        )
    return row


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked_label(label: Any, file: str, number: int) -> Any:
    if isinstance(label, list):
        _array(label, "label", f"Line {number} of '{file}'")
    if label is None or isinstance(label, list) or (isinstance(label, int | float) and abs(label) < _LARGEST):
        return label
    raise DataError(f"Line {number} of '{file}' has the label '{label}'. Expected a number: the class index.")


def _check_all_or_none(labels: Sequence[Any], file: str) -> None:
    missing = sum(label is None for label in labels)
    if 0 < missing < len(labels):
        raise DataError(
            f"{missing} of the {len(labels)} rows of '{file}' have no label. Label all of them or none."
        )


def _array(value: Any, name: str, where: str) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: the array '{name}' has rows of different lengths.") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: the array '{name}' holds {array.dtype.name}. Expected numbers.")
    return array
