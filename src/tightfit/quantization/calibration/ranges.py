"""The calibrated range of each tensor, for each integer type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tightfit.errors import OptionError, unknown_name
from tightfit.quantization.calibration.observers import Range, find_observer, needs_histogram, observe_range
from tightfit.streaming.tensor_statistics import Statistics

DEFAULT_OBSERVERS: Final[dict[str, str]] = {"int8": "minmax", "int16": "minmax"}
"""Integer type → default observer, which does not clip: on real models the clipping observers gain up to 3 dB
on some and lose up to 11 dB on others."""


class Ranges:
    """The range of each calibrated tensor, by key.

    Args:
        statistics: for each graph, tensor key → statistics.
        observers: integer type → observer name; other types use ``DEFAULT_OBSERVERS``.

    Raises:
        OptionError: an integer type or observer is unknown.

    Example:
        >>> Ranges.given({"x": (0.0, 6.0)}).find(0, "x", "int8")
        (0.0, 6.0)
    """

    def __init__(
        self, statistics: list[Mapping[str, Statistics]], observers: Mapping[str, str] | None = None
    ) -> None:
        self.statistics = statistics
        self.observers = {**DEFAULT_OBSERVERS, **(observers or {})}
        for dtype, name in self.observers.items():
            if dtype not in DEFAULT_OBSERVERS:
                raise OptionError(unknown_name("activation type for an observer", dtype, DEFAULT_OBSERVERS))
            find_observer(name)
        self._found: dict[tuple[int, str, str], Range] = {}

    @property
    def detailed(self) -> bool:
        """Whether an observer needs histograms."""
        return any(needs_histogram(name) for name in self.observers.values())

    @classmethod
    def given(cls, ranges: Mapping[str, Range], graph_index: int = 0) -> Ranges:
        """Return ranges that are known without calibration, the same for every type."""
        made = cls([])
        for key, limits in ranges.items():
            for dtype in DEFAULT_OBSERVERS:
                made.set(graph_index, key, dtype, limits)
        return made

    def set(self, graph_index: int, key: str, dtype: str, limits: Range) -> None:
        """Set the range of one tensor for one type, in place of the calibrated one.

        Args:
            graph_index: index of the graph.
            key: key of the tensor.
            dtype: the integer type.
            limits: (low, high).

        Raises:
            OptionError: the range is not finite, or ``low`` is above ``high``.
        """
        low, high = float(limits[0]), float(limits[1])
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise OptionError(
                f"The range of '{key}' is [{low}, {high}]; expected finite values, the low first."
            )
        self._found[graph_index, key, dtype] = (low, high)

    def find(self, graph_index: int, key: str, dtype: str) -> Range | None:
        """Return the (low, high) of a tensor, or None when it was not calibrated.

        Args:
            graph_index: index of the graph.
            key: key of the tensor.
            dtype: the integer type.

        Raises:
            QuantizationError: the tensor was NaN or infinite in all calibration samples.
        """
        place = (graph_index, key, dtype)
        if place not in self._found:
            if graph_index >= len(self.statistics) or key not in self.statistics[graph_index]:
                return None
            statistics = self.statistics[graph_index][key]
            if not statistics.samples and not statistics.bad:
                return 0.0, 0.0  # a tensor without elements
            observer = find_observer(self.observers[dtype])
            self._found[place] = observe_range(statistics, observer, dtype, key)
        return self._found[place]

    def partly_bad(self, graph_index: int) -> list[str]:
        """Return the keys of tensors that were NaN or infinite in some samples; those values are ignored."""
        seen = self.statistics[graph_index] if graph_index < len(self.statistics) else {}
        return [key for key, statistics in seen.items() if statistics.bad and statistics.samples]
