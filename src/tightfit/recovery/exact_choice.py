"""The exact choice from a table of measured gains: one option for each op, within limits, for the least cost.

    min  Σ c(op, option) · x(op, option)      subject to  Σₒₚₜᵢₒₙ x(op, option) = 1 for each op,
         and Σ of bytes, of cost and of noise each below its limit,

with x = 0 or 1. Noise has two parts: of an op's weights, which its option decides alone, and of an
activation, which is gone only where the op that writes it and the op that reads it are both wide. The second
part is linear with one variable y ≥ 1 − wide(source), y ≥ 1 − wide(reader) for each activation.

Source: HiGHS, Huangfu and Hall 2018, through ``scipy.optimize.milp``. Noise of parts adds up to first order,
as in Dong et al. 2020, "HAWQ-V2"; departure: each part is measured on the runtime.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tightfit.errors import QuantizationError

Quantity = Literal["bytes", "cost", "noise"]

_GAP: Final = 1e-4
"""The choice may cost this share more than the best one."""

_NODES: Final = 2000
"""Nodes of the search at most: a number and no time, so that equal tables give equal choices."""


@dataclass(frozen=True)
class PrecisionOption:
    """One way to store and compute an op.

    Args:
        name: the scheme or type.
        bytes: bytes of its constants.
        cost: its time, in any unit.
        noise: of its weights, as a share of the outputs' power.
        wide: whether its activations have more than 8 bits.
    """

    name: str
    bytes: float = 0.0
    cost: float = 0.0
    noise: float = 0.0
    wide: bool = False


@dataclass(frozen=True)
class SharedNoise:
    """The noise of an 8-bit activation; an end that is None is always wide."""

    source: str | None
    reader: str | None
    noise: float


@dataclass(frozen=True)
class GainTable:
    """What each option of each op costs and loses, measured once.

    Args:
        options: op → its options.
        activations: those that two ops decide together.
    """

    options: Mapping[str, Sequence[PrecisionOption]]
    activations: Sequence[SharedNoise] = ()

    def total(self, choice: Mapping[str, PrecisionOption], quantity: Quantity) -> float:
        """Return the predicted bytes, cost or noise of a choice."""
        own = math.fsum(getattr(option, quantity) for option in choice.values())
        if quantity != "noise":
            return own
        kept = (a.noise for a in self.activations if not all(self._is_wide(e, choice) for e in _ends(a)))
        return own + math.fsum(kept)

    def _is_wide(self, op: str, choice: Mapping[str, PrecisionOption]) -> bool:
        return op in choice and choice[op].wide


@dataclass
class _Program:
    """The rows of one integer program, as ``scipy.optimize.milp`` takes them."""

    columns: int
    rows: list[dict[int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, row: dict[int, float], low: float, high: float) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def matrix(self) -> Any:
        from scipy.sparse import csr_array  # noqa: PLC0415 - half a second that other commands do not pay

        entries = [(i, j, value) for i, row in enumerate(self.rows) for j, value in row.items()]
        i, j, values = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_array((values, (i, j)), shape=(len(self.rows), self.columns))


def choose_options(
    table: GainTable, minimize: Quantity, limits: Mapping[Quantity, float]
) -> dict[str, PrecisionOption] | None:
    """Return the option of each op with the least total of one quantity; None where no choice is within.

    Args:
        table: the measured options.
        minimize: what is made least.
        limits: the most of each quantity; those not named are free.

    Raises:
        QuantizationError: the solver ended without an answer.

    Example:
        >>> loud, quiet = (PrecisionOption("int4", bytes=5, noise=noise) for noise in (0.02, 0.001))
        >>> large = PrecisionOption("int8", bytes=10)
        >>> table = GainTable({"loud": (loud, large), "quiet": (quiet, large)})
        >>> found = choose_options(table, "noise", {"bytes": 15})
        >>> found["loud"].name, found["quiet"].name
        ('int8', 'int4')
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - see _Program.matrix

    if not table.options:
        return {}
    places = [(op, option) for op, options in table.options.items() for option in options]
    shared = [a for a in table.activations if a.noise > 0 and any(e in table.options for e in _ends(a))]
    program = _Program(len(places) + len(shared))
    _one_each(program, places)
    _both_ends(program, places, shared)
    for quantity, most in limits.items():
        if math.isfinite(most):
            weights = _weights(quantity, places, shared)
            unit = max(abs(most), float(np.abs(weights).max(initial=0.0)), 1e-30)
            program.add({j: w / unit for j, w in enumerate(weights) if w}, -np.inf, most / unit)
    costs = _weights(minimize, places, shared)
    unit = max(float(np.abs(costs).max(initial=0.0)), 1e-30)
    # Of equal choices the one with less noise, and of these the cheaper.
    ties = 1e-6 * _scaled(_weights("noise", places, shared)) + 1e-7 * _scaled(
        _weights("cost", places, shared)
    )
    with _silent():
        found = milp(
            costs / unit + ties,
            integrality=np.r_[np.ones(len(places)), np.zeros(len(shared))],
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(program.matrix(), program.low, program.high),
            options={"mip_rel_gap": _GAP, "node_limit": _NODES},
        )
    if found.x is None:
        if found.status == 2:
            return None
        raise QuantizationError(f"The choice of precisions ended without an answer: {found.message}")
    taken = found.x[: len(places)] > 0.5
    return {op: option for (op, option), chosen in zip(places, taken, strict=True) if chosen}


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what HiGHS prints past Python (scipy 1.17) out of a command's JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, no path of the user
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _ends(activation: SharedNoise) -> list[str]:
    return [end for end in (activation.source, activation.reader) if end is not None]


def _one_each(program: _Program, places: Sequence[tuple[str, PrecisionOption]]) -> None:
    """Each op has one of its options."""
    rows: dict[str, dict[int, float]] = {}
    for j, (op, _) in enumerate(places):
        rows.setdefault(op, {})[j] = 1.0
    for row in rows.values():
        program.add(row, 1.0, 1.0)


def _both_ends(
    program: _Program, places: Sequence[tuple[str, PrecisionOption]], shared: Sequence[SharedNoise]
) -> None:
    """An activation's noise is gone only where both its ends are wide."""
    wide: dict[str, list[int]] = {}
    for j, (op, option) in enumerate(places):
        wide.setdefault(op, []).extend([j] if option.wide else [])
    for k, activation in enumerate(shared):
        for end in _ends(activation):
            row = dict.fromkeys(wide.get(end, ()), 1.0)
            program.add({len(places) + k: 1.0, **row}, 1.0, np.inf)


def _weights(
    quantity: Quantity, places: Sequence[tuple[str, PrecisionOption]], shared: Sequence[SharedNoise]
) -> npt.NDArray[np.float64]:
    own = [float(getattr(option, quantity)) for _, option in places]
    return np.array(own + [a.noise if quantity == "noise" else 0.0 for a in shared], np.float64)


def _scaled(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return weights / max(float(weights.max(initial=0.0)), 1e-30)
