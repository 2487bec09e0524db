"""``Share``: the part of each batch that one of several processes of a training reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tightfit.errors import OptionError


@dataclass(frozen=True)
class Share:
    """One process of a data-parallel training.

    All processes run the same steps; Keras puts their rows together to one batch, so that losses, gradients
    and ranges are those of the whole batch.

    Args:
        number: of the process, from 0.
        count: of all processes.
    """

    number: int = 0
    count: int = 1

    def of(self, batch: Any) -> Any:
        """Return the rows of this process; the batch has a multiple of ``count`` rows.

        Example:
            >>> Share(1, 2).of([0, 1, 2, 3])
            [2, 3]
        """
        size = len(batch) // self.count
        return batch[self.number * size : (self.number + 1) * size]

    def divides(self, size: int) -> bool:
        """Return whether so many rows can be shared evenly."""
        return size % self.count == 0

    def check(self, batch: int) -> None:
        """Check that the rows of a batch can be shared evenly.

        Raises:
            OptionError: they cannot.
        """
        if not self.divides(batch):
            raise OptionError(
                f"A batch of {batch} samples cannot be shared by {self.count} workers; take a multiple of "
                f"{self.count}, such as --batch {max(1, batch // self.count) * self.count}."
            )


WHOLE = Share()
"""A training in one process."""
