"""The candidates that a search tries: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tightfit.errors import OptionError, unknown_name

EFFORTS: Final = ("quick", "normal", "thorough")


class Shrink(NamedTuple):
    """What makes the model smaller before its weights are stored.

    Args:
        way: a key of ``shrinking.WAYS``. amount: the share of zeros, the values that a tensor shares, or the
            share of the multiply–accumulates that is kept.
    """

    way: str
    amount: float


@dataclass(frozen=True)
class Recipe:
    """One candidate of the search.

    Args:
        name: the candidate's. scheme, interface: see ``quantization.scheme``.
        recovery: names of ``recovery.steps.STEPS``, which cost seconds to minutes.
        effort: the least effort that pays for it.
        last_resort: tried only where nothing else meets the budget, as it loses most of all.
        shrink: what is taken out of the model first, or None.
    """

    name: str
    scheme: str
    interface: str = "float32"
    recovery: tuple[str, ...] = ()
    effort: str = "quick"
    last_resort: bool = False
    shrink: Shrink | None = None

    @property
    def is_plain(self) -> bool:
        """True where a scheme is used as it is."""
        return self.name == self.scheme

    def goes_on_from(self, other: Recipe) -> bool:
        """True where another recipe's recoveries are the first of this one's.

        Example:
            >>> find_recipes(["int8x4+learned"])[0].goes_on_from(find_recipes(["int8x4+recovery"])[0])
            True
        """
        same = (self.scheme, self.interface, self.shrink) == (other.scheme, other.interface, other.shrink)
        first = self.recovery[: len(other.recovery)]
        return same and bool(first) and first == other.recovery != self.recovery


RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe("float16", "float16"),
    Recipe("weight8", "weight8"),
    Recipe("weight4", "weight4"),
    Recipe("dynamic", "dynamic"),
    Recipe("int8", "int8"),
    Recipe("int8-io-int8", "int8", "int8", effort="normal"),
    Recipe("int8-io-uint8", "int8", "uint8", effort="normal"),
    Recipe("int16x8", "int16x8"),
    Recipe("int8+bias", "int8", recovery=("bias-correction",)),
    Recipe("int8+rounding", "int8", recovery=("rounding",)),
    Recipe("weight8+rounding", "weight8", recovery=("rounding",)),
    Recipe("weight4+rounding", "weight4", recovery=("rounding",), effort="normal", last_resort=True),
    Recipe("int16x8+rounding", "int16x8", recovery=("rounding",)),
    Recipe("int8+equalization", "int8", recovery=("equalization", "rounding"), effort="normal"),
    Recipe(
        "int8+ranges", "int8", recovery=("equalization", "activation-ranges", "rounding"), effort="normal"
    ),
    Recipe("int8+mixed", "int8", recovery=("masks", "smoothing", "mixed-activations"), effort="normal"),
    Recipe(
        "int8+bias-sequence",
        "int8",
        recovery=("equalization", "rounding", "bias-sequence"),
        effort="thorough",
    ),
    Recipe(
        "int8x4+recovery",
        "int8x4",
        recovery=("mixed-precision", "rounding"),
        effort="normal",
        last_resort=True,
    ),
    Recipe(
        "int8x4+learned",
        "int8x4",
        recovery=("mixed-precision", "rounding", "learned-rounding"),
        effort="thorough",
        last_resort=True,
    ),
    Recipe("int8+clusters32", "int8", effort="normal", shrink=Shrink("clusters", 32)),
    Recipe("int8+clusters16", "int8", effort="normal", shrink=Shrink("clusters", 16)),
    Recipe("weight8+zeros60", "weight8", effort="normal", shrink=Shrink("zeros", 0.6)),
    Recipe("int8+zeros60", "int8", effort="normal", shrink=Shrink("zeros", 0.6)),
    Recipe("weight8+zeros80", "weight8", effort="normal", shrink=Shrink("zeros", 0.8)),
    Recipe("int8+channels75", "int8", effort="normal", shrink=Shrink("channels", 0.75)),
    Recipe("weight8+channels75", "weight8", effort="normal", shrink=Shrink("channels", 0.75)),
    Recipe(
        "weight4+channels75",
        "weight4",
        recovery=("rounding",),
        effort="normal",
        shrink=Shrink("channels", 0.75),
    ),
    Recipe("int8+channels50", "int8", effort="normal", shrink=Shrink("channels", 0.5)),
    Recipe("weight8+channels50", "weight8", effort="normal", shrink=Shrink("channels", 0.5)),
    Recipe(
        "weight4+channels50",
        "weight4",
        recovery=("rounding",),
        effort="normal",
        shrink=Shrink("channels", 0.5),
    ),
)
"""Cheap ones first. A recovery that the effort pays for is tried while neither its plain twin nor a cheaper
recovery of that scheme meets the budget; always when the effort is thorough. A smaller model is for a size, a
packed size or a latency that nothing else meets; ``shrinking.refusal`` says when it is not tried."""


def find_recipes(names: Sequence[str]) -> tuple[Recipe, ...]:
    """Gives the recipes of these names, all when there are none.

    Raises:
        OptionError: a name is unknown; the closest one is told.

    Example:
        >>> [r.scheme for r in find_recipes(["int8-io-int8"])]
        ['int8']
    """
    known = [r.name for r in RECIPES]
    for name in names:
        if name not in known:
            raise OptionError(unknown_name("candidate", name, known))
    return tuple(r for r in RECIPES if not names or r.name in names)
