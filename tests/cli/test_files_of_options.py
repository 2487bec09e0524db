"""Values of ``--config`` and ``--run`` are understood as if they were typed; others are refused."""

from __future__ import annotations

import click
import pytest

from tightfit.cli.app import app
from tightfit.cli.options.command_group import file_value
from tightfit.errors import OptionError


def options_of(text, tmp_path):
    (tmp_path / "run.toml").write_text(text)
    command = app.get_command(click.Context(app), "optimize")
    words = ["m.tflite", "--run", str(tmp_path / "run.toml"), "--data", "d.npz", "-o", "out"]
    return command.make_context("optimize", words).params


def test_numbers_texts_flags_and_lists_are_those_of_the_command(tmp_path):
    text = 'max_drop = 0.02\nonly = "int8"\ncalibration = 12\nconfident = true\nmax_size = "5MB"\n'
    found = options_of(text, tmp_path)
    assert found["max_drop"] == "0.02"
    assert list(found["only"]) == ["int8"]
    assert (found["calibration"], found["confident"], found["max_size"]) == (12, True, "5MB")


@pytest.mark.parametrize(
    "line",
    ["calibration = [1]", "minutes = 2020-01-01", "max_size = {}", 'metric = "\\u0000"', "only = [[]]"],
)
def test_values_that_no_command_line_has_are_refused(line, tmp_path):
    with pytest.raises(OptionError, match=r"The file gives .* expected a"):
        options_of(line, tmp_path)


@pytest.mark.parametrize("line", ["calibration = 1e999", 'confident = "5MB"', 'minutes = "x"'])
def test_values_of_another_type_are_wrong_use(line, tmp_path):
    with pytest.raises(click.UsageError):
        options_of(line, tmp_path)


def test_a_text_is_one_of_several():
    assert file_value("only", "int8", several=True) == ["int8"]
