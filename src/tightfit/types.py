"""Type aliases of all packages: arrays, samples, progress callbacks. Imports only NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any element type."""

Scores: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
"""One number a sample."""

Mask = npt.NDArray[np.bool_]
"""A boolean array, such as the keep mask of pruning."""

Inputs = Mapping[str, Array]
"""One sample: input name → array."""

SampleStream = Iterable[Inputs]
"""Samples that are read once."""

Samples = Callable[[], Iterator[Inputs]]
"""A function that starts the samples anew at each call."""

Steps = Callable[[int, int], None]
"""Progress callback of one stage: (steps done, steps in total), total 0 where it is not known."""

Stage = Callable[[str, int, int], None]
"""Progress callback over stages: (stage, steps done, steps in total), total 0 where it is not known."""
