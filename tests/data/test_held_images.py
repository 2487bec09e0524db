"""Pictures that a Python caller holds give the samples of the same files in a folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data, open_part, refuse_unused
from tightfit.errors import DataError, OptionError

SPECS = [InputSpec("image", (1, 8, 8, 3), "float32")]
OPTIONS = ImageOptions.parse("size=8,crop=0.9,mean=127,std=128")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(6):
        (place / f"class{i % 2}").mkdir(exist_ok=True)
        pixels = random.integers(0, 255, (12 + i, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"class{i % 2}" / f"{i}.png")
    return place


def samples(data, image=OPTIONS):
    return [(s.inputs["image"], s.label) for s in open_data(data, image=image, inputs=SPECS).samples(None)]


def files_of(folder):
    return sorted(folder.glob("*/*.png"))


KINDS = {
    "pictures": lambda files: [(Image.open(f), int(f.parent.name[-1])) for f in files],
    "columns": lambda files: [{"image": Image.open(f), "label": int(f.parent.name[-1])} for f in files],
    "paths": lambda files: [(f, int(f.parent.name[-1])) for f in files],
    "names": lambda files: lambda: ((str(f), int(f.parent.name[-1])) for f in files),
}


@pytest.mark.parametrize("kind", KINDS)
def test_held_pictures_are_prepared_as_files_are(folder, kind):
    held, expected = samples(KINDS[kind](files_of(folder))), samples(str(folder))
    assert [label for _, label in held] == [label for _, label in expected]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(held, expected, strict=True))


def test_without_options_a_path_is_refused_and_a_picture_is_its_pixels(folder):
    with pytest.raises(DataError, match="how the model expects its pixels is not known"):
        samples(files_of(folder), None)
    small = [Image.new("RGB", (8, 8), (1, 2, 3))]
    assert samples(small, None)[0][0].reshape(-1, 3)[0].tolist() == [1.0, 2.0, 3.0]


def test_arrays_stay_as_they_are():
    x = np.ones((2, 8, 8, 3), np.float32)
    assert all(np.array_equal(a.reshape(8, 8, 3), x[0]) for a, _ in samples(x, None))


@pytest.mark.parametrize("kind", [list, np.array, lambda x: (x, [0, 1]), lambda x: lambda: iter(x)])
def test_image_options_beside_arrays_are_refused(kind):
    x = [np.ones((8, 8, 3), np.float32)] * 2
    with pytest.raises(OptionError, match=r"Received --image for .* no pictures; .* Leave --image out"):
        samples(kind(x))


def test_image_options_may_be_for_the_other_data(folder):
    arrays = [np.ones((8, 8, 3), np.float32)] * 2
    parts = [open_part(d, image=OPTIONS, inputs=SPECS) for d in (str(folder), arrays)]
    refuse_unused(OPTIONS, parts)
    with pytest.raises(OptionError, match="no pictures"):
        refuse_unused(OPTIONS, parts[1:])
