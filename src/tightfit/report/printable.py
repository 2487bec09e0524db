"""Names from model files, made safe to show: a file may call a tensor anything."""

from __future__ import annotations

import unicodedata

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object, limit: int | None = None) -> str:
    r"""Gives the text with control characters replaced, and its middle left out where it is too long.

    Terminal escapes, line breaks and characters that reverse the direction of writing cannot change how the
    rest of a report looks.

    Example:
        >>> printable("conv\x1b[31m"), printable("a_very_long_tensor_name", 11)
        ('conv�[31m', 'a_ver…_name')
    """
    shown = "".join(_REPLACEMENT if unicodedata.category(c) in _UNSEEN else c for c in str(text))
    if limit is None or len(shown) <= limit:
        return shown
    tail = (limit - 1) // 2
    head = limit - 1 - tail
    return f"{shown[:head]}…{shown[len(shown) - tail :]}"
