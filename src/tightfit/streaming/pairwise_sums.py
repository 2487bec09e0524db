"""Sums over samples whose last bit does not depend on how the samples were divided into shards.

Samples are added one after another within a block of 256; the sums of blocks are added pairwise, as the nodes
of a binary tree over the blocks' numbers. A node depends on its samples only, so shards that begin at a block
make the same nodes, and their sum is bit-equal to that of one process. Up to 256 samples this is plain
addition; beyond, the error grows with the logarithm of the count instead of the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tightfit.errors import DataError

BLOCK: Final = 256
"""Samples that are added in order; shards begin at multiples of it."""


class _Node(NamedTuple):
    """The sum of ``size`` blocks from ``first`` on."""

    first: int
    size: int
    value: Any


class PairwiseSum:
    """The sum of one value a sample, a number or an array.

    Args:
        first: number of the first sample; a multiple of ``BLOCK``.

    Example:
        >>> one, a, b = PairwiseSum(), PairwiseSum(), PairwiseSum(256)
        >>> for i in range(600):
        ...     one.add(0.1 * i)
        ...     (a if i < 256 else b).add(0.1 * i)
        >>> a.merge(b)
        >>> a.total() == one.total()
        True

    Source: Higham 1993, "The accuracy of floating point summation", SIAM J. Sci. Comput. 14.
    """

    __slots__ = ("_nodes", "_open", "count", "first")

    def __init__(self, first: int = 0) -> None:
        if first % BLOCK:
            raise DataError(f"A shard begins at sample {first}; expected a multiple of {BLOCK}.")
        self.first, self.count = first, 0
        self._open: Any = None
        self._nodes: list[_Node] = []

    def add(self, value: Any, at: int | None = None) -> None:
        """Add a sample's value; an array is not changed.

        Args:
            value: of the sample.
            at: number of the sample, not below that of the last one; None for the next one.
        """
        if at is not None:
            self._skip_to(at)
        self._open = value if self._open is None else self._open + value
        self._end_sample()

    def _skip_to(self, at: int) -> None:
        """Count samples without a value."""
        while self.first + self.count < at:
            self._end_sample()

    def _end_sample(self) -> None:
        self.count += 1
        if self.count % BLOCK == 0 and self._open is not None:
            number = (self.first + self.count) // BLOCK - 1
            self._push(_Node(number, 1, self._open))
            self._open = None

    def merge(self, following: PairwiseSum) -> None:
        """Add the sum of the samples that follow.

        Raises:
            DataError: the other sum does not begin where this one ends.
        """
        if not following.count:
            return
        self._skip_to(following.first)
        if following.first != self.first + self.count or self._open is not None:
            raise DataError(
                f"A shard begins at sample {following.first}; expected {self.first + self.count}, at a "
                f"multiple of {BLOCK}."
            )
        for node in following._nodes:
            self._push(node)
        self._open, self.count = following._open, self.count + following.count

    def total(self, empty: Any = 0.0) -> Any:
        """Return the sum; ``empty`` without a sample."""
        values = [node.value for node in self._nodes] + ([] if self._open is None else [self._open])
        return _from_the_right(values) if values else empty

    def _push(self, node: _Node) -> None:
        """Add a node, and join siblings: two of equal size whose parent begins at the first."""
        while self._nodes:
            before = self._nodes[-1]
            follows = before.first + before.size == node.first
            if before.size != node.size or before.first % (2 * node.size) or not follows:
                break
            self._nodes.pop()
            node = _Node(before.first, 2 * node.size, before.value + node.value)
        self._nodes.append(node)


def _from_the_right(values: Sequence[Any]) -> Any:
    """Return the sum of the nodes that are left, the smallest first."""
    total = values[-1]
    for value in reversed(values[:-1]):
        total = value + total
    return total
