"""The fenced blocks of the pages, and what a comment above a block says about its run.

A comment ``<!-- test: … -->`` directly above a fence holds words, separated by semicolons:

- ``slow``: takes over ten seconds.
- ``needs MODULE``: skipped where the module is not installed.
- ``exit 1: REASON``: the commands end with this code here.
- ``not run: REASON``: checked for its words only.
- ``not run 'WORDS': REASON``: the same, for the commands that hold these words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from support.places import ROOT

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"<!-- test: ((?:(?!-->).)*?) -->\s*\Z", re.DOTALL)
NOT_RUN = re.compile(r"not run(?: '(?P<part>[^']+)')?: (?P<reason>.+)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: file name. line: of the fence, from 1. language: word behind the fence. text: what is inside.
        slow, needs, code: from the comment above; code is the exit code of the commands.
        left_out: words of a command (or "" for all) → reason why it is not run.
    """

    page: str
    line: int
    language: str
    text: str
    slow: bool = False
    needs: tuple[str, ...] = ()
    code: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def reason(self, command: str) -> str:
        """Why a command, or the whole block for "", is not run; empty where it is."""
        return next((why for part, why in self.left_out.items() if part in command), "")


def pages() -> dict[str, Path]:
    """All pages by name: README, docs and what lies below docs, without the sources of generated pages."""
    found = [ROOT / "README.md", ROOT / "README.hi.md", ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md"]
    found += sorted((ROOT / "docs").rglob("*.md"))
    return {
        str(path.relative_to(ROOT)).removeprefix("docs/"): path
        for path in found
        if not path.name.endswith(".in.md")
    }


def blocks(name: str) -> list[Block]:
    """The blocks of a page, in its order."""
    text = pages()[name].read_text(encoding="utf-8")
    return [_block(name, text, found) for found in FENCE.finditer(text)]


def _block(page: str, text: str, found: re.Match[str]) -> Block:
    mark = MARK.search(text[: found.start()])
    known = _words(page, mark[1]) if mark else {}
    line = text.count("\n", 0, found.start()) + 1
    return Block(page, line, found["language"], found["text"], **known)


def _words(page: str, mark: str) -> dict:
    known: dict = {"left_out": {}}
    for word in (part.strip() for part in re.split(r";(?=\s*(?:slow|needs |exit |not run))", mark)):
        if word == "slow":
            known["slow"] = True
        elif word.startswith("needs "):
            known["needs"] = (*known.get("needs", ()), word.removeprefix("needs "))
        elif found := re.fullmatch(r"exit (\d+): (.+)", word, re.DOTALL):
            known["code"] = int(found[1])
        elif found := NOT_RUN.fullmatch(word):
            known["left_out"][found["part"] or ""] = " ".join(found["reason"].split())
        else:
            raise ValueError(f"{page}: '{word}' is no word of a test comment")
    return known


def commands(block: Block) -> list[str]:
    """The commands of a console block: lines behind ``$``, joined where they go on, without comments."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]
    return [re.sub(r"\s+# .*$", "", line).strip() for line in lines]


def inline_code(name: str) -> list[str]:
    """The code in the sentences and tables of a page."""
    text = FENCE.sub("", pages()[name].read_text(encoding="utf-8"))
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
