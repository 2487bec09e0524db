"""A converted file beside its source: the largest difference on random inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.conversion.exporting import Probe
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.runtime.session import Session
from tightfit.types import Array

_ALLOWED: Final = 1e-3
"""Of an output's largest value: float32 kernels of two libraries differ by 1e-6 an op, and it adds up."""
_ROUNDED: Final = 0.01
"""Noise power of signal power: integers give 0.001 themselves, a wrong conversion 1."""


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the source's.

    Args:
        output: its name. largest: the largest absolute difference. scale: the largest absolute value.
    """

    output: str
    largest: float
    scale: float


def compare(
    path: Path,
    model: Model,
    probes: Sequence[Probe],
    *,
    bytes_read: tuple[float, float] | None = None,
    rounded: bool = False,
) -> list[OutputDifference]:
    """Gives the largest difference of each output over the probes.

    Args:
        bytes_read: (mean, std) when the file takes bytes where the source takes reals.
        rounded: the source rounds to integers inside, so that a rounding error moves some values by a step.

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
                    if old is None or row.largest > old.largest:
                        rows[signature, name] = row
    return list(rows.values())


def _as_taken(values: Array, dtype: str, bytes_read: tuple[float, float] | None) -> Array:
    if dtype == "uint8" and values.dtype.kind == "f" and bytes_read is not None:
        mean, std = bytes_read
        return np.clip(np.rint(values * std + mean), 0, 255).astype(np.uint8)
    return values


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
    return OutputDifference(name, largest, scale)
