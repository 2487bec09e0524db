"""The options in messages as the caller writes them: ``--image`` in a command, ``image=`` in Python.

Messages name options as on the command line. ``verb`` marks the functions of the package: it rewrites their
errors for a Python caller, names the nearest keyword where one is unknown, and reads None as the default.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Final, ParamSpec, TypeVar, get_args, get_type_hints

from tightfit.argument_types import check_arguments
from tightfit.errors import OptionError, TightfitError, printable, unknown_name
from tightfit.watched import watching

P = ParamSpec("P")
R = TypeVar("R")

_COMMAND: Final = re.compile(r"('?tightfit [a-z]+ [^']*'|tightfit [a-z]+ --\S+)")
_OPTION: Final = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)(?:(?: |=)([^\s()'\"]*[^\s()'\".,;:?!]))?")
_WORDS: Final = frozenset(
    {"backend", "effort", "judge", "labels", "layout", "observer", "pattern", "scheme", "storage"}
)
"""Options whose value is a plain word; of the others a value has a digit, a sign or capitals."""
_FLAGS: Final = frozenset(
    {"confident", "dequantize", "fix", "fresh", "prove", "trust", "provenance", "refit", "mend"}
)


_MAPPINGS: Final = frozenset({"hold", "input-shape"})
"""Options whose NAME=VALUE is a mapping in Python."""

_READ: Final = ("model", "models", "data", "first", "second", "original", "quantized", "validation", "test")
"""Parameters that name files which a verb reads."""


EARLY_CHECKS: Final[list[Callable[[Mapping[str, object]], None]]] = []
"""What refuses arguments before a verb works; ``api`` adds it."""


def verb(**older: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of a public function.

    Args:
        older: keyword of an earlier release → the keyword of now.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                for name in older.keys() & kwargs.keys():
                    kwargs[older[name]] = kwargs.pop(name)
                check_keywords(function, kwargs)
                for name in _defaults(function, kwargs):
                    del kwargs[name]
                given = dict(zip(signature(function).parameters, args, strict=False)) | kwargs
                _check_output(given.get("output"))
                check_arguments(function, given, in_command=_in_command())
                for check in EARLY_CHECKS:
                    check(given)
                with watching(_files(function, args, kwargs)):
                    return function(*args, **kwargs)
            except TightfitError as error:
                if not _in_command() and error.args:
                    error.args = (in_python(str(error.args[0])), *error.args[1:])
                raise

        return called

    return decorate


def _in_command() -> bool:
    """Return whether a command of the command line is running; click is loaded only where that may be."""
    click = sys.modules.get("click")
    context = None if click is None else click.get_current_context(silent=True)
    module = getattr(getattr(context and context.command, "callback", None), "__module__", "") or ""
    return module.startswith("tightfit.cli")


def check_keywords(function: Callable[..., object], keywords: Mapping[str, object]) -> None:
    """Refuse a keyword that a function does not have.

    Raises:
        OptionError: with the nearest name.
    """
    if not keywords:
        return
    parameters = signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD]
    for name in keywords:
        if name not in known:
            raise OptionError(unknown_name(f"option of {function.__name__}", name, known))


def _defaults(function: Callable[..., object], keywords: Mapping[str, Any]) -> list[str]:
    """Return the keywords that are None and mean their default: those whose type does not admit None."""
    empty = {name for name, value in keywords.items() if value is None}
    if not empty:
        return []
    parameters, types = signature(function).parameters, get_type_hints(function)
    plain = {name for name in empty & parameters.keys() if parameters[name].default is not Parameter.empty}
    return [name for name in plain if type(None) not in get_args(types[name])]


def _check_output(output: object) -> None:
    """Refuse an output that is no path, such as a number that was meant for the next argument.

    Raises:
        OptionError: says what an output is.
    """
    if output is not None and not isinstance(output, str | os.PathLike):
        raise OptionError(
            f"Received {printable(output, 60)} as the output; expected the path of what is written. Pass "
            "further options by keyword."
        )


def _files(
    function: Callable[..., object], given: tuple[Any, ...], keywords: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments that name models and data, by parameter."""
    passed = {**dict(zip(signature(function).parameters, given, strict=False)), **keywords}
    return {name: value for name, value in passed.items() if name in _READ}


def in_python(text: str) -> str:
    """Return a message with the options of the command line written as keywords of Python.

    Whole commands in quotes stay as they are.

    Example:
        >>> in_python("Pass one, as in --image size=224, or give --no-provenance.")
        "Pass one, as in image='size=224', or give provenance=False."
    """
    parts = _COMMAND.split(text)
    return "".join(part if i % 2 else _OPTION.sub(_keyword, part) for i, part in enumerate(parts))


def _mapping(value: str) -> str:
    """Return NAME=NUMBERS as a mapping, and numbers alone as a tuple.

    Example:
        >>> _mapping("x=1,?,3"), _mapping("1,3"), _mapping("rate=16000")
        ("{'x': (1, ?, 3)}", '(1, 3)', "{'rate': 16000}")
    """
    name, equals, numbers = value.rpartition("=")
    shown = f"({', '.join(numbers.split(','))})" if "," in numbers else numbers
    return f"{{{name!r}: {shown}}}" if equals else shown


def _keyword(found: re.Match[str]) -> str:
    """Return one option as a keyword, with its value where one follows."""
    option, value, follows = found[1], found[2] or "", found[0][2 + len(found[1]) :]
    name = option.replace("-", "_")
    if option in _FLAGS:
        return f"{name}=True{follows}"
    if option.startswith("no-") and option[3:] in _FLAGS:
        return f"{name[3:]}=False{follows}"
    is_word = option in _WORDS and value.isalpha()
    if value and (is_word or re.search(r"[0-9=/]", value) or (value.isupper() and len(value) > 1)):
        if option in _MAPPINGS:
            return f"{name}={_mapping(value)}"
        is_number = re.fullmatch(r"-?[0-9.]+", value) is not None
        return f"{name}={value if is_number else repr(value)}"
    return f"{name}={follows}"
