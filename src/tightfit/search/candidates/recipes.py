"""The recipes of the candidates that a search tries, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tightfit.errors import OptionError, unknown_name
from tightfit.quantization.scheme import SCHEMES
from tightfit.recovery.steps import RECOVERIES


class Shrink(NamedTuple):
    """The compression of the model before its weights are stored.

    Args:
        way: a key of ``shrink_recipes.WAYS``.
        amount: fraction of zeros, number of centroids, or fraction of the multiply–accumulates to keep.
    """

    way: str
    amount: float


@dataclass(frozen=True)
class Recipe:
    """The recipe of one candidate.

    Args:
        name: name of the candidate.
        scheme: name of the scheme.
        interface: type of the model's inputs and outputs.
        recovery: names of ``recovery.steps.RECOVERIES``, which take seconds to minutes.
        effort: the least effort that tries it.
        last_resort: try it only where nothing else meets the budget, because it loses the most accuracy.
        shrink: the compression of the model, or None.
        repairs: effort of the automatic repairs (``BuildSpec.effort``) where no recovery is named: 1 as
            ``quantize``, 2 with more ops in float.
    """

    name: str
    scheme: str
    interface: str = "float32"
    recovery: tuple[str, ...] = ()
    effort: str = "quick"
    last_resort: bool = False
    shrink: Shrink | None = None
    repairs: int = 1

    @property
    def recovers(self) -> bool:
        """True where more is done than for the plain candidate, which takes seconds to minutes."""
        return bool(self.recovery) or self.repairs > 1

    @property
    def is_plain(self) -> bool:
        """True for a scheme without recovery or compression."""
        return self.name == self.scheme

    def goes_on_from(self, other: Recipe) -> bool:
        """Return True when another recipe's recoveries are the first of this one's.

        Example:
            >>> find_recipes(["int8x4+reconstruction"])[0].goes_on_from(find_recipes(["int8x4+recovery"])[0])
            True
        """
        same = (self.scheme, self.interface, self.shrink) == (other.scheme, other.interface, other.shrink)
        first = self.recovery[: len(other.recovery)]
        return same and bool(first) and first == other.recovery != self.recovery


_COMBINATIONS: Final[tuple[Recipe, ...]] = (
    Recipe("int8+bias", "int8", recovery=("bias-correction",)),
    Recipe("int8+gptq", "int8", recovery=("gptq",)),
    Recipe("weight8+gptq", "weight8", recovery=("gptq",)),
    Recipe("weight4+gptq", "weight4", recovery=("gptq",), effort="normal", last_resort=True),
    Recipe("int16x8+gptq", "int16x8", recovery=("gptq",)),
    Recipe("int8+float-ops", "int8", effort="normal", repairs=2),
    Recipe("int8+equalization", "int8", recovery=("cross-layer-equalization", "gptq"), effort="normal"),
    Recipe(
        "int8+ranges",
        "int8",
        recovery=("cross-layer-equalization", "activation-ranges", "gptq"),
        effort="normal",
    ),
    Recipe(
        "int8+mixed",
        "int8",
        recovery=("attention-mask-clipping", "smoothing", "mixed-activations"),
        effort="normal",
    ),
    Recipe(
        "int8+sequential-bias",
        "int8",
        recovery=("cross-layer-equalization", "gptq", "sequential-bias-correction"),
        effort="thorough",
    ),
    Recipe(
        "int8x4+recovery",
        "int8x4",
        recovery=("mixed-precision", "gptq"),
        effort="normal",
        last_resort=True,
    ),
    Recipe(
        "int8x4+reconstruction",
        "int8x4",
        recovery=("mixed-precision", "gptq", "block-reconstruction"),
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
        recovery=("gptq",),
        effort="normal",
        shrink=Shrink("channels", 0.75),
    ),
    Recipe("int8+channels50", "int8", effort="normal", shrink=Shrink("channels", 0.5)),
    Recipe("weight8+channels50", "weight8", effort="normal", shrink=Shrink("channels", 0.5)),
    Recipe(
        "weight4+channels50",
        "weight4",
        recovery=("gptq",),
        effort="normal",
        shrink=Shrink("channels", 0.5),
    ),
)
"""Recoveries together, and smaller models."""


def _plain() -> Iterator[Recipe]:
    """Yield every scheme alone, and with other types of inputs and outputs."""
    for scheme in SCHEMES.values():
        if scheme.effort is None:
            continue
        yield Recipe(scheme.name, scheme.name, effort=scheme.effort)
        for interface in scheme.tried_interfaces:
            yield Recipe(f"{scheme.name}-io-{interface}", scheme.name, interface, effort="normal")


def _single_recoveries() -> Iterator[Recipe]:
    """Yield the recoveries that are tried alone on a scheme."""
    for row in RECOVERIES.values():
        for scheme in row.tried_on:
            yield Recipe(f"{scheme}+{row.name}", scheme, recovery=(row.name,), effort=row.effort)


def recipes() -> tuple[Recipe, ...]:
    """Return the candidates that a search may try, in its order.

    Cheap ones are first. A recovery within the effort is tried when neither the plain candidate nor a cheaper
    recovery of the scheme meets the budget; always when the effort is thorough. A smaller model is tried for
    a size, a packed size or a latency that nothing else meets; ``shrink_recipes.refusal`` returns the reason
    when it is not tried.
    """
    first = [r for r in _COMBINATIONS if r.shrink is None]
    return (*_plain(), *first, *_single_recoveries(), *(r for r in _COMBINATIONS if r.shrink is not None))


_OLDER: Final = {
    "int8+rounding": "int8+gptq",
    "weight8+rounding": "weight8+gptq",
    "weight4+rounding": "weight4+gptq",
    "int16x8+rounding": "int16x8+gptq",
    "int8+bias-sequence": "int8+sequential-bias",
    "int8x4+learned": "int8x4+reconstruction",
}
"""Names of candidates before 0.2, accepted for one release."""


def find_recipes(names: Sequence[str]) -> tuple[Recipe, ...]:
    """Return the recipes with these names, or all recipes when no name is given.

    Raises:
        OptionError: a name is unknown; the message gives the closest one.

    Example:
        >>> [r.scheme for r in find_recipes(["int8-io-int8"])]
        ['int8']
    """
    known = {r.name: r for r in recipes()}
    wanted = [_OLDER.get(name, name) for name in names]
    for name in wanted:
        if name not in known:
            raise OptionError(unknown_name("candidate", name, known))
    return tuple(r for r in known.values() if not wanted or r.name in wanted)
