"""Every command is listed with its own first sentence, and listing imports none."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module

import click
import pytest

from support.places import ROOT
from tightfit.cli.app import app
from tightfit.cli.options.command_group import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_the_first_sentence_of_each_help(name):
    command = getattr(import_module(f"tightfit.cli.{COMMANDS[name][0]}"), name)
    assert command.get_short_help_str(200) == COMMANDS[name][1]


def test_every_command_of_the_package_is_listed():
    found = set()
    for path in (ROOT / "src" / "tightfit" / "cli").glob("*.py"):
        module = import_module(f"tightfit.cli.{path.stem}") if path.stem != "__init__" else None
        found |= (
            {n for n, v in vars(module or object).items() if isinstance(v, click.Command)}
            if module
            else set()
        )
    assert {name for name in found if name != "app"} == set(COMMANDS)


def test_an_unknown_command_is_none():
    assert app.get_command(click.Context(app), "optimise") is None


def test_help_imports_no_command():
    code = (
        "import sys; sys.argv = ['tightfit', '--help']\n"
        "from tightfit.cli.app import app\n"
        "try: app.main(standalone_mode=False)\n"
        "finally: sys.exit(any(m in sys.modules for m in ('numpy', 'rich', 'tightfit.cli.optimize')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_quantize_imports_nothing_of_the_search():
    code = (
        "import sys, tightfit.cli.quantize\n"
        "sys.exit(any(m.startswith(('tightfit.search', 'rich')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_script_starts_here():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"]["tightfit"] == "tightfit.cli:main"
