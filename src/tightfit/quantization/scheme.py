"""The schemes, one constant each: how weights and activations are stored and computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tightfit.errors import OptionError, unknown_name

INTERFACES: Final = ("float32", "int8", "uint8", "int16")
_INTERFACES_OF: Final = {"int8": ("float32", "int8", "uint8"), "int16": ("float32", "int16")}


@dataclass(frozen=True)
class Scheme:
    """How a model is to be stored and computed.

    Args:
        name: what users call it.
        compute: ``integer`` (integer kernels), ``hybrid`` (float activations quantized on the fly against
            integer weights) or ``float`` (constants unpacked to float before use).
        weights: type of the stored weights.
        activations: type of the activations in integer kernels, None when they stay float.
        interface: type of the model's float inputs and outputs in the file.
        least_narrow: weights of fewer elements, and those of depthwise convolutions, are stored as int8 where
            the scheme's own type is narrower: they are few bytes and lose most.
        one_scale: builtin operators whose integer weights get one scale, not one a channel.
        summary: one line for ``--help`` and the report.
        effort: the least effort of the search that tries it as it is; None: only with a recovery.
        tried_interfaces: other types of inputs and outputs that a ``normal`` search tries.
    """

    name: str
    compute: str
    weights: str
    activations: str | None = None
    interface: str = "float32"
    summary: str = ""
    least_narrow: int = 0
    one_scale: tuple[str, ...] = ()
    effort: str | None = "quick"
    tried_interfaces: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What a device must compute to take the scheme: compute, weights, activations.

        Example:
            >>> SCHEMES["int16x8"].kind, SCHEMES["dynamic"].kind
            ('integer int8 int16', 'hybrid int8')
        """
        return " ".join(filter(None, (self.compute, self.weights, self.activations)))

    @property
    def needs_data(self) -> bool:
        """True when activation ranges must be calibrated with samples."""
        return self.activations is not None

    def with_interface(self, interface: str) -> Scheme:
        """Gives the scheme with other types of the model's inputs and outputs.

        Raises:
            OptionError: the scheme cannot have them.
        """
        if interface not in INTERFACES:
            raise OptionError(unknown_name("input/output type", interface, INTERFACES))
        known = _INTERFACES_OF.get(self.activations or "", ("float32",))
        if interface not in known:
            raise OptionError(
                f"The scheme '{self.name}' takes {' or '.join(known)} as the type of inputs and outputs; "
                f"received '{interface}'."
            )
        return replace(self, interface=interface)


FLOAT16 = Scheme("float16", "float", "float16", summary="weights as float16, float compute; half the size")
WEIGHT8 = Scheme("weight8", "float", "int8", summary="weights as int8, unpacked once at load; float speed")
DYNAMIC = Scheme("dynamic", "hybrid", "int8", summary="int8 weights, activations quantized at each call")
WEIGHT4 = Scheme(
    "weight4",
    "hybrid",
    "int4",
    summary="4-bit weights in dense layers and 1×1 convolutions, 8-bit in others; needs a recovery",
    least_narrow=4096,
)
INT8 = Scheme(
    "int8",
    "integer",
    "int8",
    "int8",
    summary="int8 weights and activations; integer accelerators",
    tried_interfaces=("int8", "uint8"),
)
INT16X8 = Scheme("int16x8", "integer", "int8", "int16", summary="int16 activations, int8 weights")
INT8X4 = Scheme(
    "int8x4",
    "integer",
    "int4",
    "int8",
    summary="int8 activations, 4-bit weights in large layers; needs data and a recovery",
    least_narrow=16384,
    effort=None,
)

SCHEMES: Final[dict[str, Scheme]] = {
    s.name: s for s in (FLOAT16, WEIGHT8, WEIGHT4, DYNAMIC, INT8, INT16X8, INT8X4)
}


def schemes_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the schemes of some kinds, in the order of the kinds.

    Example:
        >>> schemes_of(["integer int8 int8", "float float16"])
        ('int8', 'float16')
    """
    return tuple(s.name for kind in kinds for s in SCHEMES.values() if s.kind == kind)


def find_scheme(name: str, interface: str = "float32") -> Scheme:
    """Gives the scheme of a name.

    Raises:
        OptionError: there is none; the closest match is named.

    Example:
        >>> find_scheme("int8", "uint8").interface
        'uint8'
    """
    if name not in SCHEMES:
        raise OptionError(unknown_name("scheme", name, SCHEMES))
    return SCHEMES[name].with_interface(interface)
