"""Other ways to read the same input: the mistakes that people make when they feed a model.

One row of ``READINGS`` each: when it is worth trying, what it does, how to make it so. Whether the model
answers better then is measured by ``diagnosis.doctor.examine`` and judged by ``reading_checks``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.types import Array

RANGE: Final = "input_range"
ORDER: Final = "channel_order"
POLARITY: Final = "inverted"
KINDS: Final = (RANGE, ORDER, POLARITY)

_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Seen:
    """The values and the shape (with batch) of an input as it is fed."""

    low: float
    high: float
    shape: tuple[int, ...]

    @property
    def is_bytes(self) -> bool:
        """True for values as in image files, 0 to 255."""
        return self.low >= 0.0 and 16.0 < self.high <= 256.0

    @property
    def is_unit(self) -> bool:
        """True for values from 0 to 1."""
        return self.low >= 0.0 and 0.2 < self.high <= 1.01

    @property
    def is_signed(self) -> bool:
        """True for values from -1 to 1."""
        return -1.01 <= self.low < -0.2 and 0.2 < self.high <= 1.01

    @property
    def colour_axis(self) -> int | None:
        """The axis of red, green and blue, None where there is none."""
        if len(self.shape) != 4 or (self.shape[3] == 3) == (self.shape[1] == 3):
            return None
        return 3 if self.shape[3] == 3 else 1


@dataclass(frozen=True)
class OtherReading:
    """One row of the table.

    Args:
        kind: the finding that it proves.
        applies: whether it is worth trying.
        apply: the array read this way.
        words: what it does, after "when".
        fix: how to feed it so.
    """

    name: str
    kind: str
    applies: Callable[[Seen], bool]
    apply: Callable[[Array, Seen], Array]
    words: str
    fix: str

    @property
    def magnifies(self) -> bool:
        """True when values become larger, which alone makes answers more certain."""
        return self.name in ("times 255", "signed to bytes", "unit to signed", "unit standardized")


def _affine(scale: float, offset: float) -> Callable[[Array, Seen], Array]:
    def apply(array: Array, seen: Seen) -> Array:  # noqa: ARG001 - the signature of all readings
        return np.asarray(array * np.float32(scale) + np.float32(offset), np.float32)

    return apply


def _standardized(array: Array, seen: Seen) -> Array:
    axis = seen.colour_axis or 3
    shape = [-1 if i == axis else 1 for i in range(4)]
    values = array / np.float32(255.0 if seen.is_bytes else 1.0)
    return np.asarray((values - _MEAN.reshape(shape)) / _DEVIATION.reshape(shape), np.float32)


def _reversed(array: Array, seen: Seen) -> Array:
    return np.ascontiguousarray(np.flip(array, seen.colour_axis or 3))


def _inverted(array: Array, seen: Seen) -> Array:
    return np.asarray(np.float32(seen.low + seen.high) - array, np.float32)


def _has_colours(seen: Seen) -> bool:
    return seen.colour_axis is not None


READINGS: Final[dict[str, OtherReading]] = {
    row.name: row
    for row in (
        OtherReading(
            "over 255", RANGE, lambda s: s.is_bytes, _affine(1 / 255, 0.0),
            "divided by 255", "Divide by 255 (with images: --image mean=0,std=255).",
        ),
        OtherReading(
            "bytes to signed", RANGE, lambda s: s.is_bytes, _affine(1 / 127.5, -1.0),
            "brought to -1 … 1", "Feed (x - 127.5) / 127.5 (with images: --image mean=127.5,std=127.5).",
        ),
        OtherReading(
            "standardized", RANGE, lambda s: s.is_bytes and _has_colours(s), _standardized,
            "standardized with ImageNet's mean and deviation",
            "Standardize them (with images: --image mean=123.7/116.3/103.5,std=58.4/57.1/57.4).",
        ),
        OtherReading(
            "unit standardized", RANGE, lambda s: s.is_unit and _has_colours(s), _standardized,
            "standardized with ImageNet's mean and deviation",
            "Standardize them (with images: --image mean=123.7/116.3/103.5,std=58.4/57.1/57.4).",
        ),
        OtherReading(
            "times 255", RANGE, lambda s: s.is_unit, _affine(255.0, 0.0),
            "multiplied by 255", "Feed 0 … 255: the model scales by itself (with images: no mean, no std).",
        ),
        OtherReading(
            "unit to signed", RANGE, lambda s: s.is_unit, _affine(2.0, -1.0),
            "brought from 0 … 1 to -1 … 1", "Feed 2x - 1 (with images: --image mean=127.5,std=127.5).",
        ),
        OtherReading(
            "signed to unit", RANGE, lambda s: s.is_signed, _affine(0.5, 0.5),
            "brought from -1 … 1 to 0 … 1", "Feed (x + 1) / 2 (with images: --image mean=0,std=255).",
        ),
        OtherReading(
            "signed to bytes", RANGE, lambda s: s.is_signed, _affine(127.5, 127.5),
            "brought from -1 … 1 to 0 … 255", "Feed 0 … 255 (with images: no mean, no std).",
        ),
        OtherReading(
            "colours reversed", ORDER, _has_colours, _reversed,
            "read with its colours in the other order (BGR for RGB)",
            "Reverse the colour axis before feeding; OpenCV reads BGR.",
        ),
        OtherReading(
            "inverted", POLARITY, lambda s: s.is_bytes or s.is_unit or s.is_signed, _inverted,
            "inverted (light for dark)", "Invert the samples: feed low + high - x.",
        ),
    )
}  # fmt: skip
