"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tightfit.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])

_UNITS: Final = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
                 "kib": 2**10, "mib": 2**20, "gib": 2**30}  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
threads_option = click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="CPU threads of LiteRT for latency.",
)
seed_option = click.option(
    "--seed",
    default=0,
    show_default=True,
    type=int,
    help="Seed of the split into calibration and evaluation samples.",
)

provenance_option = click.option(
    "--provenance/--no-provenance",
    default=True,
    help="Store recipe, versions and expected outputs in the file, for 'tightfit verify'. On by default.",
)


slices_option = click.option(
    "--slices",
    multiple=True,
    metavar="OUTPUT=AXIS:BEGIN-END=NAME,…",
    help="Slices of an output that must each be kept, as out=-1:0-4=boxes,4-84=scores; others are found.",
)


def parse_slices(given: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the slices that ``--slices`` names.

    Raises:
        OptionError: one has another form.
    """
    from tightfit.evaluation.slices.parts import NamedSlices  # noqa: PLC0415 - loaded when used

    return tuple(NamedSlices.parse(text) for text in given)


def target_options(function: F) -> F:
    """Add ``--target`` and ``--memory``."""
    target = click.option(
        "--target",
        metavar="NAME",
        help="Device that the file must fit; 'tightfit check --target list' lists all.",
    )
    memory = click.option(
        "--memory", metavar="SIZE", help="Memory of the device, in bytes or with a unit, such as 256KiB."
    )
    return target(memory(function))


def data_options(*, required: bool) -> Callable[[F], F]:
    """Add ``--data`` and ``--image``."""

    def add(function: F) -> F:
        data = click.option(
            "--data",
            required=required,
            metavar="DATA",
            help="Samples: x.npz, x.npz:x_test,y_test, a folder of images, a .csv/.jsonl manifest or "
            "module:function.",
        )
        image = click.option(
            "--image",
            metavar="OPTIONS",
            help="Preprocessing of images, such as size=224,crop=0.875,mean=127,std=128.",
        )
        return data(image(function))

    return add


def parse_size(text: str | None) -> int | None:
    """Return bytes for ``5.3MB``, ``300k`` or ``4MiB``.

    Raises:
        OptionError: it is no size.

    Example:
        >>> parse_size("1.5MB"), parse_size("4 KiB")
        (1500000, 4096)
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _UNITS:
        raise OptionError(
            f"Received the size '{text}'; expected a number with B, kB, MB, GB, KiB, MiB or GiB."
        )
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_latency(text: str | None) -> tuple[float | None, float | None]:
    """Return (milliseconds, ratio to the original): ``12``, ``12ms`` and ``0.8x`` are understood.

    Raises:
        OptionError: it is neither.

    Example:
        >>> parse_latency("12ms"), parse_latency("0.8x")
        ((12.0, None), (None, 0.8))
    """
    if text is None:
        return None, None
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|x|×)?\s*", text)
    if match is None:
        raise OptionError(f"Received the latency '{text}'; expected milliseconds (12ms) or a ratio (0.8x).")
    value = float(match[1])
    return (None, value) if match[2] in ("x", "×") else (value, None)


def parse_drops(text: str | None) -> tuple[float | None, dict[str, float | str]]:
    """Return the one limit of ``0.01``, or the limit of each metric of ``map50=0.01,rmse=5%``.

    Raises:
        OptionError: one looks like percent, or a metric is unknown.

    Example:
        >>> parse_drops("0.02"), parse_drops("top1=0.01,rmse=5%")
        ((0.02, {}), (None, {'top1': 0.01, 'rmse': '5%'}))
    """
    from tightfit.evaluation.metrics.spelling import spelled, split_limits  # noqa: PLC0415 - loaded when used

    if text is None:
        return None, {}
    one, several = split_limits(text)
    if one is not None and not 0 <= one < 1:
        raise OptionError(
            f"Received --max-drop {text}; expected a fraction, 0 to 1. One point of accuracy is 0.01."
        )
    limits = {spelled(w): w.limit for w in several if w.limit is not None}
    return one, {name: str(limit) if limit.relative else limit.amount for name, limit in limits.items()}


def parse_overrides(values: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (pattern, scheme) pairs of ``NAME=SCHEME`` words, in order.

    Raises:
        OptionError: a word has no ``=``.

    Example:
        >>> parse_overrides(("SOFTMAX=float",))
        [('SOFTMAX', 'float')]
    """
    pairs = []
    for value in values:
        pattern, equals, scheme = value.rpartition("=")
        if not equals or not pattern or not scheme:
            raise OptionError(
                f"Received the override '{value}'; expected OP=SCHEME, for example SOFTMAX=float."
            )
        pairs.append((pattern, scheme))
    return pairs


def parse_shapes(values: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Return input name → shape of ``NAME=1,224,224,3`` words; the name is empty where none is given.

    Raises:
        OptionError: a word is no list of positive numbers.

    Example:
        >>> parse_shapes(("1,8", "mask=1,8,8"))
        {'': (1, 8), 'mask': (1, 8, 8)}
    """
    shapes = {}
    for value in values:
        name, _, sizes = value.rpartition("=")
        if not re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", sizes):
            raise OptionError(
                f"Received the input shape '{value}'; expected [NAME=]SHAPE, for example 1,224,224,3."
            )
        shapes[name] = tuple(int(s) for s in sizes.split(","))
    return shapes


def parse_assignments(text: str, names: tuple[str, ...]) -> dict[str, float]:
    """Return name → number of ``a=1,b=2``; every name must be there.

    Raises:
        OptionError: a name is missing or unknown, or a value is no number.

    Example:
        >>> parse_assignments("mean=127.5,std=127.5", ("mean", "std"))
        {'mean': 127.5, 'std': 127.5}
    """
    found = dict(re.findall(r"([a-z]+)=(-?[0-9]*\.?[0-9]+)(?:,|$)", text))
    if set(found) != set(names):
        raise OptionError(f"Received '{text}'; expected {','.join(f'{n}=NUMBER' for n in names)}.")
    return {name: float(found[name]) for name in names}


def parse_held(values: tuple[str, ...]) -> dict[str, float]:
    """Return name → number of ``NAME=NUMBER`` words.

    Raises:
        OptionError: a word is no such pair.

    Example:
        >>> parse_held(("sr=16000",))
        {'sr': 16000.0}
    """
    pairs = [re.fullmatch(r"(.+)=(-?[0-9]*\.?[0-9]+)", value) for value in values]
    for value, pair in zip(values, pairs, strict=True):
        if pair is None:
            raise OptionError(f"Received '{value}'; expected NAME=NUMBER, for example sr=16000.")
    return {pair[1]: float(pair[2]) for pair in pairs if pair is not None}
