from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tightfit.data.images.image_decoding import crop_box, decode, scale
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec
from tightfit.errors import DataError, OptionError

PHOTO = InputSpec("image", (1, 8, 8, 3), "float32")


def load_image(path, options):
    return scale(decode(path, options), options)


def gradient(path, width=40, height=30, mode="RGB"):
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_all_options_are_read():
    options = ImageOptions.parse(
        "size=192x256, crop=0.875,mean=123.7/116.3/103.5,std=58,channels=3,layout=nchw"
    )
    assert options == ImageOptions((192, 256), 0.875, (123.7, 116.3, 103.5), (58.0,), 3, "nchw")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sise=224", "Unknown image option 'sise'.*Did you mean 'size'"),
        ("size=big", "'size' received 'big'. Expected pixels"),
        ("size=-3", "'size' received '-3'"),
        ("crop=1.5", "'crop' received '1.5'. Expected a fraction"),
        ("crop=0", "'crop' received '0'"),
        ("mean=a/b/c", "'mean' received 'a/b/c'"),
        ("std=0.229", "'std' received '0.229'. Expected a number of 1 or more"),
        ("layout=chw", "'layout' received 'chw'. Expected nhwc or nchw"),
        ("dtype=uint8,mean=3", "leave out mean and std"),
    ],
)
def test_a_wrong_option_is_refused_with_what_it_takes(text, message):
    with pytest.raises(OptionError, match=message):
        ImageOptions.parse(text)


def test_the_crop_comes_before_the_resize_and_the_scaling(tmp_path):
    path = gradient(tmp_path / "a.png")
    options = ImageOptions.parse("size=8,crop=0.8,mean=127,std=128").for_input(PHOTO)
    # 0.8 of the shorter side, 30, is 24; it starts at (40 - 24) / 2 and (30 - 24) / 2, an odd rest goes first
    centre = Image.open(path).crop((8, 3, 32, 27)).resize((8, 8), Image.Resampling.BICUBIC)
    expected = (np.asarray(centre, np.float32) - 127) / 128
    np.testing.assert_array_equal(load_image(path, options), expected)


def test_without_a_crop_the_whole_image_is_resized(tmp_path):
    path = gradient(tmp_path / "a.png")
    options = ImageOptions.parse("size=8").for_input(PHOTO)
    whole = Image.open(path).resize((8, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(load_image(path, options), np.asarray(whole, np.float32))


def test_a_crop_has_the_shape_of_the_size():
    assert crop_box((100, 100), (20, 10), 1.0) == (0, 25, 100, 75)


def test_each_channel_has_its_own_mean_and_std(tmp_path):
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "a.png")
    options = ImageOptions.parse("mean=9/18/27,std=1/2/3").for_input(PHOTO)
    assert load_image(tmp_path / "a.png", options)[0, 0].tolist() == [1, 1, 1]


def test_pixels_stay_as_they_are_with_dtype_uint8(tmp_path):
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "a.png")
    array = load_image(tmp_path / "a.png", ImageOptions.parse("dtype=uint8").for_input(PHOTO))
    assert array.dtype == np.uint8
    assert array[3, 4].tolist() == [10, 20, 30]


def test_layout_channels_and_size_come_from_the_model(tmp_path):
    path = gradient(tmp_path / "a.png")
    chw = load_image(path, ImageOptions().for_input(InputSpec("x", (1, 3, 8, 6), "float32")))
    hwc = load_image(path, ImageOptions().for_input(InputSpec("x", (1, 8, 6, 3), "float32")))
    np.testing.assert_array_equal(chw, hwc.transpose(2, 0, 1))
    assert load_image(path, ImageOptions().for_input(InputSpec("x", (-1, 8, 6, 1), "float32"))).shape == (
        8,
        6,
        1,
    )


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_every_8_bit_mode_becomes_three_channels(tmp_path, mode):
    path = gradient(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode=mode)
    assert load_image(path, ImageOptions().for_input(PHOTO)).shape == (8, 8, 3)


def test_16_bit_images_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"'deep.png' in .* has more than 8 bits a pixel"):
        load_image(tmp_path / "deep.png", ImageOptions().for_input(PHOTO))


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"'broken.jpg' in .* is not an image"):
        load_image(tmp_path / "broken.jpg", ImageOptions().for_input(PHOTO))


def test_an_image_that_is_cut_off_is_named(tmp_path):
    path = gradient(tmp_path / "cut.jpg", 400, 300)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"'cut.jpg' in .* cannot be decoded"):
        load_image(path, ImageOptions().for_input(PHOTO))


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("size=9", PHOTO, "make samples of 9x9x3 .*'image' takes 8x8x3"),
        ("channels=1", PHOTO, "make samples of 8x8x1"),
        ("mean=1/2", PHOTO, "'mean' has 2 numbers for 3 channels"),
        ("", InputSpec("x", (1, 10), "float32"), "takes 10, which is not an image"),
        ("", InputSpec("x", (1, -1, -1, 3), "float32"), "takes images of any size"),
        ("", InputSpec("x", (1, 8, 8, 4), "float32"), "Images have 1 or 3 channels"),
    ],
)
def test_options_that_do_not_fit_the_model_are_refused(text, spec, message):
    with pytest.raises(DataError, match=message):
        ImageOptions.parse(text).for_input(spec)


@pytest.mark.parametrize("error", [MemoryError(), ZeroDivisionError("0"), KeyError(3)])
def test_whatever_pillow_raises_on_a_damaged_file_becomes_one_sentence(monkeypatch, tmp_path, error):
    def opener(*_):
        raise error

    Image.init()  # the order of formats is fixed before one more is added
    monkeypatch.setattr(Image, "ID", ["DAMAGED", *Image.ID])
    monkeypatch.setitem(Image.OPEN, "DAMAGED", (opener, lambda start: start == b"damaged file of "))
    path = tmp_path / "odd.img"
    path.write_bytes(b"damaged file of 18")
    with pytest.raises(DataError, match=r"'odd.img' in .* cannot be decoded: "):
        decode(path, ImageOptions.parse("size=8").for_input(PHOTO))
