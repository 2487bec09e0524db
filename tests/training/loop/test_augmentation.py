"""Augmented images are still images of the same kind."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.errors import OptionError
from tightfit.training.loop.augmentation import AUGMENTATIONS, augment

IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, 28, 21, 3)).astype(np.float32)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_type_and_range_stay_and_something_changes(name):
    found = AUGMENTATIONS[name](IMAGES, np.random.default_rng(1))
    assert (found.shape, found.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert IMAGES.min() <= found.min()
    assert found.max() <= IMAGES.max()
    assert (found != IMAGES).any((1, 2, 3)).sum() >= 2


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_seed_gives_the_same_images(name):
    first, second = (AUGMENTATIONS[name](IMAGES, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_flip_mirrors_whole_images():
    found = AUGMENTATIONS["flip"](IMAGES, np.random.default_rng(1))
    for before, after in zip(IMAGES, found, strict=True):
        assert (after == before).all() or (after == before[:, ::-1]).all()


def test_only_inputs_that_are_images_change():
    arrays = {"image": IMAGES, "numbers": np.ones((8, 5), np.float32)}
    found = augment(arrays, ["flip"], np.random.default_rng(1))
    assert found["numbers"] is arrays["numbers"]
    with pytest.raises(OptionError, match="the model takes none"):
        augment({"numbers": arrays["numbers"]}, ["flip"], np.random.default_rng(1))
