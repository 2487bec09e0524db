"""Images on disk, with labels from class folders or from a manifest.

Decoding is ``images``; the manifest's own format is ``manifest``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.data.dataset import scalar_labels
from tightfit.data.images.box_files import box_files, boxes_after_crop
from tightfit.data.images.decoded_images import Decoded
from tightfit.data.images.image_decoding import SUFFIXES, decode, scale
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import DataRecord
from tightfit.errors import DataError
from tightfit.types import Array


@dataclass(frozen=True)
class ImageFile:
    """One image: where it lies, what to call it, its label or None, its labels with names.

    Args:
        box_file: True for ``boxes`` and ``classes`` of a label file beside it, fractions of the whole image.
    """

    path: Path
    name: str
    label: Any = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    box_file: bool = False


class ImageFiles:
    """A list of image files as a source of records with the one array ``x``; each is decoded once."""

    kind = "images"
    decodes = True

    def __init__(
        self, name: str, files: Sequence[ImageFile], options: ImageOptions, notes: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.notes = tuple(notes)
        self._files = files
        self._options = options
        self._decoded = Decoded()

    @property
    def has_labels(self) -> bool:
        """True when the files lie in class folders or the manifest labels them."""
        return self._files[0].label is not None or bool(self._files[0].labels)

    def named_labels(self) -> dict[str, Array]:
        """The labels with names that are one number each."""
        columns = {name: [f.labels.get(name) for f in self._files] for name in self._files[0].labels}
        return {n: scalar_labels(c) for n, c in columns.items() if all(isinstance(v, int | float) for v in c)}

    def count(self) -> int:
        """The number of files."""
        return len(self._files)

    def labels(self) -> Array | None:
        """The labels, without opening a file."""
        labels = [f.label for f in self._files]
        return scalar_labels(labels) if all(isinstance(x, int | float) for x in labels) else None

    def read(self, indices: Sequence[int] | None) -> Iterator[DataRecord]:
        """Reads the images one at a time."""
        for i in range(len(self._files)) if indices is None else indices:
            file = self._files[i]
            labels = dict(file.labels)
            if file.box_file:
                labels["boxes"] = boxes_after_crop(labels["boxes"], file.path, self._options)
                left = labels["boxes"][:, 2:] > labels["boxes"][:, :2]
                labels = {name: rows[left.all(axis=1)] for name, rows in labels.items()}
            yield DataRecord(i, f"Image '{file.name}'", {"x": self._load(i)}, file.label, labels)

    def _load(self, index: int) -> Array:
        pixels = self._decoded.get(index)
        if pixels is None:
            pixels = decode(self._files[index].path, self._options)
            self._decoded.put(index, pixels)
        return scale(pixels, self._options)

    def fingerprint(self) -> str:
        """SHA-256 over name, label and content of each file."""
        digest = hashlib.sha256()
        for file in self._files:
            label = f"{file.label}" + "".join(f"{k}{np.asarray(v).tolist()}" for k, v in file.labels.items())
            content = file.path.read_bytes()
            digest.update(f"{file.name}\0{label}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            digest.update(content)
        return digest.hexdigest()


def folder_images(root: Path) -> list[ImageFile]:
    """The images below a folder, in the order of their names; class folders give the labels.

    A class is the folder's position among its sorted siblings, or the number that its name starts with.
    Images that lie flat in ``root``, or in one folder without a number, have no labels, unless YOLO's label
    files lie beside them.

    Raises:
        DataError: when there are no images, or their classes are not clear.
    """
    flat = _images_in(root)
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    nested = [(folder, sorted(_images_below(folder))) for folder in folders]
    if not any(files for _, files in nested):
        if not flat:
            raise DataError(
                f"The folder '{root.name}' holds no images ({', '.join(sorted(SUFFIXES))}). Pass another."
            )
        boxes = box_files(flat)
        if boxes is not None:
            return [ImageFile(path, path.name, None, boxes[path], box_file=True) for path in flat]
        return [ImageFile(path, path.name) for path in flat]
    if flat:
        raise DataError(
            f"The folder '{root.name}' holds {len(flat)} images ('{flat[0].name}' …) beside {len(folders)} "
            "class folders. Move them into class folders, or pass a .csv manifest with columns path,label."
        )
    classes = _classes([folder.name for folder in folders], root.name)
    return [
        ImageFile(path, path.relative_to(root).as_posix(), label)
        for (_, files), label in zip(nested, classes, strict=True)
        for path in files
    ]


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if _is_image(p))


def _images_below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if _is_image(p))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _classes(names: Sequence[str], root: str) -> Sequence[int | None]:
    numbers = [re.match(r"\d+", name) for name in names]
    if all(numbers):
        return [int(n.group()) for n in numbers if n]
    if any(numbers):
        numbered = [name for name, n in zip(names, numbers, strict=True) if n]
        raise DataError(
            f"{len(numbered)} of the {len(names)} class folders in '{root}' start with a number "
            f"('{numbered[0]}'), so the classes are not clear. Number all or none, or pass a manifest."
        )
    return [None] if len(names) == 1 else list(range(len(names)))
