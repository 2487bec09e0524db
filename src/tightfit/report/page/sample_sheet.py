"""A sheet of samples as one PNG: images as they reach the model, signals as curves, with their labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from tightfit.data.sample import Sample
from tightfit.errors import printable
from tightfit.types import Array

TILE: Final = 112
"""Pixels of one sample's side."""
_CAPTION: Final = 16
_COLUMNS: Final = 6


def sample_sheet(samples: Sequence[Sample]) -> bytes:
    """Return a PNG with one tile a sample, six in a row.

    Values are scaled from the least to the greatest of each sample, so that a wrong range shows the picture.

    Args:
        samples: at least one.
    """
    rows = -(-len(samples) // _COLUMNS)
    columns = min(_COLUMNS, len(samples))
    sheet = Image.new("RGB", (columns * TILE, rows * (TILE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, sample in enumerate(samples):
        left, top = place % _COLUMNS * TILE, place // _COLUMNS * (TILE + _CAPTION)
        sheet.paste(tile_of(next(iter(sample.inputs.values()))), (left, top))
        draw.text((left + 2, top + TILE + 2), _caption(sample), fill="black")
    packed = io.BytesIO()
    sheet.save(packed, "PNG")
    return packed.getvalue()


def tile_of(array: Array) -> Image.Image:
    """Return a picture of one input: an image, or curves of at most three channels.

    Example:
        >>> tile_of(np.zeros((1, 8, 8, 3), np.float32)).size
        (112, 112)
    """
    values = np.asarray(array[0] if array.ndim > 1 and array.shape[0] == 1 else array, np.float64)
    pixels = _as_pixels(values)
    if pixels is None:
        return _curves(values)
    return Image.fromarray(pixels).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)


def _as_pixels(values: Array) -> Array | None:
    """Return bytes of an image, (H, W) or (H, W, 3); None where the input has no such shape."""
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3):
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    is_image = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)
    if not is_image or min(values.shape[:2]) < 4:
        return None
    return (_scaled(values) * 255).astype(np.uint8)


def _curves(values: Array) -> Image.Image:
    """Return the values along their longest axis."""
    tile = Image.new("RGB", (TILE, TILE), "#f4f4f4")
    draw = ImageDraw.Draw(tile)
    flat = _scaled(values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(-1, 1))
    for column in flat.T[:3]:
        x = np.linspace(2, TILE - 3, len(column))
        y = (1 - column) * (TILE - 6) + 3
        draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill="#27548a", width=1)
    return tile


def _scaled(values: Array) -> Array:
    """Return values between 0 and 1; what is not finite becomes 0."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if values.size:
        low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low or 1.0))


def _caption(sample: Sample) -> str:
    label = sample.label if sample.label is not None else next(iter(sample.labels.values()), None)
    shown = (
        ""
        if label is None
        else f": {label if isinstance(label, int | str) else np.asarray(label).ravel()[:3]}"
    )
    return printable(f"{sample.index}{shown}", 18).encode("latin-1", "replace").decode("latin-1")
