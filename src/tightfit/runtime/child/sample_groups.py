"""``SampleGroups``: several small samples in one message to a child process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tightfit.types import Array

MOST: Final = 64
"""Samples in a message at most."""
_LARGEST: Final = 256_000
"""Bytes of a message and of its answer at most; one sample may have more."""
_GROUP_S: Final = 0.005
"""How long the child may compute for one message: a message itself takes some tenths of a millisecond."""


class SampleGroups:
    """Samples in their order, in groups that grow while the child needs little time for them.

    Args:
        samples: fitted to the model.
        answer_bytes: of the outputs of one sample.

    Example:
        >>> groups = SampleGroups([{}] * 4, 8)
        >>> sizes = []
        >>> for group in groups:
        ...     sizes.append(len(group))
        ...     groups.took(1e-5)
        >>> sizes
        [1, 2, 1]
    """

    def __init__(self, samples: Iterable[Mapping[str, Array]], answer_bytes: int) -> None:
        self.samples, self.answer_bytes = samples, answer_bytes
        self.most = 1

    def __iter__(self) -> Iterator[list[Mapping[str, Array]]]:
        group: list[Mapping[str, Array]] = []
        held = 0
        for sample in self.samples:
            size = max(self.answer_bytes, sum(array.nbytes for array in sample.values()))
            if group and (len(group) >= self.most or held + size > _LARGEST):
                yield group
                group, held = [], 0
            group.append(sample)
            held += size
        if group:
            yield group

    def took(self, seconds: float) -> None:
        """Choose the size of the next groups from the time that the child computed for one.

        Args:
            seconds: of the last group that was answered.
        """
        if seconds < _GROUP_S / 2:
            self.most = min(MOST, 2 * self.most)
        elif seconds > _GROUP_S:
            self.most = max(1, self.most // 2)
