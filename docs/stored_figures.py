# ruff: noqa: INP001 - a script beside the pages that it fills, not a package
"""Lines of the pages whose figures are those of a row of a stored result.

``figures.toml`` has under ``[[lines]]`` the page, the line with ``{name*factor:format}`` in the places of
figures, and the rows that they come from: a file of ``bench/stored``, the first words of the row, and the
names of its columns.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STORED = HERE.parent / "bench" / "stored"
PLACE = re.compile(r"\{(-?)(\w+)(?:\*([\d.]+))?:([^{}]+)\}")
NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*")


def pages() -> list[str]:
    """Return the pages with tied lines, as paths from the project's folder."""
    known = tomllib.loads((HERE / "figures.toml").read_text(encoding="utf-8"))
    return sorted({line["page"] for line in known.get("lines", [])})


def templates(page: str) -> list[dict[str, Any]]:
    """Return the lines of a page that are tied to stored rows."""
    known = tomllib.loads((HERE / "figures.toml").read_text(encoding="utf-8"))
    return [line for line in known.get("lines", []) if line["page"] == page]


def values(source: dict[str, str]) -> dict[str, float]:
    """Return the numbers of a stored row by the names of its columns.

    Args:
        source: ``file``, ``row`` (what the row begins with, spaces counted as one) and ``columns`` ("-"
            leaves one out).

    Raises:
        ValueError: no row, or several, begin so; or the row has fewer numbers than there are names.
    """
    lines = (STORED / source["file"]).read_text(encoding="utf-8").splitlines()
    rows = [found[1] for line in lines if (found := re.match(_spaces(source["row"]), line))]
    if len(rows) != 1:
        raise ValueError(f"{source['file']} has {len(rows)} rows '{source['row']}'; expected one")
    numbers = [float(number.replace(",", "")) for number in NUMBER.findall(rows[0])]
    names = source["columns"].split()
    if len(numbers) < len(names):
        raise ValueError(
            f"'{source['row']}' of {source['file']} has {len(numbers)} numbers, not {len(names)}"
        )
    return {name: number for name, number in zip(names, numbers, strict=False) if name != "-"}


def _spaces(words: str) -> str:
    return r"\s*" + r"\s+".join(map(re.escape, words.split())) + r"(?=\s+[+-]?\d)(.*)"


def filled_line(line: dict[str, Any]) -> str:
    """Return a line with its figures."""
    known = {name: value for source in line["rows"] for name, value in values(source).items()}

    def figure(found: re.Match[str]) -> str:
        sign, name, factor, form = found.groups()
        value = known[name] * float(factor or 1) * (-1 if sign else 1)
        text = format(value, form)
        return re.sub(r"^[+-](0\.?0*)$", r"\1", text).replace("-", "−")

    return PLACE.sub(figure, line["text"])


def pattern(line: dict[str, Any]) -> re.Pattern[str]:
    """Return what the line looks like with any figures."""
    parts = re.split(PLACE.pattern.replace("(", "(?:").replace("(?:?:", "(?:"), line["text"])
    return re.compile("^" + r"[+−\d.,]+".join(map(re.escape, parts)) + "$", re.MULTILINE)


def fill(page: str, text: str) -> str:
    """Return the text of a page with the figures of its tied lines.

    Raises:
        ValueError: a line is not on the page, or more than once.
    """
    for line in templates(page):
        found = pattern(line).findall(text)
        if len(found) != 1:
            raise ValueError(f"{page} has the line '{line['text']}' {len(found)} times; expected once")
        text = text.replace(found[0], filled_line(line))
    return text
