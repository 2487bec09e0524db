"""Types that every package names: arrays, samples, progress. Imports nothing but NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any element type."""

Mask = npt.NDArray[np.bool_]
"""An array of decisions, such as which weights stay."""

Inputs = Mapping[str, Array]
"""One sample: input name → array."""

SampleStream = Iterable[Inputs]
"""Samples that are read once."""

Samples = Callable[[], Iterator[Inputs]]
"""Start the samples anew at each call."""

Steps = Callable[[int, int], None]
"""Progress of one stage: (done, total), total 0 where it is not known."""

Stage = Callable[[str, int, int], None]
"""Progress over stages: (what is done, done, total), total 0 where it is not known."""
