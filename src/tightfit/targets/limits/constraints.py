"""The table of limits, and rules: a limit with a profile's numbers, the ops it holds for and its source.

The limits themselves stand in the modules ``*_limits``. A new device needs no function here, only a table of
``profiles.toml``; a new *kind* of limit is one function with its sentence, and the documentation follows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from tightfit.errors import ModelError, OptionError, unknown_name
from tightfit.graph.ir import Op
from tightfit.targets.limits import (
    gpu_limits,
    gpu_value_limits,
    quantization_limits,
    reduction_limits,
    resize_limits,
    shape_limits,
    tensor_limits,
    weight_limits,
    window_limits,
)
from tightfit.units import format_choice

Limit = Callable[..., str | None]


def _limits(module: ModuleType) -> dict[str, Limit]:
    """The functions of a module that say what is wrong with an op: those with a fix in their docstring."""
    found = inspect.getmembers(module, inspect.isfunction)
    return {name: f for name, f in found if f.__module__ == module.__name__ and "Fix:" in (f.__doc__ or "")}


_MODULES: Final = (
    tensor_limits, quantization_limits, weight_limits, window_limits, shape_limits, reduction_limits,
    resize_limits, gpu_limits, gpu_value_limits,
)  # fmt: skip

LIMITS: Final[dict[str, Limit]] = {name: f for module in _MODULES for name, f in _limits(module).items()}
"""Limit's name → its function."""


@dataclass(frozen=True)
class LimitRule:
    """One limit of one family of devices.

    Args:
        limit: name in ``LIMITS``.
        numbers: the limit's arguments.
        ops: builtin operators that it holds for, empty for all.
        exempt: operators that it does not hold for.
        source: where the number stands.
        refuses: breaking it makes the compiler refuse the whole file, not only the op.
        wrong: an op that breaks it is accelerated, with wrong values.
    """

    limit: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    ops: frozenset[str] = frozenset()
    exempt: frozenset[str] = frozenset()
    source: str = ""
    refuses: bool = False
    wrong: bool = False

    def __post_init__(self) -> None:
        if self.limit not in LIMITS:
            raise OptionError(unknown_name("limit", self.limit, LIMITS))
        wanted = {p.name for p in inspect.signature(LIMITS[self.limit]).parameters.values()} - {"op"}
        if not set(self.numbers) <= wanted:
            raise OptionError(
                f"The limit '{self.limit}' takes {sorted(wanted)}; received {sorted(self.numbers)}."
            )

    def holds_for(self, kind: str) -> bool:
        """True when an op of this kind must keep the rule."""
        return kind not in self.exempt and (not self.ops or kind in self.ops)

    def broken_by(self, op: Op) -> str | None:
        """Return what is wrong with an op, None when it keeps the rule.

        Raises:
            ModelError: the op lacks an input or a dimension that every op of its kind has.
        """
        try:
            return LIMITS[self.limit](op, **self.numbers)
        except (IndexError, ZeroDivisionError) as error:
            raise ModelError(
                f"Cannot judge {op.kind} '{op.name}' by '{self.sentence}': it lacks an input or a dimension. "
                "Check the file with 'tightfit inspect'."
            ) from error

    @property
    def sentence(self) -> str:
        """The rule in words, with its numbers.

        Example:
            >>> LimitRule("stride_at_most", {"most": 3}).sentence
            'Strides are at most 3.'
        """
        return _filled(_paragraphs(self.limit)[0], _defaults(self.limit) | dict(self.numbers))

    @property
    def fix(self) -> str:
        """What to do about it, in words."""
        found = [p for p in _paragraphs(self.limit) if p.startswith("Fix:")]
        return found[0].removeprefix("Fix:").strip()


def _paragraphs(limit: str) -> list[str]:
    text = inspect.cleandoc(LIMITS[limit].__doc__ or "")
    return [" ".join(p.split()) for p in text.split("\n\n")]


def _defaults(limit: str) -> dict[str, Any]:
    parameters = inspect.signature(LIMITS[limit]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _filled(sentence: str, numbers: Mapping[str, Any]) -> str:
    """The sentence with its numbers: lists as ``a, b or c``, large numbers with separators."""
    return re.sub(r"\{(\w+)\}", lambda match: _words(numbers[match[1]]), sentence)


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        words = [_words(v) for v in value]
        numbers = all(isinstance(v, int) for v in value)
        if numbers:
            return f"[{', '.join(words)}]"
        return format_choice(words)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
