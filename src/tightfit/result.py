"""What functions of the package return: plain data on request, a line as text, a table in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from os import PathLike, fspath
from pathlib import Path
from typing import Final, TypeVar

Item = TypeVar("Item")

_LONGEST: Final = 180
_FEW: Final = 40
"""Rows of a table in a notebook."""

Row = Sequence[object]


class Result:
    """A dataclass that a function of the package returns."""

    def to_dict(self) -> dict[str, object]:
        """Return plain data that JSON can hold: paths as text, null for what is not finite."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)} if is_dataclass(self) else {}

    def headline(self) -> str:
        """Return the result in one line."""
        said: list[str] = []
        for name, value in self._facts():
            word = f"{name}={value!r}"
            if said and sum(map(len, said)) + len(word) > _LONGEST - 40:
                break
            said.append(word)
        return f"{type(self).__name__}({', '.join(said)})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the titles and the rows that a notebook shows."""
        return ("", ""), self._facts()

    def chart(self) -> str:
        """Return an SVG to show above the table; empty where there is none."""
        return ""

    def __repr__(self) -> str:
        line = self.headline()
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"

    def _repr_html_(self) -> str:
        notes = [str(note) for note in getattr(self, "notes", ())]
        titles, rows = self.table()
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        return (
            f"<p>{html.escape(repr(self))}</p>{self.chart()}{html_table(titles, rows)}"
            f"{f'<ul>{listed}</ul>' if listed else ''}"
        )

    def _facts(self) -> list[tuple[str, object]]:
        """The fields that are one text, number or path."""
        if not is_dataclass(self):
            return []
        facts = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return [(n, _short(v)) for n, v in facts if isinstance(v, str | bool | int | float | PathLike)]


class ResultList(list[Item]):
    """A list of results with one line as ``repr`` and a table in a notebook."""

    @property
    def path(self) -> Path | None:
        """The file of the first result that has one."""
        found = (getattr(each, "path", None) for each in self)
        return next((Path(path) for path in found if path is not None), None)

    @property
    def notes(self) -> list[str]:
        """The notes of all."""
        return [str(note) for each in self for note in getattr(each, "notes", ())]

    def to_dict(self) -> dict[str, object]:
        """Return plain data that JSON can hold."""
        return {"results": [plain(each) for each in self]}

    def __repr__(self) -> str:
        if len(self) == 1:
            return f"[{self[0]!r}]"
        kind = type(self[0]).__name__ if self else "result"
        return f"[{len(self)} × {kind}]"

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [_flat(each) for each in self]
        titles = list(dict.fromkeys(name for row in rows for name in row))
        shown = [[row.get(name) for name in titles] for row in rows]
        return f"<p>{html.escape(repr(self))}</p>{html_table(titles, shown)}"


def _flat(result: object) -> dict[str, object]:
    """The fields that are one text, number or path, those of fields that are dataclasses too."""
    if not is_dataclass(result):
        return {"": result}
    values = {f.name: getattr(result, f.name) for f in fields(result)}
    own = {n: _short(v) for n, v in values.items() if isinstance(v, str | bool | int | float | PathLike)}
    inner = [vars(v) for v in values.values() if is_dataclass(v) and not isinstance(v, type)]
    return own | {n: v for each in inner for n, v in each.items() if isinstance(v, bool | int | float)}


def html_table(titles: Sequence[str], rows: Iterable[Row]) -> str:
    """Return an HTML table; text is escaped, long tables end after some rows.

    Example:
        >>> html_table(("op", "dB"), [("<conv>", 41.5)])
        '<table><tr><th>op</th><th>dB</th></tr><tr><td>&lt;conv&gt;</td><td>41.5</td></tr></table>'
    """
    body = [[html.escape(_cell(value)) for value in row] for row in rows]
    left = len(body) - _FEW
    lines = [f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in body[:_FEW]]
    if left > 0:
        lines.append(f'<tr><td colspan="{len(titles)}">and {left} more</td></tr>')
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    return f"<table>{f'<tr>{head}</tr>' if any(titles) else ''}{''.join(lines)}</table>"


def plain(value: object) -> object:
    """Return a value as JSON can hold it.

    Example:
        >>> plain({"a": (1, float("inf"))})
        {'a': [1, None]}
    """
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return _plain_object(value)


def _plain_object(value: object) -> object:
    """A sequence, an array, an object with a form of its own, a dataclass, or its text."""
    own = getattr(value, "to_dict", None)
    if callable(own) and not isinstance(value, type):
        return plain(own())
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(each) for each in value]
    number = getattr(value, "item", None)
    return plain(number()) if callable(number) else str(value)


def _short(value: object) -> object:
    return fspath(value) if isinstance(value, PathLike) else value


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
