"""Sets of channels that are kept or removed together: union–find over single channels.

A *channel* is an integer; each index of a labelled axis has one. Ops that combine channels (an addition, a
shared weight) unite them. Ops without a rule freeze them, with a reason.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Channels = npt.NDArray[np.int64]


class ChannelSets:
    """Union–find of channels, with the sets that must be kept.

    Example:
        >>> sets = ChannelSets()
        >>> a, b = sets.new(2), sets.new(2)
        >>> sets.unite(a, b)
        >>> sets.freeze(b[:1], "an output")
        >>> roots = sets.roots()
        >>> roots.tolist(), sets.reasons(roots)
        ([0, 1, 0, 1], {0: 'an output'})
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._frozen: dict[int, str] = {}

    def new(self, count: int) -> Channels:
        """Return ``count`` new channels, each in a set of its own."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count, dtype=np.int64)

    def find(self, channel: int) -> int:
        """Return the root of a channel's set: its oldest channel."""
        root = channel
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[channel] != root:
            self._parents[channel], channel = root, self._parents[channel]
        return root

    def unite(self, first: Channels, second: Channels) -> None:
        """Unite channels pairwise: the two of a pair are both kept or both removed.

        Raises:
            ValueError: the two are of different lengths.
        """
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self.find(a), self.find(b)))
            self._parents[high] = low

    def freeze(self, channels: Channels, reason: str) -> None:
        """Mark channels as not removable; the first reason is recorded."""
        for channel in channels.tolist():
            self._frozen.setdefault(channel, reason)

    def roots(self) -> Channels:
        """Return the root of each channel, (channels,)."""
        return np.array([self.find(c) for c in range(len(self._parents))], np.int64)

    def reasons(self, roots: Channels) -> dict[int, str]:
        """Return root → reason, for every set that must be kept."""
        found: dict[int, str] = {}
        for channel, reason in self._frozen.items():
            found.setdefault(int(roots[channel]), reason)
        return found
