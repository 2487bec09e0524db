"""Outputs that a file gives in pieces, each with a scale of its own: their names, and how to join them.

A device that takes integers only cannot hold boxes in pixels and probabilities in one tensor. The file then
gives them as outputs of their own. A piece is named ``OUTPUT[AXIS:BEGIN-END,…]``, END not included, so that
the signature alone says how the output is put together; the metadata entry ``tightfit.split`` repeats it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from tightfit.types import Array

T = TypeVar("T")

KEY: Final = "tightfit.split"
"""Name of the metadata entry: a JSON list of ``{"output", "axis", "pieces": [{"name", "entries"}]}``."""

_NAME: Final = re.compile(r"(?P<output>.+)\[(?P<axis>\d+):(?P<spans>\d+-\d+(?:,\d+-\d+)*)\]", re.DOTALL)
_MOST_ENTRIES: Final = 1 << 20


@dataclass(frozen=True)
class Piece:
    """Some entries of one axis of an output.

    Args:
        output: name of the whole output.
        axis: counted from 0, the batch included.
        entries: in ascending order.

    Example:
        >>> Piece("out", 2, (0, 1, 2, 3, 7)).name
        'out[2:0-4,7-8]'
    """

    output: str
    axis: int
    entries: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the output that has these entries."""
        return f"{self.output}[{self.axis}:{','.join(f'{b}-{e}' for b, e in self.spans)}]"

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The runs of neighbouring entries, (begin, end)."""
        found: list[tuple[int, int]] = []
        for entry in self.entries:
            if found and found[-1][1] == entry:
                found[-1] = (found[-1][0], entry + 1)
            else:
                found.append((entry, entry + 1))
        return found

    @classmethod
    def parse(cls, name: str) -> Piece | None:
        """Return the piece that an output's name stands for; None for any other name.

        Example:
            >>> Piece.parse("out[1:0-2]").entries, Piece.parse("out")
            ((0, 1), None)
        """
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        spans = [tuple(map(int, span.split("-"))) for span in found["spans"].split(",")]
        if any(begin >= end for begin, end in spans) or sum(e - b for b, e in spans) > _MOST_ENTRIES:
            return None
        entries = tuple(i for begin, end in spans for i in range(begin, end))
        return cls(found["output"], int(found["axis"]), entries)


def pieces_of(names: Iterable[str]) -> dict[str, list[Piece]]:
    """Return, for each output that the names hold all pieces of, these pieces.

    Example:
        >>> list(pieces_of(["y[1:0-2]", "y[1:2-3]", "z"]))
        ['y']
    """
    given = list(names)
    found: dict[str, list[Piece]] = {}
    for piece in map(Piece.parse, given):
        if piece is not None:
            found.setdefault(piece.output, []).append(piece)
    return {name: pieces for name, pieces in found.items() if name not in given and _is_whole(pieces)}


def whole_or_pieces(outputs: Mapping[str, T], name: str) -> list[T]:
    """Return what belongs to an output: its own value, or those of its pieces where it comes in pieces.

    Args:
        outputs: by name, such as tensors.
        name: of a whole output.

    Example:
        >>> whole_or_pieces({"y[1:0-2]": 1, "y[1:2-3]": 2, "z": 3}, "y")
        [1, 2]
    """
    pieces = [] if name in outputs else pieces_of(outputs).get(name, [])
    return [outputs[piece.name] for piece in pieces] or [outputs[name]]


def _is_whole(pieces: Sequence[Piece]) -> bool:
    entries = sorted(i for piece in pieces for i in piece.entries)
    return len(pieces) > 1 and len({p.axis for p in pieces}) == 1 and entries == list(range(len(entries)))


def join_values(values: Mapping[str, Array]) -> dict[str, Array]:
    """Return outputs by name, with those that come in pieces joined.

    Args:
        values: reals by output name; integers of different scales cannot be joined.

    Example:
        >>> join_values({"y[1:0-1]": np.array([[1.0]]), "y[1:1-2]": np.array([[2.0]])})["y"].tolist()
        [[1.0, 2.0]]
    """
    wholes = pieces_of(values)
    inside = {piece.name for pieces in wholes.values() for piece in pieces}
    joined = {name: array for name, array in values.items() if name not in inside}
    for name, pieces in wholes.items():
        order = np.argsort([i for piece in pieces for i in piece.entries])
        axis = pieces[0].axis
        joined[name] = np.take(np.concatenate([values[p.name] for p in pieces], axis), order, axis)
    return joined


def joined_shapes(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of outputs by name, with those that come in pieces joined."""
    wholes = pieces_of(shapes)
    inside = {piece.name for pieces in wholes.values() for piece in pieces}
    found = {name: tuple(shape) for name, shape in shapes.items() if name not in inside}
    for name, pieces in wholes.items():
        shape = list(shapes[pieces[0].name])
        if pieces[0].axis < len(shape):
            shape[pieces[0].axis] = sum(len(p.entries) for p in pieces)
        found[name] = tuple(shape)
    return found


def describe(splits: Mapping[str, Sequence[Piece]]) -> list[dict[str, Any]]:
    """Return what the metadata says of outputs that come in pieces."""
    return [
        {
            "output": name,
            "axis": pieces[0].axis,
            "pieces": [{"name": p.name, "entries": [list(span) for span in p.spans]} for p in pieces],
        }
        for name, pieces in splits.items()
    ]


def metadata_of(splits: Mapping[str, Sequence[Piece]]) -> bytes:
    """Return the metadata entry of outputs that come in pieces."""
    return json.dumps(describe(splits), ensure_ascii=False).encode()
