"""Label files of detectors beside images, as YOLO writes them.

A line is ``class x y width height`` for each box. The numbers are the box's centre and size as fractions of
the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tightfit.data.images.image_decoding import crop_box
from tightfit.data.images.image_options import ImageOptions
from tightfit.types import Array

_MOST_BYTES = 1 << 20


def box_files(images: Sequence[Path]) -> dict[Path, dict[str, Array]] | None:
    """Return image → ``boxes`` (corners as fractions) and ``classes``; None without such files.

    An image without a file, or with an empty one, has no boxes.
    """
    files = {image: image.with_suffix(".txt") for image in images}
    if not any(file.is_file() for file in files.values()):
        return None
    found = {}
    for image, file in files.items():
        rows = read_boxes(file) if file.is_file() else np.zeros((0, 5))
        if rows is None:
            return None
        centre, half = rows[:, 1:3], rows[:, 3:5] / 2
        corners = np.concatenate([centre - half, centre + half], axis=1)
        found[image] = {"boxes": corners, "classes": rows[:, 0].astype(np.int64)}
    return found


def read_boxes(path: Path) -> Array | None:
    """Return the rows of a label file, five numbers each; None where it is none."""
    if path.stat().st_size > _MOST_BYTES:
        return None
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = np.array([[float(v) for v in line.split()] for line in lines if line.strip()]).reshape(-1, 5)
    except (UnicodeDecodeError, ValueError):
        return None
    good = np.isfinite(rows).all() and (rows[:, 0] == np.floor(rows[:, 0])).all() and (rows[:, 0] >= 0).all()
    return rows if good and (np.abs(rows[:, 1:]) <= 2).all() else None


def boxes_after_crop(boxes: Array, path: Path, options: ImageOptions) -> Array:
    """Return boxes as fractions of what is left of an image after its crop, cut off at the border.

    Args:
        boxes: corners as fractions of the whole image.
        path: the image, whose size is read.
        options: how the image is read.
    """
    if options.crop is None or not len(boxes):
        return boxes
    from PIL import Image  # noqa: PLC0415 - only data of images needs Pillow

    with Image.open(path) as image:
        width, height = image.size
    wanted = options.size or (height, width)
    left, top, right, bottom = crop_box((width, height), (wanted[1], wanted[0]), options.crop)
    moved = boxes * [width, height, width, height] - [left, top, left, top]
    return np.asarray(np.clip(moved / [right - left, bottom - top, right - left, bottom - top], 0.0, 1.0))
