"""Arguments that a caller may spell in several ways: sizes, latencies, limits, images, progress."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tightfit.data.images.image_options import ImageOptions
from tightfit.errors import OptionError
from tightfit.evaluation.metrics.spelling import spelled, split_limits

_UNITS: Final = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
                 "kib": 2**10, "mib": 2**20, "gib": 2**30}  # fmt: skip

_FEWEST_BYTES: Final = 1000
"""A number without a unit below this was not meant in bytes."""
_MILLISECONDS: Final = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001, "µs": 0.001}

Image = ImageOptions | str | Mapping[str, object] | None
"""``ImageOptions``, its text (``size=224,crop=0.875``), its fields by name, or None."""


def parse_size(text: str | int | None) -> int | None:
    """Return bytes for ``5.3MB``, ``300k``, ``4MiB`` or a number of bytes.

    Raises:
        OptionError: it is no size.

    Example:
        >>> parse_size("1.5MB"), parse_size("4 KiB")
        (1500000, 4096)
    """
    if text is None or isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _UNITS:
        raise OptionError(
            f"Received the size '{text}'; expected a number with B, kB, MB, GB, KiB, MiB or GiB."
        )
    if not match[2] and float(match[1]) < _FEWEST_BYTES:
        raise OptionError(f"Received the size '{text}' without a unit; write {text}MB, {text}kB or {text}B.")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_latency(text: str | float | None) -> tuple[float | None, float | None]:
    """Return (milliseconds, ratio to the original): ``12ms``, ``1.5s``, ``800us``, ``0.8x`` or milliseconds.

    Text below 2 needs its unit: it may be a ratio.

    Raises:
        OptionError: it is neither.

    Example:
        >>> parse_latency("12ms"), parse_latency("0.8x")
        ((12.0, None), (None, 0.8))
    """
    if text is None or not isinstance(text, str):
        return text, None
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s|us|µs|x|×)?\s*", text)
    if match is None:
        raise OptionError(f"Received the latency '{text}'; expected milliseconds (12ms) or a ratio (0.8x).")
    value = float(match[1])
    if not match[2] and value < 2:
        raise OptionError(f"Received the latency '{text}' without a unit; write {text}ms or {text}x.")
    return (None, value) if match[2] in ("x", "×") else (value * _MILLISECONDS[match[2] or ""], None)


Size = int | str | None
"""Bytes, or text such as ``1MB``."""

Drops = str | float | Mapping[str, float | str] | None
"""One limit for the main metric, ``metric=limit,…``, or limits by metric."""


def parse_drops(text: Drops) -> tuple[float | None, dict[str, float | str]]:
    """Return the one limit of ``0.01``, or the limit of each metric of ``map50=0.01,rmse=5%``.

    Raises:
        OptionError: one looks like percent, or a metric is unknown.

    Example:
        >>> parse_drops("0.02"), parse_drops("top1=0.01,rmse=5%")
        ((0.02, {}), (None, {'top1': 0.01, 'rmse': '5%'}))
    """
    if text is None:
        return None, {}
    if isinstance(text, Mapping):
        return None, dict(text)
    text = str(text)
    percent = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*%\s*", text)
    if percent is not None:
        text = repr(float(percent[1]) / 100)
    one, several = split_limits(text)
    if one is not None and not 0 <= one < 1:
        raise OptionError(
            f"Received the drop {text}; expected a fraction, 0 to 1. One point of accuracy is 0.01."
        )
    limits = {spelled(w): w.limit for w in several if w.limit is not None}
    return one, {name: str(limit) if limit.relative else limit.amount for name, limit in limits.items()}


def image_options(image: Image) -> ImageOptions | None:
    """Return how images become arrays.

    Raises:
        OptionError: the text or a field is unknown.

    Example:
        >>> image_options("size=224,crop=0.875") == image_options({"size": 224, "crop": 0.875})
        True
    """
    if image is None or isinstance(image, ImageOptions):
        return image
    if isinstance(image, str):
        return ImageOptions.parse(image)
    words = (f"{k}={'/'.join(map(str, v)) if isinstance(v, list | tuple) else v}" for k, v in image.items())
    return ImageOptions.parse(",".join(words))
