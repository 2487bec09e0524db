"""A small trained classifier and enough images to calibrate and to evaluate it, without a download.

The model tells the ten classes of Fashion-MNIST apart; ``examples/train_demo.py`` makes every file of this
folder but the licence. The images are Zalando's, under the MIT licence in ``LICENSE-fashion-mnist``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Sample = tuple[npt.NDArray[np.float32], int]

MODEL = Path(__file__).with_name("model.tflite")
CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_IMAGES = Path(__file__).with_name("images.npz")


def calibration() -> Iterator[Sample]:
    """Yields 1000 training images, 100 of each class: float32 (1, 28, 28, 1) in [0, 1] and the label.

    Example:
        >>> image, label = next(calibration())
        >>> image.shape, image.dtype.name, 0 <= label < len(CLASSES)
        ((1, 28, 28, 1), 'float32', True)
    """
    return _samples("x_calibration", "y_calibration")


def evaluation() -> Iterator[Sample]:
    """Yields 500 test images, 50 of each class, as ``calibration`` does.

    Example:
        >>> len(list(evaluation()))
        500
    """
    return _samples("x", "y")


def everything() -> Iterator[Sample]:
    """Yields the images of ``calibration``, then those of ``evaluation``."""
    yield from calibration()
    yield from evaluation()


def _samples(images: str, labels: str) -> Iterator[Sample]:
    with np.load(_IMAGES) as arrays:
        x, y = arrays[images], arrays[labels]
    for image, label in zip(x, y, strict=True):
        yield image[None, :, :, None].astype(np.float32) / np.float32(255), int(label)
