"""Decodes an image file the way a model was trained to see it.

Crop first, then resize, then scale: the centre of ``crop`` times the shorter side is cut out, resized with
Pillow's antialiased bicubic filter, then ``(x - mean) / std`` on pixel values 0-255. EXIF orientation is not
applied, as in Keras and torchvision. The options are ``image_options``, finding the files is ``image_files``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import DataError
from tightfit.types import Array

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

# Pillow clips these to 8 bits when it converts them, so the picture would be lost without a word.
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode(source: Path | bytes, options: ImageOptions, where: str = "") -> Array:
    """One image as uint8 array (height, width, channels), cut out and resized.

    Args:
        source: the file, or its content.
        options: complete, as ``for_input`` gives them.
        where: what messages call content without a file.

    Raises:
        DataError: names the file when it cannot be decoded.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only data of images needs Pillow

    name = f"'{source.name}' in '{source.parent.name}'" if isinstance(source, Path) else where
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            return decode_open(image, options, name)
    except UnidentifiedImageError:
        raise DataError(
            f"{name} is not an image that Pillow can read; expected such as a JPEG or PNG. Remove it."
        ) from None
    except DataError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise errors of any class
        said = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"Image {name} cannot be decoded: {said}. Save it again or remove it.") from error


def decode_open(image: Image.Image, options: ImageOptions, where: str) -> Array:
    """An image of Pillow as uint8 array (height, width, channels), cut out and resized.

    Args:
        image: decoded or opened.
        options: complete, as ``for_input`` gives them.
        where: what messages call it.

    Raises:
        DataError: it has more than 8 bits a pixel.
    """
    from PIL import Image as Pillow  # noqa: PLC0415 - only data of images needs Pillow

    _refuse_wide(image, where)
    pixels = _convert(image, options.channels)
    height, width = options.size or (pixels.height, pixels.width)
    if options.crop is not None:
        pixels = pixels.crop(crop_box(pixels.size, (width, height), options.crop))
    array = np.asarray(pixels.resize((width, height), Pillow.Resampling.BICUBIC))
    return array.reshape(height, width, options.channels or 3)


def scale(array: Array, options: ImageOptions) -> Array:
    """Pixels as the float32 (or uint8) numbers that the model takes, in its layout, without a batch."""
    if options.dtype != "uint8":
        scaled = array.astype(np.float32)
        scaled -= np.asarray(options.mean, np.float32)
        scaled /= np.asarray(options.std, np.float32)
        array = scaled
    return np.ascontiguousarray(array.transpose(2, 0, 1)) if options.layout == "nchw" else array


def crop_box(have: tuple[int, int], want: tuple[int, int], fraction: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the centred crop; every pair is (width, height).

    Rounding follows EfficientNet's preprocessing: the side is cut off to whole pixels, an odd rest goes left
    and up.

    Example:
        >>> crop_box((292, 292), (224, 224), 0.875)
        (19, 19, 274, 274)
        >>> crop_box((400, 300), (224, 224), 1.0)
        (50, 0, 350, 300)
    """
    unit = min(have[0] / want[0], have[1] / want[1]) * fraction
    width, height = (max(1, int(side * unit + 1e-6)) for side in want)
    left, top = (have[0] - width + 1) // 2, (have[1] - height + 1) // 2
    return left, top, left + width, top + height


def _refuse_wide(image: Image.Image, name: str) -> None:
    if image.mode in _WIDE_MODES:
        raise DataError(
            f"Image {name} has more than 8 bits a pixel (mode {image.mode}). Pass .npz arrays instead."
        )


def _convert(image: Image.Image, channels: int | None) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if channels == 1 else "RGB")
