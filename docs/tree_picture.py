# ruff: noqa: INP001 - a script beside the pages that it serves, not a package
"""Draw the decision tree of ``tightfit advise`` as SVG, from the data that the command uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

from tightfit.search.advisor import walk

ROW: Final = 26
COLUMN: Final = 250
LEFT: Final = 140
"""Where a box begins in its column; the answer that leads to it stands before."""
WIDTH: Final = 100
BOX: Final = 22
STYLE: Final = (
    "text{font:13px sans-serif;fill:#222}rect{fill:#fff;stroke:#999}.s rect{fill:#e3f1e5;stroke:#3c8d4a}"
    ".s text{font-weight:600}path{fill:none;stroke:#999}.a{fill:#666;font-size:11px}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}rect{fill:#222;stroke:#777}.s rect{fill:#1e3a24}"
    ".a{fill:#aaa}}"
)


@dataclass
class Node:
    """A question or, without children, a scheme.

    Args:
        label: the question's name or the scheme.
        children: (answers that lead there, node below).
    """

    label: str
    children: list[tuple[str, Node]] = field(default_factory=list)


def tree(answers: Mapping[str, str] | None = None) -> Node:
    """Return the tree below some answers; answers that lead to the same subtree share a branch."""
    given = dict(answers or {})
    advice, question = walk(given)
    if question is None:
        return Node("" if advice is None else advice.scheme)
    branches: list[tuple[str, Node]] = []
    for option in question.options:
        below = tree(given | {question.name: option})
        same = next((i for i, (_, node) in enumerate(branches) if node == below), None)
        if same is None:
            branches.append((option, below))
        else:
            branches[same] = (f"{branches[same][0]}, {option}", below)
    # Answers that change the command but not the scheme are no branch of the picture.
    return Node(question.name, branches) if len(branches) > 1 else branches[0][1]


def leaves(node: Node) -> int:
    """Return how many rows a node takes."""
    return sum(leaves(below) for _, below in node.children) or 1


def depth(node: Node) -> int:
    """Return how many columns a node takes."""
    return 1 + max((depth(below) for _, below in node.children), default=0)


def picture() -> str:
    """Return the SVG of the whole tree."""
    root = tree()
    width, height = depth(root) * COLUMN + 10, leaves(root) * ROW + 10
    parts = "\n".join(_drawn(root, 5, 5, ""))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Decision tree: questions and the scheme that they lead to">\n<style>{STYLE}</style>\n'
        f"{parts}\n</svg>\n"
    )


def _drawn(node: Node, x: int, y: int, answer: str) -> Iterator[str]:
    """Yield a node's box, the lines to its children, and these."""
    middle = y + leaves(node) * ROW // 2
    kind = "" if node.children else ' class="s"'
    yield f"<g{kind}>"
    yield f'<rect x="{x + LEFT}" y="{middle - BOX // 2}" width="{WIDTH}" height="{BOX}" rx="4"/>'
    centre = x + LEFT + WIDTH // 2
    yield f'<text x="{centre}" y="{middle + 4}" text-anchor="middle">{escape(node.label)}</text></g>'
    if answer:
        yield f'<text class="a" x="{x + LEFT - 6}" y="{middle + 4}" text-anchor="end">{escape(answer)}</text>'
    top = y
    for words, below in node.children:
        there = top + leaves(below) * ROW // 2
        right = x + LEFT + WIDTH
        yield f'<path d="M{right} {middle}C{right + 22} {middle} {right} {there} {right + 22} {there}"/>'
        yield from _drawn(below, x + COLUMN, top, words)
        top += leaves(below) * ROW
