"""The commands by name: each is imported when it is called, so that ``--help`` imports none."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

import click
from click.core import ParameterSource

from tightfit.errors import OptionError, printable

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "optimize": (
        "optimize",
        "Find the smallest, fastest .tflite of MODEL within a budget, and write a report.",
    ),
    "quantize": (
        "quantize",
        "Quantize MODEL by SCHEME: float16, weight8, weight4, dynamic, int8, int16x8 or int8x4.",
    ),
    "finetune": (
        "finetune",
        "Train the float MODEL for quantization, sparsity or clustering, with labels or by distillation.",
    ),
    "prune": (
        "prune",
        "Prune MODEL: set weights to zero, or remove whole channels, and write a smaller file.",
    ),
    "cluster": (
        "cluster",
        "Cluster the weights of MODEL: each layer uses a few distinct values, so the file compresses well.",
    ),
    "evaluate": (
        "evaluate",
        "Measure the accuracy of MODELS on the data, with the paired change from the first (− is worse).",
    ),
    "benchmark": (
        "evaluate",
        "Measure MODELS interleaved: latency (ms), peak memory, size on disk and compressed (bytes).",
    ),
    "check": (
        "check",
        "Check op by op whether a device accelerates MODEL, with the reason and the change to make.",
    ),
    "deploy": (
        "deploy",
        "Write MODEL as C for a device: array, ops, arena, scales, test vector and an example.",
    ),
    "explain": (
        "explain",
        "Find the ops of QUANTIZED with the most error against FLOAT, its cause, and measure remedies.",
    ),
    "compare": (
        "compare",
        "Compare the searches of REPORTS: the choice of each, the best of all, what was asked differently.",
    ),
    "track": (
        "track",
        "Log the search of REPORT to MLflow or TensorBoard: parameters, metrics, candidates, files.",
    ),
    "data": (
        "data",
        "Show what is understood of DATA for a model: samples, ranges, labels, metrics, a sheet of samples.",
    ),
    "doctor": (
        "doctor",
        "Check the calibration data of MODEL: preprocessing, ranges, labels, duplicates and more.",
    ),
    "advise": (
        "check",
        "Recommend an optimization by a few questions, on the terminal or by --answer in scripts.",
    ),
    "models": (
        "check",
        "List hosted models that fit a budget, with their published accuracy and their address.",
    ),
    "inspect": ("inspect", "Show the inputs, outputs, ops, parameters, MACs and quantization of MODEL."),
    "convert": ("convert", "Convert MODEL to a .tflite and compare it with its source on random inputs."),
    "simulate": (
        "simulate",
        "Compare the simulation of MODEL with LiteRT: steps of difference per op, equal decisions.",
    ),
    "verify": (
        "verify",
        "Replay the probes inside MODEL on this machine and compare the outputs with the recorded ones.",
    ),
    "diff": (
        "verify",
        "Compare FIRST with SECOND: inputs and outputs, ops, storage, weights, sizes, results.",
    ),
    "sign": ("verify", "Write a copy of MODEL signed with a key, so that 'verify --key' finds any change."),
}
"""Command → (module of this package, first sentence of its help)."""


class FileContext(click.Context):
    """The context of a command: what a file gives for an option is understood as if it were typed."""

    def lookup_default(self, name: str, call: bool = True) -> Any:  # noqa: ARG002 - click's signature
        """Return the value of a file for an option, as text or texts; None where there is none."""
        value = super().lookup_default(name)
        parameter = next((p for p in self.command.params if p.name == name), None)
        if value is None or parameter is None or name not in (self.default_map or {}):
            return value
        return file_value(name, value, several=parameter.multiple)


def file_value(name: str, value: Any, *, several: bool) -> Any:
    """Return a value of a TOML file as the command line would give it.

    Args:
        name: of the option.
        value: what the file has.
        several: True for an option that may be repeated.

    Raises:
        OptionError: it is no text, number, true, false, or list of such.

    Example:
        >>> file_value("max_drop", 0.01, several=False), file_value("only", "int8", several=True)
        ('0.01', ['int8'])
    """
    values = value if isinstance(value, list | tuple) else [value]
    plain = all(isinstance(v, str | bool | int | float) and "\0" not in str(v) for v in values)
    if not plain or (isinstance(value, list) and not several):
        expected = "a list of texts" if several else "a text, a number, true or false"
        raise OptionError(
            f"The file gives {printable(value, 40)} as '{printable(name, 40)}'; expected {expected}."
        )
    texts = [v if isinstance(v, bool) else str(v) for v in values]
    return texts if several else texts[0]


class CommandGroup(click.Group):
    """A group of ``COMMANDS`` that imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return a command, imported now; None where there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"tightfit.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        command.context_class = FileContext
        if not any(p.name == "quiet" for p in command.params):
            command.callback = _checked(command.callback)
            command.params += [_option(("-q", "--quiet"), _be_quiet, "Show no progress.")]
            command.params += [_option(("-v", "--verbose"), _be_verbose, "Log each stage with its time.")]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command and its words; an option in the place of another's value is refused."""
        name, command, words = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:  # completion asks about unfinished words
            _refuse_swallowed(command, words)
        return name, command, words

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _checked(function: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a command's function that refuses what its options alone tell, before it works."""
    assert function is not None  # noqa: S101 - every command has one

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        from tightfit.api.parameters.early_checks import check_early  # noqa: PLC0415 - keeps --help light

        context = click.get_current_context()
        own = {n: context.get_parameter_source(n) for n in context.params}
        check_early({n: v for n, v in context.params.items() if own[n] is not ParameterSource.DEFAULT})
        return function(*args, **options)

    return called


def _refuse_swallowed(command: click.Command, words: list[str]) -> None:
    """Refuses ``--recover -o file``: click would take ``-o`` for the value."""
    options = [p for p in command.params if isinstance(p, click.Option)]
    every = {name for p in options for name in (*p.opts, *p.secondary_opts)}
    valued = {name for p in options if not p.is_flag and not p.count for name in p.opts}
    for word, following in pairwise(words):
        if word == "--":
            return
        if word in valued and following in every:
            raise click.UsageError(f"Option '{word}' requires a value; received the option '{following}'.")


def _option(names: tuple[str, str], callback: Callable[..., None], help: str) -> click.Option:  # noqa: A002 - click's word
    return click.Option([*names], is_flag=True, expose_value=False, callback=callback, help=help)


def _be_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        from tightfit.api.progress.terminal_bars import shown  # noqa: PLC0415 - loads rich

        token = shown.set(False)
        context.call_on_close(lambda: shown.reset(token))


def _be_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        import logging  # noqa: PLC0415 - keeps --help light

        logger, handler = logging.getLogger("tightfit"), logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        context.call_on_close(lambda: logger.removeHandler(handler))
