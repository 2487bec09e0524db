"""Words and numbers of a training that are checked before Keras is loaded."""

from __future__ import annotations

from typing import Final

from tightfit.errors import OptionError, unknown_name

RANGES: Final = ("learned", "average", "fixed")
"""How ranges move, see ``fake_quant.quantizers``."""

SCHEDULE_NAMES: Final = ("polynomial", "constant", "one-shot")
"""Names of ``transforms.sparsity_schedules.SCHEDULES``."""


def check_ranges(ranges: str) -> str:
    """Return the word when it is a way to move ranges.

    Raises:
        OptionError: it is none of them.
    """
    if ranges not in RANGES:
        raise OptionError(unknown_name("way to move ranges", ranges, RANGES))
    return ranges


def check_schedule(name: str) -> str:
    """Return the name of a schedule when it is one.

    Raises:
        OptionError: it is none; the closest one is named.
    """
    if name not in SCHEDULE_NAMES:
        raise OptionError(unknown_name("schedule", name, SCHEDULE_NAMES))
    return name


def check_sparsity(sparsity: float) -> float:
    """Return a share of zeros back when it is one.

    Raises:
        OptionError: it is outside of [0, 1); 80 was meant as 0.8.

    Example:
        >>> check_sparsity(0.8)
        0.8
    """
    if not 0.0 <= sparsity < 1.0:
        hint = f" Did you mean {sparsity / 100:g}?" if 1.0 < sparsity < 100.0 else ""
        raise OptionError(
            f"A sparsity is a share of zeros from 0 up to below 1; received {sparsity:g}.{hint}"
        )
    return sparsity
