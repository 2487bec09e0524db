"""The exceptions a user can meet.

Every message is one sentence or two: what was received, what was expected, what to do.
Nothing here knows about files, graphs or the runtime.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TightfitError(Exception):
    """Wrong use or bad input: the command line prints the message and exits with 2."""


class ModelError(TightfitError):
    """A model file or graph cannot be read, is inconsistent, or is not what the verb needs."""


class DataError(TightfitError):
    """Data is missing, unreadable, of the wrong shape or dtype, or does not match the model."""


class QuantizationError(TightfitError):
    """A plan cannot be made or applied as asked."""


class RuntimeFailureError(TightfitError):
    """LiteRT refused a model, or its child process died while it ran one."""


class OptionError(TightfitError):
    """An option has a value outside of what it takes."""


def unknown_name(what: str, received: str, known: Iterable[str]) -> str:
    """Gives the sentence for a name that is not in a table, with the closest match.

    Example:
        >>> unknown_name("scheme", "int7", ["int8", "float16"])
        "Unknown scheme 'int7'. Known: float16, int8. Did you mean 'int8'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(received, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"Unknown {what} '{received}'. Known: {', '.join(names)}.{hint}"
