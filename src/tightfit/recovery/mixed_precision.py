"""Mixed precision: choose the bits of each layer's weights within a size, exactly.

Each layer has one option for each type, with its bytes and the output noise that was measured for it; the sum
of the noise is made least by an integer program (``exact_choice``). A second one then finds the fewest bytes
with practically the same noise.

Source: Dong et al. 2020, "HAWQ-V2", chooses by an integer program. Departure: noise is measured on the
runtime after rounding with data, for every type that is on offer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.quantization.modes import Override
from tightfit.recovery.exact_choice import GainTable, PrecisionOption, choose_options
from tightfit.recovery.sensitivity import Sensitivity

_BITS: Final = {"int8": 8, "int4": 4, "int2": 2}
_NEGLIGIBLE: Final = 1e-3
"""No bytes are spent below this fraction of the initial noise."""

_QUIET: Final = 1e-5
"""Or below this fraction of the outputs' power: −50 dB, where nothing is gained."""

SCHEMES_OF: Final[dict[str, dict[str, str]]] = {
    "integer": {"int8": "int8", "int4": "int8x4"},
    "hybrid": {"int8": "dynamic", "int4": "weight4", "int2": "weight2"},
}
"""How a plan computes → type of an op's weights → the scheme that stores it so."""


@dataclass(frozen=True)
class Assignment:
    """The types of the layers that change.

    Args:
        types: op name → type of its weights, for the layers that change.
        extra_bytes: bytes that this adds to the file; negative where it becomes smaller.
        noise_before: noise of all layers before, as a fraction of the outputs' power.
        noise_after: noise of all layers after, as a fraction of the outputs' power.
    """

    types: Mapping[str, str]
    extra_bytes: int
    noise_before: float
    noise_after: float

    @property
    def wider(self) -> list[str]:
        """Names of the layers that keep int8 weights."""
        return [name for name, dtype in self.types.items() if dtype == "int8"]

    def overrides(self, compute: str) -> list[Override]:
        """Return the overrides that make a plan store these layers in their types.

        Args:
            compute: of the plan's scheme, a key of ``SCHEMES_OF``.
        """
        reason = "mixed precision stores its weights as"
        return [Override(n, SCHEMES_OF[compute][d], f"{reason} {d}") for n, d in self.types.items()]

    def summary(self) -> str:
        """Return the assignment as one sentence."""
        after = 100 * self.noise_after / max(self.noise_before, 1e-30)
        counts = {d: sum(found == d for found in self.types.values()) for d in _BITS}
        narrow = [
            f"{n} layers with the least noise per byte are stored as {d}" for d, n in counts.items() if n
        ]
        if not set(self.types.values()) - {"int8"}:
            narrow = [f"{counts['int8']} layers with the most noise per byte keep int8 weights"]
        return (
            f"{', '.join(narrow) or 'no layer is stored otherwise'} ({self.extra_bytes / 1000:+.0f} kB, "
            f"{after:.0f} % of the measured noise)"
        )


def widen(sensitivities: Sequence[Sensitivity], spare_bytes: int, dtype: str = "int8") -> Assignment:
    """Return the assignment that removes the most noise within a number of bytes.

    Args:
        sensitivities: see ``sensitivity.measure_sensitivities``; one for each layer.
        spare_bytes: most bytes to add; 0 or less widens nothing.
        dtype: the type of wider weights, without noise.

    Example:
        >>> loud = Sensitivity("loud", "CONV_2D", "int4", 1000, 0.02)
        >>> quiet = Sensitivity("quiet", "CONV_2D", "int4", 1000, 0.001)
        >>> widen([quiet, loud], 600).wider
        ['loud']
    """
    return mix(sensitivities, max(spare_bytes, 0), wider=dtype)


def mix(
    base: Sequence[Sensitivity],
    spare_bytes: int,
    narrower: Sequence[Sensitivity] = (),
    wider: str = "int8",
) -> Assignment:
    """Return the types with the least noise within a number of bytes; the smallest where none is.

    Args:
        base: the layers in the types of the plan.
        spare_bytes: most bytes to add; negative asks for a smaller file than the plan's.
        narrower: the same layers in fewer bits, as far as they were measured.
        wider: the type of wider weights, without noise.

    Example:
        >>> in_four = [Sensitivity(n, "CONV_2D", "int4", 1000, 0.001) for n in ("first", "last")]
        >>> in_two = [Sensitivity("first", "CONV_2D", "int2", 1000, 0.9)]
        >>> in_two.append(Sensitivity("last", "CONV_2D", "int2", 1000, 0.01))
        >>> dict(mix(in_four, -200, in_two).types)
        {'last': 'int2'}
    """
    before = sum(s.noise for s in base)
    options = {
        s.name: [
            PrecisionOption(s.dtype, noise=s.noise),
            PrecisionOption(wider, s.elements * (_BITS[wider] - _BITS[s.dtype]) // 8),
        ]
        for s in base
    }
    own = {s.name: s.dtype for s in base}
    for s in narrower:
        fewer = s.elements * (_BITS[own[s.name]] - _BITS[s.dtype]) // 8
        options[s.name].append(PrecisionOption(s.dtype, -fewer, noise=s.noise))
    table = GainTable(options)
    found = choose_options(table, "noise", {"bytes": spare_bytes})
    if found is None:
        found = choose_options(table, "bytes", {}) or {}
    else:
        enough = max(table.total(found, "noise") * (1 + 1e-6), _NEGLIGIBLE * before, _QUIET)
        found = choose_options(table, "bytes", {"bytes": spare_bytes, "noise": enough}) or found
    louder = sorted(base, key=lambda s: s.noise / max(s.elements, 1), reverse=True)
    types = {s.name: found[s.name].name for s in louder if found[s.name].name != s.dtype}
    spent, left = table.total(found, "bytes"), table.total(found, "noise")
    return Assignment(types, int(spent), before, min(left, before) if spare_bytes >= 0 else left)
