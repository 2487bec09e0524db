"""``AUGMENTATIONS``: random changes of training images in each epoch, one function each.

A function takes float images (batch, height, width, channels) and a random generator. With distillation
instead of labels, augmentation makes few images sufficient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.data.user_code import load_function
from tightfit.errors import OptionError, unknown_name
from tightfit.types import Array

Random = np.random.Generator

_SHIFT: Final = 1 / 14
_ZOOM: Final = 0.6
"""The least side of a crop, as a fraction of the image's."""


def flip(images: Array, random: Random) -> Array:
    """Return the images, a random half of them mirrored left to right."""
    mirrored = random.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def shift(images: Array, random: Random) -> Array:
    """Return the images shifted by up to a fourteenth of their sides; border values are repeated."""
    height, width = images.shape[1:3]
    most = [max(1, round(_SHIFT * side)) for side in (height, width)]
    down, right = (random.integers(-m, m + 1, len(images))[:, None] for m in most)
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    taken = images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return np.asarray(taken)


def zoom(images: Array, random: Random) -> Array:
    """Return random crops of 0.6 to 1 of the sides, resized to the whole image (bilinear)."""
    return np.stack([_crop(image, random) for image in images])


def mix(images: Array, random: Random) -> Array:
    """Return the images, a random half of them blended with another of the batch; without labels only.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    share = np.where(random.random(len(images)) < 0.5, random.uniform(0.5, 1.0, len(images)), 1.0)
    share = share.astype(images.dtype)[:, None, None, None]
    return np.asarray(share * images + (1 - share) * images[random.permutation(len(images))])


AUGMENTATIONS: Final[dict[str, Callable[[Array, Random], Array]]] = {
    "flip": flip, "shift": shift, "zoom": zoom, "mix": mix,
}  # fmt: skip
"""Name → function; augmentations are applied in the given order."""


def check_augmentations(names: Sequence[Any], *, labelled: bool) -> tuple[Any, ...]:
    """Return the names unchanged when they are known and fit the training.

    Args:
        names: names, ``module:function``, or functions of (images, random generator).
        labelled: whether labels train.

    Raises:
        OptionError: a name is unknown, or ``mix`` is used with labels.
    """
    for name in names:
        if not callable(name) and name not in AUGMENTATIONS and ":" not in name:
            raise OptionError(unknown_name("augmentation", name, AUGMENTATIONS))
    if labelled and "mix" in names:
        raise OptionError("Mixed images have no one label; leave 'mix' out, or train without labels.")
    return tuple(names)


def find_augmentation(name: Any) -> Callable[[Array, Random], Array]:
    """Return the function of a name, of ``module:function``, or a function itself."""
    if callable(name):
        return name  # type: ignore[no-any-return]
    if ":" in name:
        return load_function(name, "a function of images and a random generator that returns images")
    return AUGMENTATIONS[name]


def augment(arrays: dict[str, Array], names: Sequence[Any], random: Random) -> dict[str, Array]:
    """Return the inputs of a batch with every float image input augmented.

    Args:
        arrays: input name → batch.
        names: names of augmentations, or functions.
        random: random generator.

    Raises:
        OptionError: no input is a batch of images.
    """
    images = {n for n, a in arrays.items() if a.ndim == 4 and a.dtype.kind == "f"}
    if names and not images:
        raise OptionError("Augmentations change images (height, width, channels), and the model takes none.")
    changed = dict(arrays)
    for key in images:
        for name in names:
            changed[key] = np.asarray(find_augmentation(name)(changed[key], random), changed[key].dtype)
    return changed


def _crop(image: Array, random: Random) -> Array:
    rows, columns = (_places(side, random) for side in image.shape[:2])
    return np.asarray(_between(_between(image, rows, 0), columns, 1), image.dtype)


def _places(side: int, random: Random) -> npt.NDArray[np.float64]:
    """The positions in the image of a crop's pixels along one side."""
    span = random.uniform(_ZOOM, 1.0) * (side - 1)
    return random.uniform(0, side - 1 - span) + np.linspace(0.0, span, side)


def _between(image: Array, places: npt.NDArray[np.float64], axis: int) -> Any:
    """The image interpolated linearly at positions along one axis."""
    low = np.minimum(places.astype(np.int64), image.shape[axis] - 1)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    share = (places - low).astype(np.float32)
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    return np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
