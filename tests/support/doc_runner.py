"""Runs and checks what blocks of the pages hold: commands, Python and TOML."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from support.doc_blocks import Block, commands
from support.doc_inputs import FILES, NAMES, make
from support.places import ROOT
from tightfit.cli.app import app, run
from tightfit.cli.options.command_group import COMMANDS

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
MAKE = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


class Page:
    """One page's blocks in a folder of their own; a block's files and values stay for the next."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.space: dict[str, object] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        """Runs a block; a block that needs what is not installed is left out."""
        if block.reason("") or any(find_spec(module) is None for module in block.needs):
            return
        if block.language == "console":
            for command in commands(block):
                if not block.reason(command):
                    self.command(command, block)
        elif block.language == "python":
            self.python(block)

    def command(self, command: str, block: Block) -> None:
        words = shlex.split(command)
        if words[0] != "tightfit":
            return  # only checked
        self.inputs(command)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as end:
                run()
        out, err = self.capsys.readouterr()
        assert end.value.code == block.code, f"{block.place}: {command}\n{out[-2000:]}\n{err[-2000:]}"

    def python(self, block: Block) -> None:
        self.inputs(block.text)
        tree = ast.parse(block.text)
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        for name in names & NAMES.keys() - self.space.keys():
            self.space[name] = NAMES[name]()
        try:
            exec(compile(tree, block.place, "exec"), self.space)  # noqa: S102 - the pages are of this project
        except Exception as error:
            error.add_note(f"in {block.place}")
            raise
        self.capsys.readouterr()

    def inputs(self, text: str) -> None:
        """Makes the files that a block names."""
        for name in FILES:
            if re.search(rf"(?<![\w./]){re.escape(name)}(?![\w.])", text):
                make(name, self.folder)


def check(block: Block) -> list[str]:
    """What is wrong with the words of a block, run or not."""
    if block.language == "python":
        compile(block.text, block.place, "exec")
        return []
    if block.language == "toml":
        tomllib.loads(block.text)
        return []
    if block.language == "console":
        return [fault for command in commands(block) for fault in command_faults(command)]
    if block.language == "text":
        loose = re.findall(r"^(?:\$ |tightfit |pip ).*", block.text, re.MULTILINE)
        return [f"a command in a text block: {line}" for line in loose]
    return [f"a block of the language '{block.language}'; expected console, python, toml or text"]


def command_faults(command: str) -> list[str]:
    """What is wrong with the words of a command: its name, its options, the extras, the file."""
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    match words:
        case ["tightfit", *rest]:
            return option_faults(rest)
        case ["pip", "install", *rest]:
            extras = {
                e for word in rest for found in re.findall(r"\[([\w,-]+)\]", word) for e in found.split(",")
            }
            return [f"there is no extra '{e}'" for e in extras - EXTRAS.keys()]
        case ["make", *targets]:
            return [f"there is no target '{t}'" for t in targets if "=" not in t and t not in MAKE]
        case ["python", file, *_] if file.startswith(("bench/", "docs/", "examples/")):
            return [] if (ROOT / file).is_file() else [f"there is no file '{file}'"]
        case _:
            return []


def option_faults(words: list[str]) -> list[str]:
    """The command or the options that the command line does not have; values are not looked at."""
    names = [word for word in words if not word.startswith("-")]
    if not names or names[0] not in COMMANDS:
        return [f"there is no command '{' '.join(words[:1])}'"]
    command = app.get_command(click.Context(app), names[0])
    assert command is not None
    known = {o for p in (*command.params, *app.params) for o in (*p.opts, *p.secondary_opts)}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return [f"'{names[0]}' has no option '{o}'" for o in sorted(given - known - {"--help", "-h"})]


def every_option() -> set[str]:
    """The options of all commands."""
    found = {o for p in app.params for o in p.opts} | {"--help", "-h"}
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        assert command is not None
        found |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    return found


def undefined(text: str) -> set[str]:
    """Names that a Python block reads and neither makes nor has."""
    tree = ast.parse(text)
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    made = {n.id for n in names if not isinstance(n.ctx, ast.Load)} | vars(builtins).keys()
    return {n.id for n in names if isinstance(n.ctx, ast.Load)} - made
