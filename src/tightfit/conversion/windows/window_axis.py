"""One dimension of a reduction over windows: its size, window, stride, dilation and padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tightfit.types import Array


@dataclass(frozen=True)
class WindowAxis:
    """One dimension of a window.

    Args:
        size: of the operand.
        window: values that a window combines.
        stride: from one window to the next.
        dilation: from one value of a window to the next.
        base: from one value of the operand to the next (zeros between them).
        pads: values before and after; negative ones are cut off.
    """

    size: int
    window: int
    stride: int = 1
    dilation: int = 1
    base: int = 1
    pads: tuple[int, int] = (0, 0)

    @property
    def reach(self) -> int:
        """The extent of a window with its gaps."""
        return (self.window - 1) * self.dilation + 1

    @property
    def count(self) -> int:
        """How many windows there are."""
        return max(0, (self.size + sum(self.pads) - self.reach) // self.stride + 1)

    @property
    def is_trivial(self) -> bool:
        """True when the dimension stays as it is."""
        return self.window == self.stride == self.base == 1 and self.pads == (0, 0)

    @property
    def is_running(self) -> bool:
        """True when each result combines all values up to (or from) one: a running total."""
        sides = (self.size - 1, 0)
        plain = self.window == self.size > 1 and self.stride == self.dilation == 1
        return plain and self.pads in (sides, sides[::-1])

    def same_pads(self) -> tuple[int, int]:
        """Return the padding that SAME adds.

        Example:
            >>> WindowAxis(32, 3, 2).same_pads()
            (0, 1)
        """
        total = max(0, (-(-self.size // self.stride) - 1) * self.stride + self.reach - self.size)
        return total // 2, total - total // 2

    def inside(self) -> Array:
        """Return how many values of each window are no padding, shape (count,).

        Example:
            >>> WindowAxis(4, 3, 1, pads=(1, 1)).inside()
            array([2, 3, 3, 2])
        """
        starts = np.arange(self.count)[:, None] * self.stride - self.pads[0]
        places = starts + np.arange(self.window) * self.dilation
        return np.asarray(((places >= 0) & (places < self.size)).sum(axis=1))
