"""The types and ranges of arguments: a value that does not fit is refused in one sentence.

Annotations that are open, such as those of models and data, are left to what reads them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from tightfit.errors import OptionError, printable

_PLAIN: Final[dict[Any, tuple[type, ...]]] = {int: (Integral,), float: (Real,), str: (str,), bytes: (bytes,)}
_WORDS: Final[dict[Any, str]] = {
    int: "a whole number", float: "a number", str: "text", bytes: "bytes", bool: "True or False",
    type(None): "None", PathLike: "a path", Callable: "a function",
}  # fmt: skip
_MOST: Final = float("inf")
_RANGES: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(("calibration", "evaluation", "limit", "train", "threads", "rounds"), (1, _MOST)),
    **dict.fromkeys(("max_size", "max_zip", "memory"), (1, _MOST)),
    **dict.fromkeys(("seconds", "max_macs", "seed"), (0, _MOST)),
    "effort": (0, 2), "max_noise": (0, 1), "min_accelerated": (0, 1),
}  # fmt: skip
"""Argument → least and largest number, of those that no other module checks."""
_READ_APART: Final = frozenset({"metric", "progress", "stage", "output", "wanted"})
"""Arguments whose readers say more of what they may be."""


def check_arguments(
    function: Callable[..., object], given: Mapping[str, object], *, in_command: bool = False
) -> None:
    """Refuse an argument that its annotation or its range does not admit, also inside an object of options.

    Args:
        function: whose annotations are read.
        given: argument → value.
        in_command: whether the arguments are options of the command line, ``--max-size 5``.

    Raises:
        OptionError: names the argument, what it may be, and the value.

    Example:
        >>> def quantize(seed: int = 0) -> None: ...
        >>> check_arguments(quantize, {"seed": 7})
        >>> check_arguments(quantize, {"seed": "many"})
        Traceback (most recent call last):
        tightfit.errors.OptionError: Received seed='many'; expected a whole number.
    """
    hints = get_type_hints(function) if given else {}
    for name, value in given.items():
        if name in hints.keys() - _READ_APART:
            label = f"--{name.replace('_', '-')} {value}" if in_command else f"{name}={value!r}"
            _check(label, name, value, hints[name])
            _check_fields(value)


def _check_fields(options: object) -> None:
    """Refuse a field of an object of options that its annotation or its range does not admit."""
    own = type(options).__module__.startswith("tightfit.")
    if not own or not is_dataclass(options) or not type(options).__name__.endswith("Options"):
        return
    hints = get_type_hints(type(options))
    for field in fields(options):
        value = getattr(options, field.name)
        _check(f"{type(options).__name__}.{field.name}={value!r}", field.name, value, hints[field.name])


def _check(label: str, name: str, value: object, hint: Any) -> None:
    """Refuse a value that an annotation or the range of a name does not admit."""
    received = f"Received {printable(' '.join(label.split()), 90)}"
    if not fits(value, hint):
        *others, last = _words(hint)
        expected = f"{', '.join(others)} or {last}" if others else last
        raise OptionError(f"{received}; expected {expected}.")
    _check_range(received, name, value)


def check_ranges(options: Mapping[str, object]) -> None:
    """Refuse a number out of the range of its name; the options are those of the command line.

    Raises:
        OptionError: names the option, the value and the range.

    Example:
        >>> check_ranges({"seed": -1})
        Traceback (most recent call last):
        tightfit.errors.OptionError: Received --seed -1; expected 0 or more.
    """
    for name, value in options.items():
        _check_range(f"Received --{name.replace('_', '-')} {value}", name, value)


def _check_range(received: str, name: str, value: object) -> None:
    if name in _RANGES and isinstance(value, Real) and not isinstance(value, bool):
        least, most = _RANGES[name]
        if not least <= float(value) <= most:
            expected = f"{least} or more" if most == _MOST else f"{least} to {most}"
            raise OptionError(f"{received}; expected {expected}.")


def fits(value: object, hint: Any) -> bool:
    """Return whether an annotation admits a value.

    Args:
        value: any object.
        hint: an annotation as ``typing.get_type_hints`` returns it.

    Example:
        >>> fits(["a"], list[str]), fits([1], list[str]), fits(True, int), fits(3, float | None)
        (True, False, False, True)
    """
    origin, inner = get_origin(hint), get_args(hint)
    kind = origin or hint
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if hint is bool or hint in _PLAIN or origin is Literal:
        return _is_plain(value, hint)
    if kind in (Mapping, dict):
        pairs = value.items() if isinstance(value, Mapping) else ()
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in pairs)
    if kind in (Sequence, Iterable, list, tuple):
        return _is_series(value, kind, inner)
    if kind is Callable:
        return callable(value)
    return not isinstance(kind, type) or _is_open(kind) or isinstance(value, kind)


def _is_plain(value: object, hint: Any) -> bool:
    """Return whether a value is of a plain type or one of a few words; True is no number."""
    is_truth = type(value).__name__ in ("bool", "bool_")
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if hint is bool:
        return is_truth or (type(value) is int and value in (0, 1))
    return isinstance(value, _PLAIN[hint]) and not is_truth


def _is_series(value: object, kind: Any, inner: tuple[Any, ...]) -> bool:
    """Return whether a value is a list, or what can be gone through as one, of the admitted elements."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return False
    if not isinstance(value, Collection):
        return kind is Iterable
    if kind is tuple and Ellipsis not in inner:
        return isinstance(value, Sequence) and len(value) == len(inner) and all(map(fits, value, inner))
    return not inner or all(fits(one, inner[0]) for one in value)


def _is_open(kind: type) -> bool:
    """Return whether a class is known by its methods only."""
    return bool(getattr(kind, "_is_protocol", False)) and not getattr(kind, "_is_runtime_protocol", False)


def _words(hint: Any) -> list[str]:
    """Return the names of what an annotation admits, each once; a path is also text."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        words = list(dict.fromkeys(word for one in inner for word in _words(one)))
        return [w for w in words if not (w == "text" and "a path" in words)]
    if origin is Literal:
        return [repr(one) for one in inner]
    kind = origin or hint
    if kind in _WORDS:
        return [_WORDS[kind]]
    if kind in (Mapping, dict):
        return ["a dict"]
    if kind in (Sequence, Iterable, list, tuple):
        return ["a list"]
    return [f"a tightfit.{kind.__name__}" if kind.__module__.startswith("tightfit.") else str(kind)]
