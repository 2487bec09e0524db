"""Sentences for what a newcomer writes: swapped arguments, missing files, plain strings."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

import tightfit
from support.linear_models import linear_model
from tightfit import demo
from tightfit.conversion.formats import check_installed
from tightfit.errors import OptionError, TightfitError
from tightfit.evaluation.metrics.classes import class_labels
from tightfit.streaming.slice_axes import named_slices


@pytest.mark.parametrize("order", [("int8", "two.tflite"), ("int8", "two.keras")])
def test_a_model_in_the_place_of_the_scheme_is_told(order):
    with pytest.raises(TightfitError, match=r"in the place of the scheme; .* Swap the two"):
        tightfit.quantize(*order)


SWAPPED = {
    "optimize": tightfit.optimize,
    "evaluate": tightfit.evaluate,
    "finetune": partial(tightfit.finetune, scheme="int8"),
    "explain": lambda data, model: tightfit.explain(data, model, model),
    "doctor": tightfit.doctor,
    "simulate": tightfit.simulate,
    "describe_data": lambda data, model: tightfit.describe_data(model, data),
}


@pytest.mark.parametrize("name", ["set.npz", "set.npy", "list.csv", "rows.parquet"])
@pytest.mark.parametrize("verb", SWAPPED)
def test_data_in_the_place_of_the_model_is_told(verb, name, tmp_path):
    for each in (name, "net.keras"):
        (tmp_path / each).write_bytes(b"x")
    with pytest.raises(TightfitError, match=r"Received the data .* place of the model; .* Swap the two"):
        SWAPPED[verb](str(tmp_path / name), str(tmp_path / "net.keras"))


@pytest.mark.parametrize("verb", [tightfit.prune, tightfit.cluster])
def test_a_number_in_the_place_of_another_argument_is_told(verb):
    with pytest.raises(OptionError, match=r"Received 0\.5 as the output; expected the path"):
        verb("net.tflite", 0.5)
    with pytest.raises(OptionError, match=r"Received 0\.5 as the third argument; expected .* Write "):
        verb("net.tflite", "small.tflite", 0.5)


def test_a_report_that_is_not_there_is_said_in_words():
    with pytest.raises(TightfitError, match="There is no report 'nowhere'; expected") as caught:
        tightfit.compare(["nowhere", "nowhere"])
    assert "Errno" not in str(caught.value)


def test_one_text_of_slices_is_one():
    assert [s.output for s in named_slices("out=-1:0-4=boxes")] == ["out"]


def test_packages_are_counted():
    with pytest.raises(OptionError, match="needs no_such_a and no_such_b, which are not installed"):
        check_installed("a program", ("no_such_a", "no_such_b"), "torch")


def test_a_real_number_is_no_class():
    with pytest.raises(TightfitError, match=r"The label 0\.5 is no class .* a class index from 0\. Give"):
        class_labels(0.5, np.zeros((1, 1)))


def test_an_output_of_no_use_is_no_success(tmp_path):
    rows = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    np.savez(tmp_path / "set.npz", x=rows)
    weights = np.eye(3, dtype=np.float32)
    files = [linear_model(weights), linear_model(-weights)]
    for number, file in enumerate(files):
        (tmp_path / f"{number}.tflite").write_bytes(file)
    names = [str(tmp_path / f"{number}.tflite") for number in range(2)]
    assert tightfit.evaluate(names[:1] * 2, str(tmp_path / "set.npz")).usable
    assert not tightfit.evaluate(names, str(tmp_path / "set.npz")).usable


@pytest.mark.parametrize(("name", "said"), [("report.html", "is the page of"), ("x.json", "x.json': ")])
def test_what_is_no_report_is_named(tmp_path, name, said):
    (tmp_path / name).write_text("<html>")
    with pytest.raises(TightfitError, match=said):
        tightfit.compare([tmp_path / name, tmp_path / name])


@pytest.mark.parametrize("verb", [v for v in SWAPPED if v != "explain"])
def test_data_that_is_not_there_is_refused_before_a_model_is_opened(verb, tmp_path):
    for name in ("nowhere.npz", "nowhere/", "nowhere.npz:x,y"):
        with pytest.raises(TightfitError, match="does not exist"):
            SWAPPED[verb](str(tmp_path / "no.keras"), str(tmp_path / name))


@pytest.mark.parametrize(("scale", "code"), [(1.0, 0), (255.0, 1)])
def test_the_doctor_exits_with_1_where_it_finds_an_error(call, tmp_path, scale, code):
    with np.load(demo.MODEL.with_name("images.npz")) as given:
        images = given["x_calibration"][::5, ..., None].astype(np.float32) / 255 * scale
        np.savez(tmp_path / "d.npz", x=images, y=given["y_calibration"][::5])
    found, out, _ = call("doctor", demo.MODEL, "--data", tmp_path / "d.npz", "--json")
    assert (found, json.loads(out)["errors"] > 0) == (code, code == 1)
