"""Fixtures: the command line in this process."""

import sys

import pytest

from tightfit.cli.app import run


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the command in this process; gives (exit code, stdout, stderr)."""

    def words(*arguments):
        monkeypatch.setattr(sys, "argv", ["tightfit", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return words


@pytest.fixture
def call_unwrapped(call):
    """The same, with the printed text on one line: tables wrap at the terminal's width."""

    def words(*arguments):
        code, out, err = call(*arguments)
        return code, " ".join(out.split()), err

    return words
