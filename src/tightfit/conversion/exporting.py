"""What an exporter hands back: the file's bytes, and what the source makes of random inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.conversion.qdq.qdq_parameters import Rounding
from tightfit.conversion.state_variables import StateValue
from tightfit.errors import ModelError, first_line
from tightfit.types import Array

Shape = Sequence[int | None]
Specs = Mapping[str, tuple[Shape, str]]
"""Input name → (shape, dtype); None as the first dimension leaves the batch free."""


__all__ = [
    "ExportProbe",
    "Exported",
    "Lowered",
    "RouteError",
    "Specs",
    "UnreadableError",
    "first_line",
    "own_words",
    "random_arrays",
    "reason",
]  # fmt: skip

_WRAPPED: Final = re.compile(r"^Exception encountered when calling ([\w.]+?)(?:\.call)?\(\)\.?$")
_FRAMED: Final = re.compile(r"^Exception encountered when calling \S+ .\[1m(.*?).\[0m", re.DOTALL)
"""As an error of ours holds it: in one line, without the control characters of the style."""

_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


def reason(error: BaseException) -> str:
    r"""Return the first line of an error; where Keras only says which layer failed, with what failed in it.

    Example:
        >>> reason(TypeError("Exception encountered when calling Head.call().\n\nno axis 3\n"))
        'Head: no axis 3'
    """
    lines = [line.strip() for line in _STYLE.sub("", str(error)).splitlines() if line.strip()]
    wrapped = _WRAPPED.match(lines[0]) if len(lines) > 1 else None
    return first_line(error) if wrapped is None else f"{wrapped[1]}: {lines[1]}"


def own_words(error: ModelError) -> str:
    r"""Return what was raised within a layer, without what Keras puts before and behind it.

    Example:
        >>> own_words(ModelError("Exception encountered when calling A.call().\n\n\x1b[1mNo axis.\x1b[0m\n"))
        'No axis.'
    """
    framed = _FRAMED.match(str(error))
    return str(error) if framed is None else framed[1]


class RouteError(ModelError):
    """One way to convert does not take the model; another may."""


@dataclass
class ExportProbe:
    """Random inputs, and what the source framework made of them.

    Args:
        inputs: by the signature's names.
        outputs: by the signature's names.
        signature: the key of the signature that was called.
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    signature: str = "serving_default"


@dataclass(frozen=True)
class Lowered:
    """A StableHLO module in a file, which ``litert-converter`` has yet to convert, in a process of its own.

    Args:
        path: the module as bytecode or text; the converter removes it.
        inputs: names of the signature's inputs, in order.
        outputs: of its outputs.
        routed: whether another route may take what the converter refuses.
    """

    path: Path
    inputs: list[str]
    outputs: list[str]
    routed: bool = False


class UnreadableError(ModelError):
    """The converter does not read the module's bytecode; its text may do."""


@dataclass
class Exported:
    """What an exporter hands back.

    Args:
        data: a float ``.tflite`` as bytes, or what becomes one.
        probes: to compare with.
        route: its tools.
        notes: what a reader should know.
        rounding: the scales of a quantized source, None for a float one.
        state: inputs and outputs of the file that carry state; they become variables.
    """

    data: bytes | mmap | Lowered
    probes: list[ExportProbe]
    route: str
    notes: list[str] = field(default_factory=list)
    rounding: Rounding | None = None
    state: list[StateValue] = field(default_factory=list)


def random_arrays(inputs: Specs, seed: int, batch: int = 1) -> dict[str, Array]:
    """Return random inputs: reals in [-1, 1), integers 0 or 1, which are valid indices of any table."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for name, (shape, dtype) in inputs.items():
        sizes = [batch if d is None else d for d in shape]
        if np.dtype(dtype).kind == "f":
            arrays[name] = generator.uniform(-1, 1, sizes).astype(dtype)
        else:
            arrays[name] = generator.integers(0, 2, sizes).astype(dtype)
    return arrays
