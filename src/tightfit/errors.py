"""The exceptions of the package, and the formatting of their messages.

Every message is one sentence or two: what was received, what was expected, what to do.
This module does not depend on files, graphs or the runtime.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST_SENTENCE: Final = 300
"""Characters of a message on the command line."""
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class TightfitError(Exception):
    """Wrong use or bad input: the command line prints the message and exits with 2.

    The message may quote names from a hostile file; as text it is one line without control characters.
    """

    def __str__(self) -> str:
        return sentence(super().__str__())


class ModelError(TightfitError):
    """A model file or graph cannot be read, is inconsistent, or does not fit the function."""


class DataError(TightfitError):
    """Data is missing, unreadable, of the wrong shape or dtype, or does not match the model."""


class QuantizationError(TightfitError):
    """A plan cannot be made or applied as asked."""


class RuntimeFailureError(TightfitError):
    """LiteRT refused a model, or its child process died while it ran one."""


class OptionError(TightfitError):
    """The value of an option is unknown or out of range."""


def printable(text: object, limit: int | None = None) -> str:
    r"""Return the text with control characters replaced, and without its middle where it is too long.

    Terminal escapes, line breaks and characters that reverse the direction of writing cannot change how the
    rest of a report looks.

    Example:
        >>> printable("conv\x1b[31m"), printable("a_very_long_tensor_name", 11)
        ('conv�[31m', 'a_ver…_name')
    """
    text = str(text)
    shown = text if text.isascii() and text.isprintable() else "".join(map(_shown, text))
    if limit is None or len(shown) <= limit:
        return shown
    tail = (limit - 1) // 2
    head = limit - 1 - tail
    return f"{shown[:head]}…{shown[len(shown) - tail :]}"


def sentence(text: object, limit: int | None = None) -> str:
    r"""Return the text on one line without control characters, and without its middle where it is too long.

    Example:
        >>> sentence("a name\nof \x07 two lines")
        'a name of � two lines'
    """
    return printable(" ".join(str(text).split()), limit)


def first_line(error: BaseException) -> str:
    r"""Return one line of an error's message: the line with ``error:``, else the first.

    Example:
        >>> first_line(ValueError("loc: error: no such op\nmore"))
        'loc: error: no such op'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line] or lines or [type(error).__name__]
    return errors[0]


def _shown(character: str) -> str:
    return _REPLACEMENT if unicodedata.category(character) in _UNSEEN else character


def unknown_name(what: str, received: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not in a table, with the closest match.

    Example:
        >>> unknown_name("scheme", "int7", ["int8", "float16"])
        "Unknown scheme 'int7'. Known: float16, int8. Did you mean 'int8'?"
    """
    names = sorted(known)
    received = printable(received, 60)
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(received.casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean '{folded[close[0]]}'?" if close else ""
    return f"Unknown {what} '{received}'. Known: {', '.join(names)}.{hint}"
