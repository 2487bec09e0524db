"""Values that the command line lists are those of the tables; -q, -v and --config work with every command."""

import logging
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from tightfit import demo
from tightfit.api.parameters.arguments import parse_drops, parse_latency, parse_size
from tightfit.api.progress.terminal_bars import Bars
from tightfit.cli.app import app, run
from tightfit.cli.options import choices
from tightfit.cli.options.command_group import COMMANDS
from tightfit.errors import OptionError, unknown_name

TABLES = {
    "LAYOUTS": "quantization.layouts",
    "OBSERVERS": "quantization.calibration.observers",
    "EFFORTS": "search.effort",
    "INITIAL": "weights.centroids",
    "RANGES": "training.option_checks",
    "SCHEMES": "quantization.scheme",
}


@pytest.mark.parametrize("name", TABLES)
def test_the_choices_are_those_of_the_table(name):
    table = getattr(import_module(f"tightfit.{TABLES[name]}"), name)
    assert set(getattr(choices, name)) == set(table)


def test_a_wrong_choice_is_refused_with_the_nearest_name():
    done = CliRunner().invoke(
        app, ["optimize", "m.tflite", "--data", "d.npz", "-o", "out", "--effort", "quik"]
    )
    assert done.exit_code == 2
    assert "Did you mean 'quick'?" in done.output
    assert "Did you mean 'int8'?" in unknown_name("scheme", "INT8", ["int8", "float16"])


def test_an_option_in_the_place_of_a_value_is_refused_by_name():
    done = CliRunner().invoke(app, ["quantize", "m.tflite", "int8", "--recover", "-o", "a.tflite"])
    assert done.exit_code == 2
    assert "Option '--recover' requires a value; received the option '-o'." in done.output


def test_a_question_ends_a_message_without_a_full_stop(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tightfit", "quantize", "m.tflite", "INT8", "-o", "a.tflite"])
    with pytest.raises(SystemExit):
        run()
    assert "Did you mean 'int8'? See --help." in capsys.readouterr().err


def command_option(command, name):
    found = app.get_command(click.Context(app), command)
    return next(p for p in found.params if p.name == name)


def test_the_shell_completes_values():
    command = app.get_command(click.Context(app), "optimize")
    effort = next(p for p in command.params if p.name == "effort")
    assert [c.value for c in effort.type.shell_complete(None, effort, "q")] == ["quick"]
    assert [c.value for c in command_option("check", "target").shell_complete(None, "ethos-u85-2")] == [
        "ethos-u85-256", "ethos-u85-2048",
    ]  # fmt: skip
    found = command_option("quantize", "recover").shell_complete(None, "gptq,smo")
    assert [c.value for c in found] == ["gptq,smoothing"]
    found = command_option("optimize", "only").shell_complete(None, "int8+gp")
    assert "int8+gptq" in [c.value for c in found]
    found = command_option("optimize", "metric").shell_complete(None, "top1,rm")
    assert [c.value for c in found] == ["top1,rmse"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_quiet_and_verbose(name):
    command = app.get_command(click.Context(app), name)
    assert {"-q", "-v"} <= {word for p in command.params for word in getattr(p, "opts", [])}


def test_quiet_shows_no_progress_and_verbose_logs(tmp_path, caplog, capsys):
    words = ["quantize", str(demo.MODEL), "float16", "-o", str(tmp_path / "a.tflite")]
    assert CliRunner().invoke(app, [*words, "-q"], standalone_mode=False).return_value == 0
    caplog.set_level(logging.INFO, "tightfit")
    with Bars() as bars:
        bars.stage("a stage", 1)
    assert "a stage" in capsys.readouterr().err


def test_a_configuration_gives_options_by_command(tmp_path):
    (tmp_path / "c.toml").write_text('[quantize]\nscheme = "float16"\nlayout = "nowhere"\n')
    words = [
        "--config",
        str(tmp_path / "c.toml"),
        "quantize",
        str(demo.MODEL),
        "-o",
        str(tmp_path / "a.tflite"),
    ]
    assert "Unknown layout 'nowhere'" in CliRunner().invoke(app, words).output
    assert CliRunner().invoke(app, [*words, "--layout", "cpu"], standalone_mode=False).return_value == 0
    (tmp_path / "c.toml").write_text("[quantise]\n")
    with pytest.raises(OptionError, match="Did you mean 'quantize'"):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)


def test_numbers_without_a_unit_are_refused_where_they_mislead():
    with pytest.raises(OptionError, match="write 5MB, 5kB or 5B"):
        parse_size("5")
    with pytest.raises(OptionError, match=r"write 0\.5ms or 0\.5x"):
        parse_latency("0.5")
    assert parse_size("300000") == 300_000
    assert parse_latency("1.5s") == (1500.0, None)
    assert parse_drops("1%") == (0.01, {})


def test_the_overall_bar_ends_full(monkeypatch):
    monkeypatch.setattr("tightfit.api.progress.terminal_bars._live_bar", live_bar)
    with Bars(3) as bars:
        for name in "abcde":
            bars.stage(name, 1)
        assert bars._bar.tasks[0].completed <= bars._bar.tasks[0].total
    assert bars._bar.tasks[0].finished
    with Bars(9) as bars:
        bars.stage("a", 1)
    assert bars._bar.tasks[0].percentage == 100


def live_bar():
    from rich.console import Console  # noqa: PLC0415 - one test's
    from rich.progress import Progress  # noqa: PLC0415 - one test's

    return Progress(console=Console(quiet=True), auto_refresh=False)
