"""``SCHEMES``: how weights and activations are stored and computed, one constant for each scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tightfit.errors import OptionError, unknown_name

INTERFACES: Final = ("float32", "int8", "uint8", "int16")
_INTERFACES_OF: Final = {"int8": ("float32", "int8", "uint8"), "int16": ("float32", "int16")}


@dataclass(frozen=True)
class Scheme:
    """A quantization scheme: how a model is stored and computed.

    Args:
        name: the scheme's name.
        compute: ``integer`` (integer kernels), ``hybrid`` (float activations quantized on the fly, integer
            weights) or ``float`` (constants unpacked to float before use).
        weights: type of the stored weights.
        activations: type of the activations in integer kernels, None when they are float.
        interface: type of the model's float inputs and outputs in the file.
        least_narrow: weights with fewer elements, and those of depthwise convolutions, are stored as int8
            where the scheme's own type is narrower: they take few bytes and lose the most accuracy.
        one_scale: op kinds whose integer weights get one scale instead of one for each channel.
        smallest: constants with fewer elements stay float where no integer kernel reads them; None: those
            that would not make the file smaller. A recipe of another tool sets 1.
        summary: one line for ``--help`` and the report.
        effort: the least effort at which the search tries the scheme alone; None: only with a recovery.
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
    smallest: int | None = None
    effort: str | None = field(default="quick", compare=False)
    tried_interfaces: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kind(self) -> str:
        """The computation that a device must support: compute, weights, activations.

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
        """Return the scheme with other types of the model's inputs and outputs.

        Raises:
            OptionError: the type is unknown, or the scheme does not support it.
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


SEARCH_TRAITS: Final = ("effort", "tried_interfaces")
"""Fields of a scheme that are used by the search and not by a plan."""

FLOAT16 = Scheme("float16", "float", "float16", summary="weights as float16, float compute; half the size")
_FLOAT_LEAST: Final = 1024
"""In a file of integers an op is in float for its accuracy: constants of fewer elements stay float there."""

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
    smallest=_FLOAT_LEAST,
    tried_interfaces=("int8", "uint8"),
)
INT16X8 = Scheme(
    "int16x8",
    "integer",
    "int8",
    "int16",
    summary="int16 activations, int8 weights",
    smallest=_FLOAT_LEAST,
)
INT8X4 = Scheme(
    "int8x4",
    "integer",
    "int4",
    "int8",
    summary="int8 activations, 4-bit weights in large layers; needs data and a recovery",
    least_narrow=16384,
    smallest=_FLOAT_LEAST,
    effort=None,
)

WEIGHT2 = Scheme(
    "weight2",
    "hybrid",
    "int2",
    summary="2-bit weights in dense layers and 1×1 convolutions: for some ops of a weight4 file",
    least_narrow=4096,
    effort=None,
)

SCHEMES: Final[dict[str, Scheme]] = {
    s.name: s for s in (FLOAT16, WEIGHT8, WEIGHT4, DYNAMIC, INT8, INT16X8, INT8X4)
}

WEIGHT4_UNPACKED = Scheme(
    "weight4-unpacked",
    "float",
    "int4",
    summary="weights as int4, unpacked once at load; float compute",
    effort=None,
)

OP_SCHEMES: Final[dict[str, Scheme]] = {s.name: s for s in (WEIGHT2, WEIGHT4_UNPACKED)}
"""Schemes that an override or a recipe may name, and that are no file's own: too few answers are kept."""


def schemes_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the schemes with one of the kinds, in the order of the kinds.

    Example:
        >>> schemes_of(["integer int8 int8", "float float16"])
        ('int8', 'float16')
    """
    return tuple(s.name for kind in kinds for s in SCHEMES.values() if s.kind == kind)


def find_op_scheme(name: str) -> Scheme:
    """Return the scheme that an override names: of ``SCHEMES`` or ``OP_SCHEMES``.

    Raises:
        OptionError: the name is unknown; the message gives the closest one.

    Example:
        >>> find_op_scheme("weight2").weights
        'int2'
    """
    return OP_SCHEMES[name] if name in OP_SCHEMES else find_scheme(name)


def find_scheme(name: str, interface: str = "float32") -> Scheme:
    """Return the scheme with a name.

    Args:
        name: a key of ``SCHEMES``.
        interface: type of the model's inputs and outputs.

    Raises:
        OptionError: the name or the type is unknown; the message gives the closest one.

    Example:
        >>> find_scheme("int8", "uint8").interface
        'uint8'
    """
    if name not in SCHEMES:
        raise OptionError(unknown_name("scheme", name, SCHEMES))
    return SCHEMES[name].with_interface(interface)
