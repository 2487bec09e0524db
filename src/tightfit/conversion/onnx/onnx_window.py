"""The window of an ONNX convolution or pooling op: kernel, strides, dilations and pads as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tightfit.conversion.onnx.onnx_values import OnnxNode

Pairs = list[tuple[int, int]]


class OnnxWindow:
    """Kernel, strides, dilations and pads of a node, for images of one to three spatial dimensions."""

    def __init__(self, n: OnnxNode, sizes: Sequence[int], kernel: Sequence[int]) -> None:
        rank = len(sizes)
        self.kernel = list(kernel)
        self.strides = list(n.get("strides") or [1] * rank)
        self.dilations = list(n.get("dilations") or [1] * rank)
        self.pads = self._pads(n, sizes)

    def _pads(self, n: OnnxNode, sizes: Sequence[int]) -> Pairs:
        auto = n.get("auto_pad", "NOTSET")
        rank = len(sizes)
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            return [self._same(i, size, lower=auto == "SAME_LOWER") for i, size in enumerate(sizes)]
        given = [0] * (2 * rank) if auto == "VALID" else n.get("pads") or [0] * (2 * rank)
        pairs = list(zip(given[:rank], given[rank:], strict=True))
        return [self._ceiled(i, p, sizes[i]) for i, p in enumerate(pairs)] if n.get("ceil_mode", 0) else pairs

    def _reach(self, i: int) -> int:
        return int((self.kernel[i] - 1) * self.dilations[i] + 1)

    def _same(self, i: int, size: int, *, lower: bool) -> tuple[int, int]:
        total = max(0, (-(-size // self.strides[i]) - 1) * self.strides[i] + self._reach(i) - size)
        small, large = total // 2, total - total // 2
        return (large, small) if lower else (small, large)

    def _ceiled(self, i: int, pair: tuple[int, int], size: int) -> tuple[int, int]:
        """More padding at the end, so that the last, incomplete window counts."""
        free = size + sum(pair) - self._reach(i)
        steps = math.ceil(free / self.strides[i])
        if steps * self.strides[i] >= size + pair[0]:  # a window that starts in the padding does not count
            steps -= 1
        return pair[0], pair[1] + max(0, steps * self.strides[i] - free)


def as_image(x: Any) -> Any:
    """(N, L, C) as (N, 1, L, C)."""
    return x.reshape((x.shape[0], 1, *x.shape[1:]))
