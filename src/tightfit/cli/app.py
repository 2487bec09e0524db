"""The command group, and the one place where exceptions are turned into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn

import click

from tightfit import __version__
from tightfit.cli.options.command_group import COMMANDS, CommandGroup
from tightfit.cli.terminal import streams
from tightfit.cli.terminal.streams import INTERRUPTED
from tightfit.errors import LONGEST_SENTENCE, TightfitError, first_line, printable, sentence

DONE, NOT_MET, WRONG_USE = 0, 1, 2


@click.group(
    cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "--version", prog_name="tightfit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--config",
    type=click.Path(),
    help="TOML file with options by command: [optimize] and max_drop = 0.02.",
)
@click.pass_context
def app(context: click.Context, *, debug: bool, config: str | None) -> None:
    """Optimize a trained model for its device, within a budget of accuracy, size and latency.

    Exit codes: 0 done, 1 the budget is not met (the best effort is still written), 2 wrong use or bad input,
    130 stopped by Ctrl-C (what was found so far is written).
    """
    context.obj = {"debug": debug}
    if config is not None:
        from tightfit.cli.options.configuration import read_config  # noqa: PLC0415 - keeps --help light

        context.default_map = read_config(config)


def run() -> NoReturn:
    """Run the command line; every expected error ends as one sentence on stderr and exit code 2."""
    try:
        code = app.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(WRONG_USE)
    except click.ClickException as error:
        hint = " See --help." if isinstance(error, click.UsageError) else ""
        said = error.format_message().rstrip(".")
        _fail(f"{said}{'' if said.endswith('?') else '.'}{hint}", WRONG_USE)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _fail("Interrupted.", INTERRUPTED)
    except TightfitError as error:
        _explain(error)
    except (OSError, MemoryError, RecursionError) as error:
        _explain(error)
    except Exception as error:  # noqa: BLE001 - the last boundary: a bug is reported, not thrown at the user
        said = printable(first_line(error), 120)
        _explain(
            error, f"Internal error: {type(error).__name__}: {said}. Run again with --debug and report it."
        )
    if (broken := streams.failure()) is not None:
        _fail(f"The answer cannot be written: {broken.strerror}. Choose another place for it.", WRONG_USE)
    sys.exit(code if isinstance(code, int) else DONE)


def start() -> NoReturn:
    """Prepares this process for the command line, then runs it."""
    streams.prepare(answer_alone="--json" in sys.argv)
    _leave_by_signals()
    if not {"-h", "--help", "--version"} & set(sys.argv):
        _prepare_work()
    run()


def _prepare_work() -> None:
    """Limits the memory of this process and removes what killed runs left."""
    from tightfit.scratch import sweep_temporary  # noqa: PLC0415 - keeps --help light

    try:
        _limit_memory()
    except TightfitError as error:
        _explain(error)
    sweep_temporary()
    if COMMANDS.get(next((a for a in sys.argv[1:] if not a.startswith("-")), ""), ("",))[0] == "quantize":
        _start_workers()


def _start_workers() -> None:
    """Starts the process that runs models, which loads LiteRT while this one imports the command."""
    from tightfit.runtime.child.child_process import prepare_shared  # noqa: PLC0415 - keeps --help light
    from tightfit.runtime.child.process import worker_count  # noqa: PLC0415 - the same

    prepare_shared(worker_count())


def _leave_by_signals() -> None:
    """Handle SIGTERM and SIGHUP as Ctrl-C: the best file so far is kept, and temporary files are removed."""

    def leave(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        if signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:  # nohup ignores the hangup
            signal.signal(getattr(signal, name), leave)


def _limit_memory() -> None:
    """Has this process fail with a sentence where the machine's memory would end."""
    from tightfit.runtime.child.confinement import limit_memory  # noqa: PLC0415 - keeps --help light
    from tightfit.runtime.child.memory import memory_limit  # noqa: PLC0415 - the same

    limit = memory_limit()
    if limit is not None:
        limit_memory(limit)


def _explain(error: BaseException, sentence: str | None = None) -> NoReturn:
    if "--debug" in sys.argv:
        raise error
    _fail(sentence or _sentence(error), WRONG_USE)


def _memory_sentence() -> str:
    from tightfit.runtime.child.memory import VARIABLE, memory_limit, size_text  # noqa: PLC0415 - keeps --help light

    limit = memory_limit()
    known = "" if limit is None else f" of {size_text(limit)} ({VARIABLE} sets another limit)"
    return f"The memory{known} is used up. Use a smaller model or fewer samples at a time."


def _sentence(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return _memory_sentence()
    if isinstance(error, RecursionError):
        return "The input is nested deeper than any model or data is. Check where the file comes from."
    if isinstance(error, OSError) and error.filename:
        name = printable(
            os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename, 120
        )
        return f"'{name}': {error.strerror}. Check the path and the disk."
    return str(error)


def _fail(words: str, code: int) -> NoReturn:
    """Prints one sentence and exits; the one place where messages are cleaned and cut."""
    head = "tightfit: "
    click.echo(head + sentence(words, LONGEST_SENTENCE - len(head)), err=True)
    sys.exit(code)


def show(value: Any) -> None:
    """Print one value on stdout."""
    click.echo(value)
