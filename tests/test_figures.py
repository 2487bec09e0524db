"""Every figure of README and the docs is printed by a stored result, or says where it comes from."""

from __future__ import annotations

import re
import tomllib

import pytest

from support.doc_pages import figures_of
from support.places import ROOT

GENERATED = {
    "targets",
    "ops",
    "onnx",
    "schemes",
    "recoveries",
    "metrics",
    "benchmarks",
    "guide",
    "guide.hi",
    "api",
}
PAGES = sorted(
    path
    for path in [ROOT / "README.md", ROOT / "README.hi.md", *(ROOT / "docs").glob("*.md")]
    if path.stem not in GENERATED and not path.name.endswith(".in.md")
)
FIGURE = re.compile(
    r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)(?:[–-](\d+(?:\.\d+)?))? ?(×(?! ?\d)|dB|%|ms|MB|kB|points|times\b)"
)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
STATED = tomllib.loads((ROOT / "docs" / "figures.toml").read_text(encoding="utf-8"))


def prose(text: str) -> str:
    """The text without code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def stored_numbers() -> set[float]:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "bench" / "stored").rglob("*.*")]
    return {float(number.replace(",", "")) for text in texts for number in NUMBER.findall(text)}


def is_printed(figure: str, unit: str, stored: set[float]) -> bool:
    """True where a stored number rounds to the figure; shares may be stored as fractions, sizes in bytes."""
    digits = len(figure.partition(".")[2])
    value = float(figure.replace(",", ""))
    factors = {"%": (1, 100), "points": (1, 100), "MB": (1, 1e-6), "kB": (1, 1e-3)}.get(unit, (1,))
    return any(round(number * factor, digits) == value for number in stored for factor in factors)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_figure_is_printed_by_a_stored_result_or_says_where_it_comes_from(page):
    stored = stored_numbers()
    stated = STATED.get(page.name, {})
    text = prose(page.read_text(encoding="utf-8"))
    figures = {(number, unit) for a, b, unit in FIGURE.findall(text) for number in (a, b) if number}
    unbacked = sorted(
        f"{number} {unit}"
        for number, unit in figures
        if f"{number} {unit}" not in stated and not is_printed(number, unit, stored)
    )
    assert not unbacked, (
        f"store what prints them (bench/record.py), or state them in docs/figures.toml: {unbacked}"
    )
    unused = sorted(set(stated) - {f"{number} {unit}" for number, unit in figures})
    assert not unused, f"docs/figures.toml states what the page no longer says: {unused}"


@pytest.mark.parametrize("page", figures_of().pages())
def test_the_lines_that_are_tied_to_a_stored_row_have_its_figures(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == figures_of().fill(page, text), "run: python docs/generate.py"


def test_two_figures_in_each_others_place_are_found():
    page = "README.md"
    text = (ROOT / page).read_text(encoding="utf-8")
    line = figures_of().filled_line(figures_of().templates(page)[3])
    other = figures_of().filled_line(figures_of().templates(page)[5])
    size, latency = line.split("|")[4], other.split("|")[7]
    assert size != latency
    swapped = text.replace(line, line.replace(size, latency))
    assert swapped != text
    assert figures_of().fill(page, swapped) == text
