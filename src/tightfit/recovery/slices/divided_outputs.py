"""An output that one integer scale cannot hold becomes several outputs, each with a scale of its own.

For devices that take integers only: nothing of it runs in float. Entries are put together that one scale
holds, first those that a join made, then single ones. Signature and metadata say how the output is put
together (``graph.split_outputs``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.signatures import output_names
from tightfit.graph.split_outputs import KEY, Piece, metadata_of
from tightfit.recovery.slices.take_entries import CannotTakeError, Taking
from tightfit.streaming.slice_axes import Axis, Part
from tightfit.types import Array

Vector = npt.NDArray[np.float64]

MOST_PIECES: Final = 8
_STEPS: Final = 255.0
_NEAR_CONSTANT: Final = 1e-5


@dataclass(frozen=True)
class Spread:
    """What one entry of an axis showed.

    Args:
        low: extremes.
        high: see ``low``.
        deviation: standard deviation.
    """

    low: Vector
    high: Vector
    deviation: Vector

    @classmethod
    def of(cls, arrays: Iterable[Array], axis: int) -> Spread:
        """Return the spread of each entry of an axis, over samples."""
        rows = [np.moveaxis(np.asarray(a, np.float64), axis, 0).reshape(a.shape[axis], -1) for a in arrays]
        every = np.concatenate(rows, axis=1)
        every = np.where(np.isfinite(every), every, 0.0)
        return cls(every.min(axis=1), every.max(axis=1), every.std(axis=1))

    def holds(self, entries: Sequence[int], decibels: float) -> bool:
        """Return True where one int8 scale keeps the noise of all these entries below their own spread."""
        chosen = list(entries)
        low, high = min(float(self.low[chosen].min()), 0.0), max(float(self.high[chosen].max()), 0.0)
        noise = ((high - low) / _STEPS) ** 2 / 12
        size = np.maximum(np.abs(self.low[chosen]), np.abs(self.high[chosen]))
        moves = self.deviation[chosen] > _NEAR_CONSTANT * size
        wanted = np.square(self.deviation[chosen]) >= noise * 10 ** (decibels / 10)
        return bool((wanted | ~moves).all())


def find_pieces(
    parts: Sequence[Part], spread: Spread, decibels: float, most: int = MOST_PIECES
) -> list[tuple[int, ...]]:
    """Return entries that one scale holds together, in the order of their first; none if there are too many.

    Args:
        parts: of the axis, see ``evaluation.slices``.
        spread: of its entries.
        decibels: ratio of an entry's spread to the rounding that is allowed.
        most: pieces at most.

    Example:
        >>> boxes, scores = Part(0, 2, "boxes"), Part(2, 3, "scores")
        >>> seen = Spread(np.zeros(3), np.array([640.0, 640, 1]), np.array([100.0, 100, 0.2]))
        >>> find_pieces([boxes, scores], seen, 20.0)
        [(0, 1), (2,)]
    """
    units = [unit for part in parts for unit in divide(range(part.begin, part.end), spread, decibels)]
    merged: list[tuple[int, ...]] = []
    for unit in sorted(units):
        if merged and spread.holds(merged[-1], decibels) and spread.holds((*merged[-1], *unit), decibels):
            merged[-1] = tuple(sorted((*merged[-1], *unit)))
        else:
            merged.append(unit)
    return merged if 1 < len(merged) <= most else []


def divide(entries: Sequence[int], spread: Spread, decibels: float) -> list[tuple[int, ...]]:
    """Return the entries of one part: together where one scale holds them, else in groups, the largest first.

    Entries that no scale of their own holds, as they hardly move about a large mean, stay together.
    """
    if spread.holds(entries, decibels):
        return [tuple(entries)]
    reach = np.maximum(np.abs(spread.low), np.abs(spread.high))
    held = [i for i in entries if spread.holds([i], decibels)]
    lost = tuple(i for i in entries if i not in held)
    groups: list[list[int]] = []
    for entry in sorted(held, key=lambda i: (-reach[i], i)):
        home = next((g for g in groups if spread.holds([*g, entry], decibels)), None)
        if home is None:
            groups.append([entry])
        else:
            home.append(entry)
    return [tuple(sorted(group)) for group in groups] + ([lost] if lost else [])


def split_outputs(
    model: Model, axes: Mapping[str, Axis], answers: Mapping[str, Sequence[Array]], decibels: float
) -> tuple[Model, dict[str, list[Piece]]]:
    """Return a model of the same function that gives some outputs in pieces, and these.

    Args:
        model: the float model; it is not changed.
        axes: output name → the axis whose entries have different units.
        answers: output name → what it answered, one a sample.
        decibels: see ``find_pieces``.

    Returns:
        the model itself and nothing where no output can be split.
    """
    twin = copy_model(model)
    splits: dict[str, list[Piece]] = {}
    for name, axis in axes.items():
        spread = Spread.of(answers[name], axis.axis)
        pieces = [Piece(name, axis.axis, e) for e in find_pieces(axis.parts, spread, decibels)]
        try:
            made = [_piece(twin, name, piece) for piece in pieces]
        except CannotTakeError:
            continue
        if made:
            _replace_output(twin, name, pieces, made)
            splits[name] = pieces
    if not splits:
        return model, {}
    twin.metadata[KEY] = metadata_of(splits)
    remove_dead_ops(twin)
    twin.main.validate()
    return twin, splits


def _piece(model: Model, output: str, piece: Piece) -> Tensor:
    whole = output_names(model)[output]
    return Taking(model.main, piece.name).take(whole, piece.axis, piece.entries)


def _replace_output(model: Model, output: str, pieces: Sequence[Piece], made: Sequence[Tensor]) -> None:
    whole, graph = output_names(model)[output], model.main
    for piece, tensor in zip(pieces, made, strict=True):
        if not model.signatures:
            tensor.name = piece.name
    place = graph.outputs.index(whole)
    graph.outputs[place : place + 1] = made
    for signature in model.signatures:
        if signature.graph_index == 0 and output in signature.outputs:
            named = signature.outputs.copy()
            signature.outputs.clear()
            for name, tensor in named.items():
                new = (
                    zip((p.name for p in pieces), made, strict=True) if name == output else ((name, tensor),)
                )
                signature.outputs.update(new)
