"""Which slices an output has: parts of an axis that mean different things, found or named by the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tightfit.errors import OptionError, unknown_name

MOST_COLUMNS = 1024
"""Entries of an axis that are measured one by one; of a longer one only its parts are."""


@dataclass(frozen=True)
class Part:
    """A range of entries of one axis that one op made.

    Args:
        begin: entries ``begin … end - 1``.
        end: see ``begin``.
        name: of what made them, or the user's.
        one_unit: its entries share a unit (probabilities, features of one layer), so that an entry whose own
            spread is far below that of the others is compared with theirs.
    """

    begin: int
    end: int
    name: str
    one_unit: bool = False


@dataclass(frozen=True)
class Axis:
    """The parts of one axis of an output, in order and without gaps.

    Args:
        axis: counted from 0, the batch included.
        columns: each entry is measured by itself, too.
    """

    axis: int
    parts: tuple[Part, ...]
    columns: bool = True


Slices = Mapping[str, tuple[Axis, ...]]
"""Output name → its axes that carry meaning."""


def default_axes(name: str, shape: Sequence[int]) -> tuple[Axis, ...]:
    """Return the last axis as one part, for an output of which no graph is known.

    Example:
        >>> default_axes("y", (1, 8, 4))[0].parts
        (Part(begin=0, end=4, name='y', one_unit=False),)
    """
    if len(shape) < 2 or shape[-1] < 2:
        return ()
    last = len(shape) - 1
    return (Axis(last, (Part(0, shape[-1], name),), columns=shape[-1] <= MOST_COLUMNS),)


@dataclass(frozen=True)
class NamedSlices:
    """The slices of one ``--slices OUTPUT=AXIS:BEGIN-END=NAME,…``.

    Args:
        output: name of the output.
        axis: may be negative.
        parts: in order.
    """

    output: str
    axis: int
    parts: tuple[Part, ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> NamedSlices:
        """Return what ``OUTPUT=AXIS:BEGIN-END=NAME,BEGIN-END=NAME`` says; END is not part of the slice.

        Raises:
            OptionError: the text has another form.

        Example:
            >>> NamedSlices.parse("out=-1:0-4=boxes,4-7=scores").parts[1]
            Part(begin=4, end=7, name='scores', one_unit=False)
        """
        output, _, rest = text.partition("=")
        axis, _, listed = rest.partition(":")
        try:
            return cls(output, int(axis), tuple(_part(item) for item in listed.split(",")))
        except ValueError:
            raise OptionError(
                f"Received the slices '{text}'; expected OUTPUT=AXIS:BEGIN-END=NAME,BEGIN-END=NAME, for "
                "example output_0=-1:0-4=boxes,4-84=scores."
            ) from None


def named_slices(given: str | Sequence[NamedSlices | str]) -> tuple[NamedSlices, ...]:
    """Return slices of one text or of several; see ``NamedSlices.parse``.

    Raises:
        OptionError: a text has another form.

    Example:
        >>> named_slices("out=-1:0-4=boxes")[0].output
        'out'
    """
    several = [given] if isinstance(given, str | NamedSlices) else given
    return tuple(s if isinstance(s, NamedSlices) else NamedSlices.parse(s) for s in several)


def _part(text: str) -> Part:
    span, _, name = text.partition("=")
    begin, end = (int(n) for n in span.split("-"))
    if not 0 <= begin < end:
        raise ValueError(text)
    return Part(begin, end, name or span)


def with_named(found: Slices, named: Iterable[NamedSlices], shapes: Mapping[str, Sequence[int]]) -> Slices:
    """Return the found slices with those that the user named in place of the same axis.

    Args:
        found: slices that were found, by output.
        named: slices that the user named.
        shapes: output name → shape, the batch included.

    Raises:
        OptionError: there is no such output, axis or entry.
    """
    axes = {name: list(rows) for name, rows in found.items()}
    for given in named:
        if given.output not in shapes:
            raise OptionError(unknown_name("output", given.output, shapes))
        shape = shapes[given.output]
        if not -len(shape) <= given.axis < len(shape):
            raise OptionError(
                f"Output '{given.output}' has {len(shape)} axes; received the axis {given.axis} in --slices."
            )
        axis = given.axis % len(shape)
        beyond = [p for p in given.parts if p.end > shape[axis]]
        if beyond:
            raise OptionError(
                f"Axis {given.axis} of output '{given.output}' has {shape[axis]} entries; received the slice "
                f"{beyond[0].begin}-{beyond[0].end} in --slices."
            )
        others = [row for row in axes.get(given.output, []) if row.axis != axis]
        axes[given.output] = [*others, Axis(axis, given.parts, columns=shape[axis] <= MOST_COLUMNS)]
    return {name: tuple(rows) for name, rows in axes.items()}
