"""Samples and activations in temporary files, which need constant memory."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from tightfit.errors import DataError
from tightfit.types import Array

MOST_SAMPLES: Final = 256
"""Most samples that are kept, spread evenly over all."""


class Spool:
    """Arrays of one shape and type in a temporary file, which is deleted with the object.

    Example:
        >>> spool = Spool()
        >>> for i in range(3):
        ...     spool.add(np.full((1, 2), i, np.float32))
        >>> spool.rows()[2].tolist(), len(spool)
        ([[2.0, 2.0]], 3)
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        weakref.finalize(self, self._file.close)
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.float32)

    def __len__(self) -> int:
        return self._count

    def add(self, array: Array) -> None:
        """Add one array.

        Raises:
            DataError: its shape or type differs from the arrays before.
        """
        if not self._count:
            self._shape, self._dtype = array.shape, array.dtype
        if (array.shape, array.dtype) != (self._shape, self._dtype):
            raise DataError(
                f"The samples differ: {self._dtype} {self._shape} and {array.dtype} {array.shape}; expected "
                "one shape and type."
            )
        self._file.write(np.ascontiguousarray(array).tobytes())
        self._count += 1

    def rows(self) -> Array:
        """Return all arrays as one view of the file, (count, *shape)."""
        self._file.flush()
        if not self._count or 0 in self._shape:
            return np.zeros((self._count, *self._shape), self._dtype)
        return np.memmap(self._file, self._dtype, "r", shape=(self._count, *self._shape))


class SampleSpool:
    """Calibration samples on disk, spread evenly over all samples.

    Args:
        samples: starts the samples anew at each call.
        most: most samples that are kept.
    """

    def __init__(
        self, samples: Callable[[], Iterator[Mapping[str, Array]]], most: int = MOST_SAMPLES
    ) -> None:
        count = sum(1 for _ in samples())
        chosen = {i * count // min(count, most) for i in range(min(count, most))}
        self._spools: dict[str, Spool] = {}
        self._count = len(chosen)
        for i, sample in enumerate(samples()):
            if i in chosen:
                for name, values in sample.items():
                    self._spools.setdefault(name, Spool()).add(np.asarray(values))

    def __len__(self) -> int:
        return self._count

    def read(self, indices: Iterable[int] | None = None) -> Iterator[dict[str, Array]]:
        """Yield the samples at some indices, or all."""
        rows = {name: spool.rows() for name, spool in self._spools.items()}
        for i in range(self._count) if indices is None else indices:
            yield {name: np.array(values[i]) for name, values in rows.items()}

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes of all samples, for a fingerprint."""
        for sample in self.read():
            yield from (values.tobytes() for values in sample.values())
