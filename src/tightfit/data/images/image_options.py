"""How image files become arrays: the options of ``--image``, and what of them a model's input decides.

Decoding is ``images``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tightfit.data.sample import InputSpec, fit_shape, shape_text
from tightfit.errors import DataError, OptionError, unknown_name


@dataclass(frozen=True)
class ImageOptions:
    """How image files become arrays.

    Args:
        size: (height, width) in pixels; None takes the model's.
        crop: fraction of the largest centred area with the shape of ``size`` (for a square ``size``: of the
            shorter side); None resizes the whole image, whatever its shape.
        mean: subtracted, on pixel values 0-255; one number, or one for each channel.
        std: divided by, likewise.
        channels: 1 (grey) or 3 (RGB); None takes the model's.
        layout: ``nhwc`` or ``nchw``; None takes the model's.
        dtype: ``float32``, or ``uint8`` for the pixels as they are (then mean and std must not be given).
    """

    size: tuple[int, int] | None = None
    crop: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channels: int | None = None
    layout: str | None = None
    dtype: str = "float32"

    @classmethod
    def parse(cls, text: str) -> ImageOptions:
        """The options of a text such as ``size=224,crop=0.875,mean=127,std=128``.

        Raises:
            OptionError: for an unknown name or a value that it does not take.

        Example:
            >>> ImageOptions.parse("size=224x192,mean=123.7/116.3/103.5,std=58").mean
            (123.7, 116.3, 103.5)
        """
        values: dict[str, Any] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            key, _, value = part.partition("=")
            if key not in _READERS:
                raise OptionError(unknown_name("image option", key, _READERS))
            try:
                values[key] = _READERS[key](value)
            except ValueError:
                raise OptionError(
                    f"Image option '{key}' received '{value}'. Expected {_EXPECTED[key]}."
                ) from None
        if values.get("dtype") == "uint8" and {"mean", "std"} & set(values):
            raise OptionError("Image option 'dtype=uint8' keeps the pixels: leave out mean and std.")
        return cls(**values)

    def for_input(self, spec: InputSpec) -> ImageOptions:
        """The options with everything that was left open taken from the model's input.

        Raises:
            DataError: when the images would not have the shape that the input takes.
        """
        shape = spec.sample_shape
        if len(shape) != 3:
            raise DataError(
                f"Input '{spec.name}' takes {shape_text(shape)}, which is not an image. Pass an .npz file."
            )
        layout = self.layout or ("nchw" if shape[0] in (1, 3) and shape[2] not in (1, 3) else "nhwc")
        height, width, channels = shape if layout == "nhwc" else (shape[1], shape[2], shape[0])
        size = self.size or (height, width)
        channels = self.channels or (channels if channels > 0 else 3)
        if min(size) < 1:
            raise DataError(
                f"Input '{spec.name}' takes images of any size. Pass one, as in --image size=224."
            )
        made = (*size, channels) if layout == "nhwc" else (channels, *size)
        if channels not in (1, 3) or fit_shape(np.broadcast_to(np.uint8(0), made), spec) is None:
            raise DataError(
                f"The image options make samples of {shape_text(made)} ({layout}), but input '{spec.name}' "
                f"takes {shape_text(shape)}. Images have 1 or 3 channels; change size, channels or layout."
            )
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, channels):
                raise DataError(f"Image option '{name}' has {len(numbers)} numbers for {channels} channels.")
        return replace(self, size=size, channels=channels, layout=layout)


def missing_options(what: str, spec: InputSpec) -> DataError:
    """The error for images without options, with the size that the model takes."""
    sides = [d for d in spec.sample_shape if d not in (1, 3)] or [224]
    size = str(sides[0]) if len(set(sides)) == 1 else "x".join(map(str, sides[:2]))
    return DataError(
        f"{what} holds images, but how the model expects its pixels is not known. Pass --image with the "
        f"training's preprocessing, as in size={size},crop=0.875,mean=127,std=128 (input '{spec.name}' takes "
        f"{shape_text(spec.sample_shape)}); size={size} alone feeds pixel values 0 to 255."
    )


def _read_size(text: str) -> tuple[int, int]:
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError
    return sides[0], sides[-1]


def _read_numbers(text: str) -> tuple[float, ...]:
    numbers = tuple(float(n) for n in text.split("/"))
    if not all(np.isfinite(numbers)):
        raise ValueError
    return numbers


def _read_std(text: str) -> tuple[float, ...]:
    numbers = _read_numbers(text)
    if min(numbers) < 1:  # meant for pixels of 0 to 1: dividing 0 to 255 by it is always a slip
        raise ValueError
    return numbers


def _read_crop(text: str) -> float:
    crop = float(text)
    if not 0 < crop <= 1:
        raise ValueError
    return crop


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    "size": _read_size,
    "crop": _read_crop,
    "mean": _read_numbers,
    "std": _read_std,
    "channels": lambda text: int(_one_of("1", "3")(text)),
    "layout": _one_of("nhwc", "nchw"),
    "dtype": _one_of("float32", "uint8"),
}
_EXPECTED = {
    "size": "pixels, as in 224 or 192x256 (height x width)",
    "crop": "a fraction above 0 and up to 1",
    "mean": "a number on the scale of pixel values 0 to 255, or one for each channel as in 123.7/116.3/103.5",
    "std": "a number of 1 or more, since pixel values are 0 to 255 (a std on the scale 0 to 1 times 255)",
    "channels": "1 or 3",
    "layout": "nhwc or nchw",
    "dtype": "float32 or uint8",
}
