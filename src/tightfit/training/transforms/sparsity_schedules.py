"""Sparsity schedules of pruning: the sparsity as a function of the training step, one class each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import keras

from tightfit.errors import OptionError
from tightfit.training.option_checks import check_sparsity


class _Saved:
    """Serialization of a schedule by Keras."""

    def get_config(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # the children are dataclasses

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the schedule of ``get_config``."""
        return cls(**config)


@keras.saving.register_keras_serializable("tightfit")
@dataclass(frozen=True)
class Constant(_Saved):
    """The final sparsity from step ``begin`` on, zero before; masks are updated until ``end``.

    Example:
        >>> Constant(0.5, begin=10)(9), Constant(0.5, begin=10)(10)
        (0.0, 0.5)
    """

    sparsity: float
    begin: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)

    def __call__(self, step: int) -> float:
        """Return the sparsity at a step."""
        return self.sparsity if step >= self.begin else 0.0


@keras.saving.register_keras_serializable("tightfit")
@dataclass(frozen=True)
class Polynomial(_Saved):
    """From ``initial`` to the final sparsity: ``final + (initial - final) · (1 - t)^power``, t from 0 to 1.

    Args:
        sparsity: the final sparsity, a fraction in [0, 1).
        end: the step at which it is reached.
        begin: the first step.
        initial: the sparsity at ``begin``.
        power: the exponent; 3 is the source's.

    Source: Zhu and Gupta 2017, "To prune, or not to prune", equation 1.

    Example:
        >>> ramp = Polynomial(0.8, end=100)
        >>> ramp(0), round(ramp(50), 3), ramp(100), ramp(1000)
        (0.0, 0.7, 0.8, 0.8)
    """

    sparsity: float
    end: int
    begin: int = 0
    initial: float = 0.0
    power: float = 3.0

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        check_sparsity(self.initial)
        if self.end <= self.begin:
            raise OptionError(f"A schedule must end after it begins; received {self.begin} to {self.end}.")

    def __call__(self, step: int) -> float:
        """Return the sparsity at a step."""
        if step >= self.end:
            return self.sparsity
        t = max(step - self.begin, 0) / (self.end - self.begin)
        return self.sparsity + (self.initial - self.sparsity) * float((1.0 - t) ** self.power)


@keras.saving.register_keras_serializable("tightfit")
@dataclass(frozen=True)
class OneShot(_Saved):
    """The final sparsity at one step; the masks are not updated after it.

    Example:
        >>> OneShot(0.5)(0), OneShot(0.5).end
        (0.5, 0)
    """

    sparsity: float
    step: int = 0

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)

    @property
    def end(self) -> int:
        """The last step at which the masks change."""
        return self.step

    def __call__(self, step: int) -> float:
        """Return the sparsity at a step."""
        return self.sparsity if step >= self.step else 0.0


Schedule = Constant | Polynomial | OneShot

_RAMP: Final = 0.7
"""A polynomial schedule reaches the sparsity after this fraction of the steps; the rest recovers accuracy."""

SCHEDULES: Final[dict[str, Callable[[float, int], Schedule]]] = {
    "polynomial": lambda sparsity, steps: Polynomial(sparsity, end=max(1, int(_RAMP * steps))),
    "constant": lambda sparsity, _: Constant(sparsity),
    "one-shot": lambda sparsity, _: OneShot(sparsity),
}
"""Name → function of (final sparsity, steps of the training) that returns a schedule."""
