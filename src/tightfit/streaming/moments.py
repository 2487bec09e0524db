"""Second moments of a layer's input, collected in the runtime's child process.

For a layer ``y = W·x + b`` the squared error of changed weights is ``ΔW · E[x̃ x̃ᵀ] · ΔWᵀ`` with
``x̃ = (x, 1)``. GPTQ and bias correction need only this matrix, whose size does not depend on the number of
samples. The child process imports this module, so it uses NumPy only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MOST_INPUTS: Final = 4608
"""Most columns of a layer's weights (512 channels of 3 × 3): each half of its moments takes 85 MB."""

ROWS: Final = 128
"""Most positions of each sample's feature map that are used, spread evenly."""

CHANNEL_ROWS: Final = 32
"""The same for a depthwise layer, each of whose channels has a small matrix of its own."""

_FLUSH_ROWS: Final = 256
"""Vectors that wait until they are multiplied at once: the matrix then passes through memory less often."""


@dataclass(frozen=True)
class MomentWindow:
    """The windows of the input that a layer's outputs are computed from.

    Args:
        kernel: (height, width); (1, 1) for dense layers.
        stride: (vertical, horizontal).
        dilation: (vertical, horizontal).
        same: SAME padding, else VALID.
        depthwise: one matrix for each channel instead of one for all.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    same: bool = False
    depthwise: bool = False


class Moments:
    """Sums of ``x̃ x̃ᵀ`` over positions, in two halves (even and odd samples) for cross-validation.

    Sums are float32, which halves the memory; their rounding error is far below any damping.

    Attributes:
        halves: sums of even and of odd samples, each (K + 1, K + 1), or (channels, K + 1, K + 1) for
            depthwise; the last row belongs to the bias.
        rows: number of vectors in each half.
        samples: number of samples added.
        damping: largest integer → damping chosen for it (``recovery.rounding.damping``).
    """

    def __init__(self, window: MomentWindow) -> None:
        self.window = window
        self.halves: list[npt.NDArray[np.float32] | None] = [None, None]
        self.pending: list[list[npt.NDArray[np.float32]]] = [[], []]
        self.rows = [0, 0]
        self.samples = 0
        self.damping: dict[int, float] = {}

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Add one sample's input of the layer, shape (…, channels) or (1, height, width, channels)."""
        rows, half = extended(values, self.window), self.samples % 2
        self.samples += 1
        self.pending[half].append(rows)
        if sum(r.shape[-2] for r in self.pending[half]) >= _FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Adds the vectors that wait."""
        for half, waiting in enumerate(self.pending):
            if waiting:
                rows = np.concatenate(waiting, axis=-2)
                self.pending[half] = []
                self._add(half, rows.swapaxes(-1, -2) @ rows, rows.shape[-2])

    def _add(self, half: int, added: npt.NDArray[np.float32], rows: int) -> None:
        known = self.halves[half]
        if known is None:
            self.halves[half] = added
        else:
            known += added
        self.rows[half] += rows

    def merge(self, others: Sequence[Moments]) -> None:
        """Add the sums of other observers."""
        self._flush()
        for other in others:
            other._flush()  # noqa: SLF001 - of its own class
            self.samples += other.samples
            for half, total in enumerate(other.halves):
                if total is not None:
                    self._add(half, total, other.rows[half])

    def mean(self) -> npt.NDArray[np.float64]:
        """Return ``E[x̃ x̃ᵀ]`` of all samples, in the shape of a half.

        Raises:
            ValueError: no sample was added.
        """
        self._flush()
        known = [total for total in self.halves if total is not None]
        if not known:
            raise ValueError("no sample was seen")
        return np.asarray(sum(t.astype(np.float64) for t in known) / sum(self.rows), np.float64)

    def means(self) -> list[npt.NDArray[np.float64]]:
        """Return the mean of each half with samples: two, or one for a single sample."""
        self._flush()
        pairs = zip(self.halves, self.rows, strict=True)
        return [total.astype(np.float64) / rows for total, rows in pairs if total is not None]


class Means:
    """Sums of ``x`` over positions, for bias correction.

    Attributes:
        total: the sum, (K,), or (channels, K) for depthwise; None before the first sample.
        rows: number of vectors added.
    """

    def __init__(self, window: MomentWindow) -> None:
        self.window = window
        self.total: npt.NDArray[np.float64] | None = None
        self.rows = 0

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Add one sample's input of the layer, shape (…, channels) or (1, height, width, channels)."""
        if self.window.depthwise:
            places, inside = _places(values.shape, self.window)
            taken = values.reshape(-1, values.shape[-1])[places]
            self._add(np.einsum("rkc,rk->ck", taken, inside.astype(np.float32)), len(places))
        else:
            rows = vectors(values, self.window)
            self._add(rows.sum(axis=0), len(rows))

    def _add(self, added: npt.NDArray[Any], rows: int) -> None:
        added = added.astype(np.float64)
        self.total = added if self.total is None else self.total + added
        self.rows += rows

    def merge(self, others: Sequence[Means]) -> None:
        """Add the sums of other observers."""
        for other in others:
            if other.total is not None:
                self._add(other.total, other.rows)

    def mean(self) -> npt.NDArray[np.float64]:
        """Return ``E[x]``, (K,), or (channels, K) for depthwise.

        Raises:
            ValueError: no sample was added.
        """
        if self.total is None:
            raise ValueError("no sample was seen")
        return self.total / self.rows


def extended(values: npt.NDArray[np.float32], window: MomentWindow) -> npt.NDArray[np.float32]:
    """Return ``vectors`` with a one appended to each, the input of the bias."""
    if window.depthwise:
        return _channel_vectors(values, window, ones=1)
    rows = vectors(values, window)
    return np.concatenate([rows, np.ones((*rows.shape[:-1], 1), np.float32)], axis=-1)


def vectors(values: npt.NDArray[np.float32], window: MomentWindow) -> npt.NDArray[np.float32]:
    """Return the vectors that the weights multiply: (rows, K), or (channels, rows, K) for depthwise."""
    if window.kernel == (1, 1) and not window.depthwise and values.ndim != 4:
        flat = values.reshape(-1, values.shape[-1])
        return flat[:: max(1, flat.shape[0] // ROWS)]
    if window.depthwise:
        return _channel_vectors(values, window, ones=0)
    places, inside = _places(values.shape, window)
    taken = values.reshape(-1, values.shape[-1])[places]
    return np.asarray(taken * inside[..., None], np.float32).reshape(len(places), -1)


def _channel_vectors(
    values: npt.NDArray[np.float32], window: MomentWindow, *, ones: int
) -> npt.NDArray[np.float32]:
    """The vectors of each channel, (channels, rows, K + ones), gathered in one pass over memory."""
    places, inside = _places(values.shape, window)
    count = values[..., 0].size
    # Two values are appended: a zero, which is read outside of the image, and a one.
    flat = np.zeros((values.shape[-1], count + 2), np.float32)
    flat[:, :count] = values.reshape(count, -1).T
    flat[:, -1] = 1.0
    chosen = np.where(inside, places, count)
    ends = np.full((len(places), ones), count + 1)
    return np.take(flat, np.concatenate([chosen, ends], axis=1), axis=1)


@functools.lru_cache(256)
def _places(
    shape: tuple[int, ...], window: MomentWindow
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The indices of (batch, height, width) that evenly spread output positions read, and which are inside.

    Returns:
        Two arrays (rows, kernel positions); an index outside of the image is that of its border. They are
        cached for the next sample and must not be changed.
    """
    batch, height, width, _ = shape
    out_h, top = _extent(height, window, 0)
    out_w, left = _extent(width, window, 1)
    count = batch * out_h * out_w
    # A step without a common factor with the width visits all columns.
    most = CHANNEL_ROWS if window.depthwise else ROWS
    places = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
    n, rest = np.divmod(places, out_h * out_w)
    row, column = np.divmod(rest, out_w)
    kh, kw = window.kernel
    y = (row * window.stride[0] - top)[:, None] + np.repeat(np.arange(kh), kw) * window.dilation[0]
    x = (column * window.stride[1] - left)[:, None] + np.tile(np.arange(kw), kh) * window.dilation[1]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    within = np.clip(y, 0, height - 1) * width + np.clip(x, 0, width - 1)
    return n[:, None] * (height * width) + within, inside


def _extent(size: int, window: MomentWindow, axis: int) -> tuple[int, int]:
    """Output size and padding before, along one axis (``tflite/kernels/padding.h``)."""
    stride, reach = window.stride[axis], (window.kernel[axis] - 1) * window.dilation[axis] + 1
    if not window.same:
        return max(1, (size - reach) // stride + 1), 0
    out = -(-size // stride)
    return out, max(0, (out - 1) * stride + reach - size) // 2


def window_of(kind: str, weight_shape: tuple[int, ...], options: dict[str, Any]) -> MomentWindow:
    """Return the window of a CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED op.

    Args:
        kind: the op's kind.
        weight_shape: shape of its weights.
        options: the op's options.
    """
    if kind == "FULLY_CONNECTED":
        return MomentWindow()
    return MomentWindow(
        (weight_shape[1], weight_shape[2]),
        (int(options.get("strideH", 1)), int(options.get("strideW", 1))),
        (int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))),
        same=int(options.get("padding", 0)) == 0,
        depthwise=kind == "DEPTHWISE_CONV_2D",
    )
