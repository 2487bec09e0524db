"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tightfit.cli.options import completions
from tightfit.errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
threads_option = click.option(
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="CPU threads of LiteRT for latency.",
)
signature_option = click.option(
    "--signature", metavar="KEY", help="Signature to run, where the models have several."
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


metric_option = click.option(
    "--metric",
    metavar="METRICS",
    shell_complete=completions.metrics,
    default="auto",
    show_default=True,
    help="Metrics, comma-separated: top1, f1, map50, miou, rmse … (docs/metrics.md) or module:function; "
    "NAME@OUTPUT scores one output.",
)


def parse_slices(given: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the slices that ``--slices`` names.

    Raises:
        OptionError: one has another form.
    """
    from tightfit.streaming.slice_axes import NamedSlices  # noqa: PLC0415 - loaded when used

    return tuple(NamedSlices.parse(text) for text in given)


def target_options(function: F) -> F:
    """Add ``--target`` and ``--memory``."""
    target = click.option(
        "--target",
        metavar="NAME",
        shell_complete=completions.targets,
        help="Device that the file must fit; 'tightfit check --target list' lists all.",
    )
    memory = click.option(
        "--memory",
        metavar="SIZE",
        help="Memory of the device, such as 256KiB; a number of bytes from 1000 on.",
    )
    return target(memory(function))


_DATA: Final = (
    "Samples: x.npz, x.npz:x_test,y_test, a folder of images, a .csv/.jsonl manifest or module:function."
)


def data_options(*, required: bool, by_signature: bool = False) -> Callable[[F], F]:
    """Add ``--data`` and ``--image``.

    Args:
        required: whether data must be given.
        by_signature: whether each signature of the model may be given its own data.
    """

    def add(function: F) -> F:
        if by_signature:
            data = click.option(
                "--data",
                required=required,
                multiple=True,
                callback=_keyed,
                metavar="[SIGNATURE=]DATA",
                help=f"{_DATA} SIGNATURE=DATA, once for each, where the model has several signatures.",
            )
        else:
            data = click.option("--data", required=required, metavar="DATA", help=_DATA)
        image = click.option(
            "--image",
            metavar="OPTIONS",
            help="Preprocessing of images, such as size=224,crop=0.875,mean=127,std=128.",
        )
        return data(image(function))

    return add


def _keyed(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    """Return one DATA as it is, several by signature."""
    from tightfit.api.parameters.signature_data import keyed_data  # noqa: PLC0415 - loaded when used

    del context, parameter
    return keyed_data(values)


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
