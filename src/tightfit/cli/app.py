"""The command group, and the one place where exceptions are turned into messages and exit codes."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from tightfit import __version__
from tightfit.cli.check import advise, check, models
from tightfit.cli.convert import convert
from tightfit.cli.doctor import doctor
from tightfit.cli.evaluate import benchmark, evaluate, inspect
from tightfit.cli.explain import explain
from tightfit.cli.finetune import finetune
from tightfit.cli.optimize import optimize, quantize
from tightfit.cli.prune import cluster, prune
from tightfit.cli.simulate import simulate
from tightfit.cli.verify import diff, verify
from tightfit.errors import TightfitError

DONE, NOT_MET, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", prog_name="tightfit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def app(context: click.Context, *, debug: bool) -> None:
    """Optimize a trained model for its device, within a budget of accuracy, size and latency.

    Exit codes: 0 done, 1 the budget is not met (the best effort is still written), 2 wrong use or bad input.
    """
    context.obj = {"debug": debug}


for command in (
    optimize,
    quantize,
    finetune,
    prune,
    cluster,
    evaluate,
    benchmark,
    check,
    explain,
    doctor,
    advise,
    models,
    inspect,
    convert,
    simulate,
):
    app.add_command(command)
for command in (verify, diff):
    app.add_command(command)


def run() -> NoReturn:
    """Run the command line; every expected error ends as one sentence on stderr and exit code 2."""
    try:
        code = app.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("Interrupted.", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        _fail("Interrupted.", INTERRUPTED)
    except TightfitError as error:
        _explain(error)
    except OSError as error:
        _explain(error)
    except MemoryError as error:
        _explain(error, "The machine's memory is used up. Use a smaller model or fewer samples at a time.")
    except Exception as error:  # noqa: BLE001 - the last boundary: a bug is reported, not thrown at the user
        _explain(
            error, f"Internal error: {type(error).__name__}: {error}. Run again with --debug and report it."
        )
    sys.exit(code if isinstance(code, int) else DONE)


def _explain(error: Exception, sentence: str | None = None) -> NoReturn:
    if "--debug" in sys.argv:
        raise error
    _fail(sentence or _sentence(error), WRONG_USE)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"'{error.filename}': {error.strerror}. Check the path and the disk."
    return str(error)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"tightfit: {sentence}", err=True)
    sys.exit(code)


def show(value: Any) -> None:
    """Print one value on stdout."""
    click.echo(value)
