"""Noise and spread of every slice of an output, by sums over the samples: memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tightfit.streaming.pairwise_sums import BLOCK, PairwiseSum
from tightfit.streaming.slice_axes import Axis, Part, Slices, default_axes

Array = npt.NDArray[np.generic]
Reals = npt.NDArray[np.float64]

DISTINCT: Final = 256
"""Different values of a slice are counted up to one more than int8 has."""

_LOOKED_AT: Final = 2048
_MOST_SETS: Final = 64
_SUMS: Final = ("count", "total", "squares", "errors")


@dataclass(frozen=True)
class SliceFacts:
    """What was seen of one slice, in the float model and in the file.

    Args:
        name: of the part. axis, begin, end: its entries.
        one_unit: see ``Part``.
        count: values seen. mean, variance: of the float model's.
        noise: mean square of the difference.
        low: extremes of the float model's. got_low, got_high: of the file's.
        high: see ``low``.
        distinct: different values of the file, up to 257, None where they were not counted.
        largest_variance: of the columns of the same part.
        bad: values of the file that are NaN or infinite where the float model's are not.
    """

    name: str
    axis: int
    begin: int
    end: int
    one_unit: bool
    count: int
    mean: float
    variance: float
    noise: float
    low: float
    high: float
    got_low: float
    got_high: float
    distinct: int | None
    largest_variance: float
    bad: int = 0

    @property
    def is_entry(self) -> bool:
        """Whether it is one entry of a part, not a part."""
        return self.name.endswith("]")


class SliceSums:
    """The sums of one model's outputs beside the float model's.

    Args:
        slices: the axes of each output; outputs that are not named have their last axis.
        first: number of the first sample, for a shard.

    Example:
        >>> sums = SliceSums()
        >>> sums.add({"y": np.float32([[1, 2]])}, {"y": np.float32([[1, 3]])})
        >>> [round(f.noise, 2) for f in sums.facts()["y"]]
        [0.5, 0.0, 1.0]
    """

    def __init__(self, slices: Slices | None = None, first: int = 0) -> None:
        self._slices, self._first = dict(slices or {}), first
        self._outputs: dict[str, list[_AxisSums]] = {}
        self.samples = 0

    def add(self, outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> None:
        """Take in one sample: the file's outputs and the float model's, both as reals."""
        number = self._first + self.samples
        self.samples += 1
        for name, wanted in reference.items():
            got = outputs.get(name)
            if got is None or got.size != wanted.size or wanted.dtype.kind != "f" or not wanted.size:
                continue
            if name not in self._outputs:
                rows = self._slices.get(name)
                axes = default_axes(name, wanted.shape) if rows is None else rows
                self._outputs[name] = [_AxisSums(axis) for axis in axes] or [_AxisSums(None, name)]
            for sums in self._outputs[name]:
                sums.add(got.reshape(wanted.shape), wanted, number)

    def merge(self, following: SliceSums) -> None:
        """Take in the sums over the samples that follow."""
        for name, rows in following._outputs.items():
            if name not in self._outputs:
                self._outputs[name] = rows
                continue
            for own, more in zip(self._outputs[name], rows, strict=True):
                own.merge(more)
        self.samples += following.samples

    def facts(self) -> dict[str, list[SliceFacts]]:
        """Return what was seen of each slice of each output: its parts, then its single entries."""
        return {name: [f for sums in rows for f in sums.facts()] for name, rows in self._outputs.items()}


class _Reductions(NamedTuple):
    """NumPy's reductions along an axis, with or without values that do not count."""

    total: Callable[..., Reals]
    least: Callable[..., Reals]
    most: Callable[..., Reals]


_OF_ALL: Final = _Reductions(np.sum, np.min, np.max)
_OF_SOME: Final = _Reductions(np.nansum, np.nanmin, np.nanmax)


class _AxisSums:
    """The sums over everything but one axis, entry by entry; without an axis, over all."""

    def __init__(self, axis: Axis | None, name: str = "") -> None:
        self.axis = axis
        self.name = name
        self.totals: dict[str, PairwiseSum] = {}
        self.sums: dict[str, Reals] = {}
        self.bad: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.ends: Reals = np.zeros((4, 0))
        self.values: list[set[float]] = []
        self.parts: tuple[Part, ...] = ()

    def add(self, got: Array, wanted: Array, number: int) -> None:
        a, b = self._rows(wanted), self._rows(got)
        if not self.totals:
            self._start(len(a), number)
        elif len(a) != len(self.bad):
            return  # an axis whose size changes from sample to sample has no fixed slices
        finite, good = np.isfinite(a), np.isfinite(b)
        if not (finite.all() and good.all()):
            self.bad += (finite & ~good).sum(axis=1)
            a, b = np.where(finite & good, a, np.nan), np.where(finite & good, b, np.nan)
            self._take(a, b, _OF_SOME, number)
            return
        self._take(a, b, _OF_ALL, number)

    def merge(self, following: _AxisSums) -> None:
        """Take in the sums over the samples that follow; those of another size are left out."""
        if len(following.bad) != len(self.bad):
            return
        for name, total in self.totals.items():
            total.merge(following.totals[name])
        self.bad += following.bad
        for row, join in enumerate((np.minimum, np.maximum) * 2):
            self.ends[row] = join(self.ends[row], following.ends[row])
        for values, more in zip(self.values, following.values, strict=True):
            values.update(more)

    def _take(self, a: Reals, b: Reals, by: _Reductions, number: int) -> None:
        """Adds one sample's rows; NaN stands for a value that does not count."""
        counts = np.isfinite(a).sum(axis=1)
        more = (
            counts,
            by.total(a, axis=1),
            by.total(np.square(a), axis=1),
            by.total(np.square(b - a), axis=1),
        )
        for name, amount in zip(_SUMS, more, strict=True):
            self.totals[name].add(np.asarray(amount, np.float64), number)
        seen = counts > 0
        if seen.any():
            for row, values in ((0, a[seen]), (2, b[seen])):
                self.ends[row, seen] = np.minimum(self.ends[row, seen], by.least(values, axis=1))
                self.ends[row + 1, seen] = np.maximum(self.ends[row + 1, seen], by.most(values, axis=1))
        self._count_values(b)

    def _start(self, size: int, number: int) -> None:
        self.totals = {name: PairwiseSum(number - number % BLOCK) for name in _SUMS}
        self.bad = np.zeros(size, np.int64)
        self.ends = np.tile(np.array([[np.inf], [-np.inf], [np.inf], [-np.inf]]), (1, size))
        whole = (Part(0, size, self.name),)
        self.parts = whole if self.axis is None else tuple(p for p in self.axis.parts if p.begin < size)
        sets = size if self._has_columns() and size <= _MOST_SETS else len(self.parts)
        self.values = [set() for _ in range(sets)]

    def _has_columns(self) -> bool:
        return self.axis is not None and self.axis.columns

    def _rows(self, values: Array) -> Reals:
        """One row an entry of the axis."""
        reals = np.asarray(values, np.float64)
        axis = self._place(reals.shape)
        return (
            reals.reshape(1, -1)
            if axis is None
            else np.moveaxis(reals, axis, 0).reshape(reals.shape[axis], -1)
        )

    def _place(self, shape: tuple[int, ...]) -> int | None:
        """Where the axis is at run time: a dense layer may drop leading axes that the file declares."""
        if self.axis is None or not shape:
            return None
        if self.axis.axis < len(shape):
            return self.axis.axis
        return len(shape) - 1 if shape[-1] == self.axis.parts[-1].end else None

    def _count_values(self, rows: Reals) -> None:
        """Notes different values of a strided subsample; a set that is full stays as it is."""
        by_entry = len(self.values) == len(rows) and self._has_columns()
        spans = [(i, i + 1) for i in range(len(rows))] if by_entry else [(p.begin, p.end) for p in self.parts]
        for values, (begin, end) in zip(self.values, spans, strict=True):
            if len(values) <= DISTINCT:
                flat = rows[begin:end].reshape(-1)
                step = max(1, flat.size // _LOOKED_AT) | 1 if flat.size > _LOOKED_AT else 1
                values.update(flat[::step].tolist())

    # -- results -------------------------------------------------------------------------------

    def facts(self) -> list[SliceFacts]:
        if not self.totals:
            return []
        self.sums = {name: total.total() for name, total in self.totals.items()}
        found = [self._of(part, part.begin, part.end, index) for index, part in enumerate(self.parts)]
        if self._has_columns() and len(self.bad) > 1:
            found += [
                self._of(part, i, i + 1, None)
                for part in self.parts
                if part.end - part.begin > 1
                for i in range(part.begin, min(part.end, len(self.bad)))
            ]
        return found

    def _of(self, part: Part, begin: int, end: int, index: int | None) -> SliceFacts:
        span = slice(begin, end)
        count = float(self.sums["count"][span].sum())
        mean = float(self.sums["total"][span].sum()) / max(count, 1.0)
        variance = max(float(self.sums["squares"][span].sum()) / max(count, 1.0) - mean**2, 0.0)
        low, high, got_low, got_high = self._ends(span)
        column = "" if end - begin == part.end - part.begin else f"[{begin - part.begin}]"
        return SliceFacts(
            part.name + column, 0 if self.axis is None else self.axis.axis, begin, end, part.one_unit,
            int(count), mean, variance, float(self.sums["errors"][span].sum()) / max(count, 1.0),
            low, high, got_low, got_high, self._distinct(begin, end, index), self._largest(part),
            int(self.bad[span].sum()),
        )  # fmt: skip

    def _ends(self, span: slice) -> tuple[float, float, float, float]:
        ends = self.ends[:, span]
        return float(ends[0].min()), float(ends[1].max()), float(ends[2].min()), float(ends[3].max())

    def _distinct(self, begin: int, end: int, index: int | None) -> int | None:
        by_entry = len(self.values) == len(self.bad) and self._has_columns()
        if by_entry:
            together = set[float]().union(*self.values[begin:end])
            return min(len(together), DISTINCT + 1)
        return None if index is None else min(len(self.values[index]), DISTINCT + 1)

    def _largest(self, part: Part) -> float:
        span = slice(part.begin, part.end)
        count = np.maximum(self.sums["count"][span], 1.0)
        variances = self.sums["squares"][span] / count - np.square(self.sums["total"][span] / count)
        return max(float(variances.max(initial=0.0)), 0.0)
