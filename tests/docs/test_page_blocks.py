"""Every command and code block of README, docs and the Hindi pages runs, or has the reason why not above it.

The blocks of a page run one after another in a folder of their own, in this process: commands by the command
line, Python in one namespace. ``pytest -rP tests/docs -k reason`` prints what is not run, with the reasons.
"""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

from support.doc_blocks import Block, blocks, inline_code, pages
from support.doc_runner import COMMANDS, Page, check, command_faults, every_option

RUNS = ("console", "python")
ALL = {name: blocks(name) for name in pages()}
QUICK = [name for name, found in ALL.items() if any(b.language in RUNS and not b.slow for b in found)]
SLOW = [name for name, found in ALL.items() if any(b.slow for b in found)]
OTHERS = {"--sparse"}
"""Options of scripts in bench/ that pages name in sentences."""


def missing(found: list[Block]) -> list[str]:
    return sorted({module for b in found for module in b.needs if find_spec(module) is None})


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Page(tmp_path, capsys)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", QUICK)
def test_the_quick_blocks_of_a_page_run(name, page):
    for block in ALL[name]:
        if not block.slow:
            page.run(block)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", SLOW)
def test_all_blocks_of_a_page_run(name, page):
    if modules := missing([b for b in ALL[name] if b.slow]):
        pytest.skip(f"needs {', '.join(modules)}")
    for block in ALL[name]:
        page.run(block)


@pytest.mark.parametrize("name", ALL)
def test_every_block_has_a_language_and_words_that_exist(name):
    faults = [f"{block.place}: {fault}" for block in ALL[name] for fault in check(block)]
    assert not faults


def test_what_is_not_run_has_a_reason():
    left_out = [
        (b.place, part, why) for found in ALL.values() for b in found for part, why in b.left_out.items()
    ]
    for place, part, why in left_out:
        print(f"{place}{f' ({part})' if part else ''}: {why}")  # noqa: T201 - the list is what is asked for
    assert all(len(why) > 10 for _, _, why in left_out)
    parts = [(b, part) for found in ALL.values() for b in found for part in b.left_out]
    assert [f"{b.place}: {part}" for b, part in parts if part not in b.text] == []


@pytest.mark.parametrize("name", ALL)
def test_commands_and_options_in_sentences_exist(name):
    faults = []
    for code in inline_code(name):
        first = code.removeprefix("tightfit ").split()[:1]
        if code.startswith("tightfit ") or (first and first[0] in COMMANDS and " --" in code):
            faults += command_faults("tightfit " + code.removeprefix("tightfit ").replace("'", ""))
        elif found := re.match(r"--[a-z][a-z0-9-]*", code):
            faults += [] if found[0] in every_option() | OTHERS else [f"no command has '{found[0]}'"]
    assert not faults
