"""A converted file beside its source: the largest difference on random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.conversion.exporting import ExportProbe
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.runtime.session import Session
from tightfit.types import Array
from tightfit.units import format_percent

_ALLOWED: Final = 1e-3
"""Of an output's largest value: float32 kernels of two libraries differ by 1e-6 an op, and it adds up."""
_ROUNDED: Final = 0.01
"""Noise power of signal power: integers give 0.001 themselves, a wrong conversion 1."""


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the source's.

    Args:
        output: its name.
        largest: the largest absolute difference.
        scale: the largest absolute value.
        finite: share of the source's values that are finite, 0–1; only these are compared.
    """

    output: str
    largest: float
    scale: float
    finite: float = 1.0

    def __str__(self) -> str:
        """Return the difference in words."""
        if not self.finite:
            return f"output '{self.output}': not compared, the source answers NaN or infinity everywhere"
        return (
            f"output '{self.output}': largest difference {self.largest:.2g} (values up to {self.scale:.3g})"
        )


def compare(
    path: Path,
    model: Model,
    probes: Sequence[ExportProbe],
    *,
    bytes_read: tuple[float, float] | None = None,
    rounded: bool = False,
) -> list[OutputDifference]:
    """Return the largest difference of each output over the probes.

    Args:
        path: the ``.tflite`` to run.
        model: its graph.
        probes: inputs with the answers of the source framework.
        bytes_read: (mean, std) when the file takes bytes where the source takes reals.
        rounded: the source rounds to integers inside, so that a rounding error moves some values by a
            step.

    Raises:
        ModelError: an output differs by more than 0.1 % of its largest value, or in its shape.
        RuntimeFailureError: LiteRT does not run the file.
    """
    rows: dict[tuple[str, str], OutputDifference] = {}
    for signature in dict.fromkeys(p.signature for p in probes):
        own = [p for p in probes if p.signature == signature]
        key = signature if any(s.key == signature for s in model.signatures) else None
        with Session(path, threads=2, signature=key) as session:
            for probe in own:
                taken = {s.name: _as_taken(probe.inputs[s.name], s.dtype, bytes_read) for s in session.inputs}
                for name, values in session.run(taken).items():
                    row = _difference(name, values, probe.outputs[name], rounded=rounded)
                    old = rows.get((signature, name))
                    rows[signature, name] = row if old is None else _worse(old, row)
    return list(rows.values())


def broken_notes(differences: Sequence[OutputDifference]) -> list[str]:
    """Return a note for each output of which the source gives NaN or infinity.

    Example:
        >>> broken_notes([OutputDifference("y", 0.0, 0.0, finite=0.0)])[0][:57]
        "The source answers NaN or infinity in 100.0 % of output '"
    """
    return [
        f"The source answers NaN or infinity in {format_percent(1 - d.finite)} of output '{d.output}' for "
        "random inputs, and so does the file. Check the model's weights and the range of its inputs."
        for d in differences
        if d.finite < 1
    ]


def _as_taken(values: Array, dtype: str, bytes_read: tuple[float, float] | None) -> Array:
    if dtype == "uint8" and values.dtype.kind == "f" and bytes_read is not None:
        mean, std = bytes_read
        return np.clip(np.rint(values * std + mean), 0, 255).astype(np.uint8)
    return values


def _worse(one: OutputDifference, other: OutputDifference) -> OutputDifference:
    """The larger difference, with the smaller share of what was compared."""
    larger = other if other.largest > one.largest else one
    return replace(larger, finite=min(one.finite, other.finite))


def _few_steps(apart: Array, wanted: Array) -> bool:
    """True where the mean square of the differences is that of a few integers that were rounded otherwise."""
    return bool(np.square(apart).mean() <= _ROUNDED * np.square(wanted.astype(np.float64)).mean())


def _difference(name: str, values: Array, wanted: Array, *, rounded: bool) -> OutputDifference:
    if values.shape != wanted.shape:
        raise ModelError(
            f"The converted file gives '{name}' the shape {list(values.shape)}, the source "
            f"{list(wanted.shape)}: the conversion is wrong and was not written."
        )
    if not values.size:
        return OutputDifference(name, 0.0, 0.0)
    finite = np.isfinite(wanted) if wanted.dtype.kind == "f" else np.ones(wanted.shape, bool)
    apart = np.abs(values.astype(np.float64) - wanted.astype(np.float64))[finite]
    largest = float(apart.max(initial=0.0))
    scale = float(np.abs(wanted[finite].astype(np.float64)).max(initial=0.0))
    if not largest <= _ALLOWED * max(scale, 1.0) and not (rounded and _few_steps(apart, wanted[finite])):
        raise ModelError(
            f"The converted file's output '{name}' differs from the source by {largest:.3g} (values up to "
            f"{scale:.3g}): the conversion is wrong and was not written."
        )
    return OutputDifference(name, largest, scale, float(finite.mean()))
