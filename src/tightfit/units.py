"""Format numbers for people: ``5.3 MB``, ``0.28×``, ``−0.7 points``. All messages and reports use these.

A missing or non-finite number is ``—``; a number that rounds to zero has no sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

MISSING = "—"
MINUS = "−"
_UNITS = {"B": 1, "kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000}


def format_bytes(size_bytes: float | None) -> str:
    """Return a size in decimal units: one MB is 10⁶ bytes.

    Example:
        >>> format_bytes(5_312_000), format_bytes(178_300_000), format_bytes(640), format_bytes(None)
        ('5.3 MB', '178 MB', '640 B', '—')
    """
    if not _known(size_bytes):
        return MISSING
    unit, scale = "B", 1
    for name, step in _UNITS.items():
        if abs(size_bytes) >= 0.9995 * step:  # 999.6 kB is shown as 1.0 MB, not as 1000 kB
            unit, scale = name, step
    value = size_bytes / scale
    digits = 0 if unit == "B" or abs(value) >= 99.95 else 1
    return f"{_signed(value, digits)} {unit}"


def format_ratio(ratio: float | None) -> str:
    """Return a ratio to the original model.

    Example:
        >>> format_ratio(0.284), format_ratio(1.0), format_ratio(26.04), format_ratio(0.0123)
        ('0.28×', '1.00×', '26×', '0.012×')
    """
    if not _known(ratio):
        return MISSING
    digits = 0 if abs(ratio) >= 9.995 else 2 if abs(ratio) >= 0.0995 else 3
    return f"{_signed(ratio, digits)}×"


def format_percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction 0–1 as a percentage.

    Example:
        >>> format_percent(0.861), format_percent(1.0, digits=0)
        ('86.1 %', '100 %')
    """
    return f"{_signed(100 * fraction, digits)} %" if _known(fraction) else MISSING


def format_points(fraction: float | None) -> str:
    """Return a difference of two fractions in percentage points, always with its sign.

    Example:
        >>> format_points(-0.007), format_points(0.002), format_points(-0.00001)
        ('−0.7', '+0.2', '0.0')
    """
    return _signed(100 * fraction, 1, plus=True) if _known(fraction) else MISSING


def format_interval(low: float | None, high: float | None) -> str:
    """Return an interval of a difference in percentage points.

    Example:
        >>> format_interval(-0.016, 0.002)
        '−1.6 … +0.2'
    """
    return f"{format_points(low)} … {format_points(high)}" if _known(low) and _known(high) else MISSING


def format_milliseconds(latency_ms: float | None) -> str:
    """Return a time with three significant digits.

    Example:
        >>> format_milliseconds(9.034), format_milliseconds(0.0421), format_milliseconds(1130.4)
        ('9.03 ms', '0.042 ms', '1130 ms')
    """
    if not _known(latency_ms):
        return MISSING
    digits = 0 if latency_ms >= 99.95 else 1 if latency_ms >= 9.995 else 2 if latency_ms >= 0.0995 else 3
    return f"{_signed(latency_ms, digits)} ms"


def format_decibels(snr_db: float | None) -> str:
    """Return a signal-to-noise ratio.

    Example:
        >>> format_decibels(23.44)
        '23.4 dB'
    """
    return f"{_signed(snr_db, 1)} dB" if _known(snr_db) else MISSING


def format_number(value: float | None, digits: int = 3, *, plus: bool = False) -> str:
    """Return a number with ``digits`` significant digits, without an exponent.

    Example:
        >>> format_number(0.012345), format_number(-12.34), format_number(0.002, 2, plus=True)
        ('0.0123', '−12.3', '+0.0020')
    """
    if not _known(value):
        return MISSING
    leading = math.floor(math.log10(abs(value))) if value else 0
    return _signed(value, min(9, max(0, digits - 1 - leading)), plus=plus)


def format_choice(words: Sequence[str]) -> str:
    """Return words with commas, and "or" before the last.

    Example:
        >>> format_choice(["int8", "int16", "float32"]), format_choice(["int8"])
        ('int8, int16 or float32', 'int8')
    """
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless the count is one.

    Example:
        >>> format_count(1, "op"), format_count(1200, "sample")
        ('1 op', '1,200 samples')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _known(value: float | None) -> TypeGuard[float]:
    """True for a number that can be shown."""
    return value is not None and math.isfinite(value)


def _signed(value: float, digits: int, *, plus: bool = False) -> str:
    """The number with a typographic minus; a number that rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0 else "+" if plus else "") + text


def short_name(name: str, most: int = 48) -> str:
    """Return the first of the names that a converter joined with semicolons; of a long name its end.

    Example:
        >>> short_name("block8/relu/Relu6;block8/norm/add;block8/convolution")
        'block8/relu/Relu6'
    """
    first = name.split(";", maxsplit=1)[0]
    return first if len(first) <= most else f"…{first[1 - most :]}"
