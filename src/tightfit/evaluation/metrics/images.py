"""Metrics of images that a model makes: PSNR and SSIM against the wanted image."""

from __future__ import annotations

import numpy as np

from tightfit.errors import DataError
from tightfit.evaluation.metrics.metric import DECIBELS, NUMBER, Answer, Metric
from tightfit.evaluation.metrics.values import decibels, truth
from tightfit.types import Array

_SIGMA, _RADIUS = 1.5, 5
_OPTIONS = {
    "range": "largest possible value minus smallest; 1 or 255 by the labels, else their spread",
    "truth": "input compares with the model's input instead of a label",
}


def _range(answer: Answer) -> float:
    """What the user said, what the task found on the first labels, or 1."""
    return float(answer.options.get("range", answer.options.get("found_range", 1.0)))


def _psnr(answer: Answer) -> float:
    wanted = truth(answer)
    error = float(((answer.outputs[answer.output].reshape(-1) - wanted) ** 2).mean())
    return decibels(_range(answer) ** 2, error)


def _ssim(answer: Answer) -> float:
    """The mean over places and channels of the structural similarity in Gaussian windows of 11 × 11."""
    output = answer.outputs[answer.output]
    image = _channels_last(output, answer)
    wanted = truth(answer).reshape(image.shape)
    return float(
        np.mean([ssim(image[..., c], wanted[..., c], _range(answer)) for c in range(image.shape[-1])])
    )


def _channels_last(output: Array, answer: Answer) -> Array:
    """The output as height × width × channels."""
    image = output.astype(np.float64)
    while image.ndim > 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim == 2:
        image = image[..., None]
    elif image.ndim == 3 and image.shape[0] == 1:
        image = image[0][..., None]
    if image.ndim != 3 or min(image.shape[:2]) < 2 * _RADIUS + 1:
        raise DataError(
            f"SSIM takes images of at least {2 * _RADIUS + 1}×{2 * _RADIUS + 1}; output '{answer.output}' "
            "has shape "
            f"{list(output.shape)}. Take psnr."
        )
    return image


def ssim(image: Array, wanted: Array, span: float) -> float:
    """Return the mean structural similarity of two grey images.

    Windows are Gaussian with σ = 1.5 and 11 × 11; K₁ = 0.01, K₂ = 0.03; the border of 5 is left out.

    Args:
        image: height × width.
        wanted: of the same shape.
        span: of the values.

    Source: Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment".
    """
    steps = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-0.5 * (steps / _SIGMA) ** 2)
    kernel /= kernel.sum()

    def smooth(values: Array) -> Array:
        windows = np.lib.stride_tricks.sliding_window_view(values, len(kernel), axis=0) @ kernel
        return np.asarray(np.lib.stride_tricks.sliding_window_view(windows, len(kernel), axis=1) @ kernel)

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    a, b = smooth(image), smooth(wanted)
    aa, bb, ab = smooth(image**2) - a**2, smooth(wanted**2) - b**2, smooth(image * wanted) - a * b
    similar = (2 * a * b + c1) * (2 * ab + c2) / ((a**2 + b**2 + c1) * (aa + bb + c2))
    return float(similar.mean())


ROWS = (
    Metric(
        "psnr", _psnr, "peak signal-to-noise ratio in dB", noun="PSNR in dB", unit=DECIBELS,
        labels="the wanted image", formula="mean over samples of 10 log₁₀ (range² / mean (output − label)²)",
        options=_OPTIONS,
    ),
    Metric(
        "ssim", _ssim, "structural similarity", best=1.0, noun="SSIM", unit=NUMBER, labels="the wanted image",
        formula="mean over samples of the mean SSIM in Gaussian windows (σ 1.5, 11 × 11)", options=_OPTIONS,
    ),
)  # fmt: skip
