"""Inputs that a file takes in pieces, each with a scale of its own: their names, and how to make them.

A device that takes integers only cannot hold pascals and degrees in one tensor. The file then takes columns
of one unit as inputs of their own. A piece is named ``INPUT[AXIS:BEGIN-END,…]``, END not included, with a
shift behind it where one belongs to its values: ``x[1:2-3]-101325`` takes ``x[:, 2:3] - 101325``. The
metadata entry ``tightfit.split_inputs`` repeats it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.graph.split_outputs import Piece
from tightfit.types import Array

INPUTS_KEY: Final = "tightfit.split_inputs"
"""Name of the metadata entry: a list of ``{"input", "axis", "pieces": [{"name", "entries", "shift"}]}``."""

_NAME: Final = re.compile(r"(?P<piece>.+\])(?P<shift>[+-][0-9.]+(?:e[+-][0-9]+)?)?", re.DOTALL)


@dataclass(frozen=True)
class InputPiece:
    """Some entries of one axis of an input, and what is added to them.

    Args:
        entries: of the input.
        shift: added to the values, a float32.

    Example:
        >>> InputPiece(Piece("x", 1, (2,)), -101325.0).name
        'x[1:2-3]-101325'
    """

    entries: Piece
    shift: float = 0.0

    @property
    def name(self) -> str:
        """The name of the input that takes these entries."""
        return self.entries.name + (f"{self.shift:+.9g}" if self.shift else "")

    @classmethod
    def parse(cls, name: str) -> InputPiece | None:
        """Return the piece that an input's name stands for; None for any other name.

        Example:
            >>> InputPiece.parse("x[1:0-2]+0.5").shift, InputPiece.parse("x")
            (0.5, None)
        """
        found = _NAME.fullmatch(name)
        piece = None if found is None else Piece.parse(found["piece"])
        if found is None or piece is None:
            return None
        return cls(piece, float(np.float32(found["shift"] or 0.0)))

    def of(self, whole: Array) -> Array:
        """Return what the piece takes of a whole input."""
        taken = np.take(whole, self.entries.entries, self.entries.axis)
        return np.asarray(taken + taken.dtype.type(self.shift)) if self.shift else taken


def input_pieces(names: Iterable[str]) -> dict[str, list[InputPiece]]:
    """Return, for each input that the names hold all pieces of, these pieces.

    Example:
        >>> list(input_pieces(["x[1:0-2]", "x[1:2-3]-7", "z"]))
        ['x']
    """
    given = list(names)
    found: dict[str, list[InputPiece]] = {}
    for piece in map(InputPiece.parse, given):
        if piece is not None:
            found.setdefault(piece.entries.output, []).append(piece)
    return {name: pieces for name, pieces in found.items() if name not in given and _is_whole(pieces)}


def _is_whole(pieces: Sequence[InputPiece]) -> bool:
    entries = sorted(i for piece in pieces for i in piece.entries.entries)
    one_axis = len({p.entries.axis for p in pieces}) == 1
    return len(pieces) > 1 and one_axis and entries == list(range(len(entries)))


def split_values(values: Mapping[str, Array], names: Iterable[str]) -> Mapping[str, Array]:
    """Return inputs by name, with those that a file takes in pieces split.

    Args:
        values: reals by input name.
        names: what the file's inputs are called.

    Example:
        >>> split_values({"x": np.float32([[1, 9]])}, ["x[1:0-1]", "x[1:1-2]-5"])["x[1:1-2]-5"].tolist()
        [[4.0]]
    """
    wholes = {name: pieces for name, pieces in input_pieces(names).items() if name in values}
    if not wholes:
        return values
    found = {name: array for name, array in values.items() if name not in wholes}
    for name, pieces in wholes.items():
        found |= {piece.name: piece.of(values[name]) for piece in pieces}
    return found


def whole_shape(pieces: Sequence[InputPiece], shapes: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """Return the shape of the input that pieces belong to."""
    shape = list(shapes[pieces[0].name])
    shape[pieces[0].entries.axis] = sum(len(p.entries.entries) for p in pieces)
    return tuple(shape)


def metadata_of_inputs(splits: Mapping[str, Sequence[InputPiece]]) -> bytes:
    """Return the metadata entry of inputs that come in pieces."""
    rows = [
        {
            "input": name,
            "axis": pieces[0].entries.axis,
            "pieces": [
                {"name": p.name, "entries": [list(span) for span in p.entries.spans], "shift": p.shift}
                for p in pieces
            ],
        }
        for name, pieces in splits.items()
    ]
    return json.dumps(rows, ensure_ascii=False).encode()
