"""Sets of channels that stand or fall together: union–find over single channels.

A *channel* is an integer; a tensor's axis is labelled by one for each of its indices. Ops that join channels
(an addition, a shared weight) unite them; what cannot be followed freezes them, with the reason.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Channels = npt.NDArray[np.int64]


class ChannelSets:
    """Channels, which of them belong together, and which of them must stay.

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
        """Return so many channels that no other shares yet."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count, dtype=np.int64)

    def find(self, channel: int) -> int:
        """Return the channel that stands for the set of this one: the first that was made."""
        root = channel
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[channel] != root:
            self._parents[channel], channel = root, self._parents[channel]
        return root

    def unite(self, first: Channels, second: Channels) -> None:
        """Join channels one by one: both stay or both go.

        Raises:
            ValueError: the two are of different lengths.
        """
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self.find(a), self.find(b)))
            self._parents[high] = low

    def freeze(self, channels: Channels, reason: str) -> None:
        """Make channels stay; the first reason is kept."""
        for channel in channels.tolist():
            self._frozen.setdefault(channel, reason)

    def roots(self) -> Channels:
        """Return for each channel the one that stands for its set."""
        return np.array([self.find(c) for c in range(len(self._parents))], np.int64)

    def reasons(self, roots: Channels) -> dict[int, str]:
        """Return root → why its set must stay."""
        found: dict[int, str] = {}
        for channel, reason in self._frozen.items():
            found.setdefault(int(roots[channel]), reason)
        return found
