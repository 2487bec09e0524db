"""Pictures that a Python caller holds: objects of Pillow, as ``datasets`` gives them, and paths of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightfit.data.images.image_decoding import SUFFIXES, decode, decode_open, scale
from tightfit.data.images.image_options import ImageOptions, missing_options
from tightfit.data.sample import InputSpec


class HeldImages:
    """Turns pictures among samples into the arrays that a model takes; anything else stays as it is.

    Args:
        options: how pixels become numbers; None: pictures of Pillow are their pixels, files are refused.
        specs: input name → the model's input.

    Attributes:
        met: whether a picture was among the samples so far.
    """

    def __init__(self, options: ImageOptions | None, specs: Mapping[str, InputSpec]) -> None:
        self._options, self._specs = options, specs
        self._complete: dict[str, ImageOptions] = {}
        self.met = False

    def array(self, name: str, value: Any, where: str) -> Any:
        """Return the array of a picture, or the value.

        Args:
            name: of the input.
            value: of a sample.
            where: what messages call the sample.

        Raises:
            DataError: a picture cannot be decoded, or is a file and no options are given.
        """
        is_file = _is_image_file(value)
        if not is_file and not is_picture(value):
            return value
        self.met = True
        spec = self._specs.get(name) or next(iter(self._specs.values()))
        if self._options is None:
            if is_file:
                raise missing_options(where, spec)
            return value
        if spec.name not in self._complete:
            self._complete[spec.name] = self._options.for_input(spec)
        options = self._complete[spec.name]
        pixels = decode(Path(value), options) if is_file else decode_open(value, options, where)
        return scale(pixels, options)


def is_picture(value: Any) -> bool:
    """Return whether a value is a picture of Pillow, which is not imported for it."""
    return hasattr(value, "getbands") and hasattr(value, "convert") and hasattr(value, "resize")


def _is_image_file(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and Path(value).suffix.lower() in SUFFIXES
