"""Lists of samples in a ``.csv`` or ``.jsonl`` file.

A ``.csv`` has a header with ``path`` and, optionally, ``label`` or columns named as the model's outputs; a
line of a ``.jsonl`` is an object with ``path`` or with one array for each input of the model, and optionally
``label``, keys named as outputs, or ``labels``, an object of such. A label is a number, text, or a list (in
a ``.csv`` as JSON). Paths are relative to the manifest.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.images.image_files import ImageFile
from tightfit.data.sample import WEIGHT, DataRecord
from tightfit.errors import DataError
from tightfit.types import Array

_CHUNK_BYTES = 1 << 20
_LARGEST = 2**63  # a label is an index or a real number


class JsonArrays:
    """A ``.jsonl`` file whose lines hold arrays, as a source of records; only line offsets are held."""

    kind = "arrays"
    decodes = False
    notes: Sequence[str] = ()

    def __init__(self, path: Path, names: Collection[str] = ()) -> None:
        self.name = path.name
        self._path = path
        self._known = set(names)
        self._offsets: list[int] = []
        self._labels: list[Any] = []
        self._columns: dict[str, list[Any]] = {}
        for number, offset, row in _json_rows(path):
            self._offsets.append(offset)
            label, named = _taken_labels(row, self._known)
            self._labels.append(_number_of(_checked_label(label, path.name, number)))
            for name, value in named.items():
                numbers = _number_of(_checked_label(value, path.name, number, named=True))
                self._columns.setdefault(name, []).append(numbers)
        _check_all_or_none(self._labels, path.name)
        for name, column in self._columns.items():
            _check_all_or_none([*column, *[None] * (len(self._offsets) - len(column))], path.name, name)

    @property
    def has_labels(self) -> bool:
        """True when the lines have a label."""
        return self._labels[0] is not None or bool(self._columns)

    def named_labels(self) -> dict[str, Array]:
        """The labels with names that are one number a line."""
        return {n: scalar_labels(c) for n, c in self._columns.items() if _LIST not in c}

    def count(self) -> int:
        """The number of lines."""
        return len(self._offsets)

    def labels(self) -> Array | None:
        """The labels, when each is one number."""
        if self._labels[0] is None or _LIST in self._labels:
            return None
        return scalar_labels(self._labels)

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Parses the lines one at a time."""
        with self._path.open("rb") as stream:
            for i in range(len(self._offsets)) if indices is None else indices:
                stream.seek(self._offsets[i])
                where = f"Sample {i} of '{self.name}'"
                row = _json_object(stream.readline(), self.name, i + 1)
                label, named = _taken_labels(row, self._known)
                inputs = {name: _array(value, name, where) for name, value in row.items()}
                labels = {name: _label_array(value, name, where) for name, value in named.items()}
                plain = None if label is None else _label_array(label, "label", where)
                yield DataRecord(i, where, inputs, plain, labels)

    def fingerprint(self) -> str:
        """SHA-256 over the file."""
        digest = hashlib.sha256()
        with self._path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


_LIST: Final = "a list or text"
"""Stands for a label that is not one number, where only numbers are held."""

BOX_LABELS: Final = (
    "boxes", "classes", "class_ids", "crowd", "area", "keypoints", "text", "transcript", WEIGHT,
)  # fmt: skip
"""Names of labels that belong to a sample rather than to an output."""


def _number_of(label: Any) -> Any:
    return label if label is None or isinstance(label, int | float) else _LIST


def _taken_labels(row: dict[str, Any], known: Collection[str]) -> tuple[Any, dict[str, Any]]:
    """The label and the named labels, taken out of a line."""
    label, named = row.pop("label", None), {}
    inner = row.pop("labels", None)
    if isinstance(inner, dict):
        named.update(inner)
    elif inner is not None:
        named["labels"] = inner
    for name in [name for name in row if name in known or name in BOX_LABELS]:
        named[name] = row.pop(name)
    if set(named) == {"labels"} and label is None:
        return named["labels"], {}
    return label, named


def _label_array(value: Any, name: str, where: str) -> Any:
    """A label as it is, a list as an array."""
    return _array(value, name, where) if isinstance(value, list) else value


def manifest_images(path: Path, names: Collection[str] = ()) -> list[ImageFile] | None:
    """The images that a manifest lists, in its order, or None for a ``.jsonl`` of arrays.

    Args:
        path: the ``.csv`` or ``.jsonl`` file.
        names: of the model's outputs, which columns may have.

    Raises:
        DataError: names the line that is not understood or the image that is missing.
    """
    if path.suffix.lower() == ".csv":
        rows: Iterator[tuple[int, dict[str, Any]]] = _csv_rows(path, names)
    else:
        first = next(_json_rows(path))[2]
        if "path" not in first:
            return None
        rows = ((number, row) for number, _, row in _json_rows(path))
    files = [_image(row, path, number, names) for number, row in rows]
    if not files:
        raise DataError(f"The manifest '{path.name}' lists no samples. Add a row for each.")
    _check_all_or_none([file.label for file in files], path.name)
    for column in {name for file in files for name in file.labels}:
        _check_all_or_none([file.labels.get(column) for file in files], path.name, column)
    return files


def _image(row: dict[str, Any], manifest: Path, number: int, names: Collection[str]) -> ImageFile:
    name = row.get("path")
    if not isinstance(name, str) or not name:
        raise DataError(f"Line {number} of '{manifest.name}' has no path. Expected path and label.")
    image = manifest.parent / name
    if not image.is_file():
        raise DataError(
            f"Line {number} of '{manifest.name}' names '{name}', which does not exist beside the manifest."
        )
    where = f"Line {number} of '{manifest.name}'"
    label, named = _taken_labels(row, names)
    _checked_label(label, manifest.name, number)
    for each in named.values():
        _checked_label(each, manifest.name, number, named=True)
    plain = None if label is None else _label_array(label, "label", where)
    return ImageFile(
        image, name, plain, {n: _label_array(v, n, where) for n, v in named.items() if v is not None}
    )


def _csv_rows(path: Path, names: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = reader.fieldnames or []
            known = {"path", "label", "labels", *names, *BOX_LABELS}
            if "path" not in columns or set(columns) - known:
                received = ", ".join(f"'{c}'" for c in columns) or "nothing"
                outputs = f", and columns named as the outputs ({', '.join(names)})" if names else ""
                raise DataError(
                    f"The header of '{path.name}' is {received}. Expected the columns path,label (or "
                    f"path){outputs}."
                )
            for row in reader:
                cells = {c: _value(row[c]) for c in columns if c != "path" and row.get(c)}
                yield reader.line_num, {"path": row["path"], **cells}
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


def _value(text: str) -> Any:
    """A cell as a number, as a list where it is one in JSON, else as text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _checked_label(label: Any, file: str, number: int, *, named: bool = False) -> Any:
    if isinstance(label, list):
        _array(label, "label", f"Line {number} of '{file}'")
    is_number = isinstance(label, int | float) and abs(label) < _LARGEST
    if label is None or isinstance(label, list) or is_number or (named and isinstance(label, str)):
        return label
    raise DataError(
        f"Line {number} of '{file}' has the label '{label}'. Expected a number: the class index; text "
        "belongs under "
        "the name text."
    )


def _check_all_or_none(labels: Sequence[Any], file: str, name: str | None = None) -> None:
    missing = sum(label is None for label in labels)
    if 0 < missing < len(labels):
        which = "label" if name is None else f"label '{name}'"
        raise DataError(
            f"{missing} of the {len(labels)} rows of '{file}' have no {which}. Label all of them or none."
        )


def _array(value: Any, name: str, where: str) -> Array:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: the array '{name}' has rows of different lengths.") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: the array '{name}' holds {array.dtype.name}. Expected numbers.")
    return array
