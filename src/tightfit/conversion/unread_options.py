"""Options of a conversion that a kind of model does not read: refused, never ignored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.formats import FORMATS, is_spec, is_tflite
from tightfit.errors import OptionError
from tightfit.units import format_choice

_SPELLED: Final = {
    "batch": "batch", "shapes": "input-shape", "signature": "signature", "backend": "backend",
    "channel_last": "channel-last", "held": "hold",
}  # fmt: skip
"""Field → its option."""


def refuse_unread(source: Any, options: ConversionOptions) -> None:
    """Refuse an option that the kind of a model does not read.

    Args:
        source: a path; objects and ``module:attribute`` may be of any kind.
        options: of the conversion.

    Raises:
        OptionError: names the option, and the kinds of models that it is for.

    Example:
        >>> refuse_unread("net.tflite", ConversionOptions(signature="serve"))
        Traceback (most recent call last):
        tightfit.errors.OptionError: Received --signature for 'net.tflite', which is a .tflite already; it \
is for a SavedModel. Leave it out.
    """
    if not isinstance(source, str | os.PathLike) or is_spec(str(source)):
        return
    path, plain = Path(source), ConversionOptions()
    row = next((row for row in FORMATS if row.fits(path)), None)
    if row is None and not is_tflite(path):
        return  # opening it says so
    read = frozenset() if row is None else row.reads
    for field, option in _SPELLED.items():
        if getattr(options, field) != getattr(plain, field) and field not in read:
            kinds = [each.title for each in FORMATS if field in each.reads]
            what = "a .tflite already" if row is None else row.title
            raise OptionError(
                f"Received --{option} for '{path.name}', which is {what}; it is for {format_choice(kinds)}. "
                "Leave it out."
            )
