from __future__ import annotations

import time

import pytest
from PIL import Image

from support import places
from tightfit.data.images.decoded_images import Decoded
from tightfit.data.sources import ImageOptions, InputSpec, open_data
from tightfit.errors import DataError

PHOTO = InputSpec("image", (1, 4, 4, 3), "float32")
SHARED = places.SHARED / "data" / "imagenet500"


def put(root, *names):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (i, i, i)).save(root / name)


def opened(root, text="size=4", spec=PHOTO):
    return open_data(str(root), image=ImageOptions.parse(text), inputs=[spec])


def test_the_class_is_the_position_among_the_sorted_folders(tmp_path):
    put(tmp_path, "dog/1.png", "cat/1.png", "cat/2.png", "emu/deep/3.png")
    data = opened(tmp_path)
    assert data.labels().tolist() == [0, 0, 1, 2]
    assert [s.inputs["image"][0, 0, 0, 0] for s in data.samples()] == [1, 2, 0, 3]
    assert data.describe()["classes"] == 3


def test_the_number_that_a_folder_starts_with_is_the_class(tmp_path):
    put(tmp_path, "0010_n1/a.png", "0002_n2/a.png", "7/a.png")
    assert opened(tmp_path).labels().tolist() == [2, 10, 7]


def test_an_empty_class_folder_keeps_its_index(tmp_path):
    put(tmp_path, "a/1.png", "c/1.png")
    (tmp_path / "b").mkdir()
    assert opened(tmp_path).labels().tolist() == [0, 2]


def test_numbered_and_unnumbered_folders_together_are_refused(tmp_path):
    put(tmp_path, "3d_printer/1.png", "cat/1.png")
    with pytest.raises(DataError, match=r"1 of the 2 class folders .* start with a number .*'3d_printer'"):
        opened(tmp_path)


@pytest.mark.parametrize("names", [["b.png", "a.png"], ["all/b.png", "all/a.png"]])
def test_images_in_one_place_have_no_labels(tmp_path, names):
    put(tmp_path, *names)
    data = opened(tmp_path)
    assert not data.has_labels
    assert data.labels() is None
    assert [s.label for s in data.samples()] == [None, None]


def test_loose_images_beside_class_folders_are_refused(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", "stray.png")
    with pytest.raises(DataError, match=r"holds 1 images .*'stray.png'.* beside 2 class folders"):
        opened(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no images"):
        opened(tmp_path)


def test_without_image_options_the_size_to_pass_is_told(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(DataError, match=r"Pass --image .*size=224,.*'image' takes 224x224x3"):
        open_data(str(tmp_path), inputs=[InputSpec("image", (1, 224, 224, 3), "float32")])


def test_images_for_a_model_of_two_inputs_are_refused(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(DataError, match="the model has 2 inputs: 'image', 'size'"):
        open_data(str(tmp_path), image=ImageOptions(), inputs=[PHOTO, InputSpec("size", (1, 2), "float32")])


def test_the_fingerprint_changes_with_a_file_and_not_with_its_place(tmp_path):
    put(tmp_path / "one", "a/1.png", "b/1.png")
    put(tmp_path / "two", "a/1.png", "b/1.png")
    before = opened(tmp_path / "one").fingerprint()
    assert before == opened(tmp_path / "two").fingerprint()
    Image.new("RGB", (6, 6), (200, 0, 0)).save(tmp_path / "two/a/1.png")
    assert before != opened(tmp_path / "two").fingerprint()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled photos of ../shared are not here")
def test_five_hundred_photos_decode_in_five_seconds():
    data = opened(SHARED, "size=224,crop=0.875,mean=127,std=128", InputSpec("x", (1, 224, 224, 3), "float32"))
    start = time.process_time()
    labels = [s.label for s in data.samples()]
    assert time.process_time() - start < 5
    assert labels == list(range(0, 1000, 2))


def test_a_photo_is_decoded_once(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png")
    data = opened(tmp_path)
    first = [s.inputs["image"] for s in data.samples([1])]
    (tmp_path / "b" / "2.png").write_bytes(b"no longer a photo")
    assert [a.tolist() for a in first] == [s.inputs["image"].tolist() for s in data.samples([1])]
    with pytest.raises(DataError, match="not an image"):
        list(opened(tmp_path).samples([1]))


def test_photos_beyond_the_room_for_pixels_are_decoded_each_time(tmp_path):
    put(tmp_path, "a/1.png", "b/2.png")
    data = opened(tmp_path)
    data.source._decoded = Decoded(most_bytes=0)
    first, second = ([s.inputs["image"].tolist() for s in data.samples()] for _ in range(2))
    assert first == second
