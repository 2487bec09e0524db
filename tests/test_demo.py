from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from tightfit import demo
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.graph.reader import read_model
from tightfit.runtime.session import Session

IMAGE = InputSpec("image", (1, 28, 28, 1), "float32")


@pytest.mark.parametrize(("source", "per_class"), [(demo.calibration, 100), (demo.evaluation, 50)])
def test_every_class_has_the_same_number_of_images(source, per_class):
    assert Counter(label for _, label in source()) == dict.fromkeys(range(len(demo.CLASSES)), per_class)


def test_images_are_batches_of_one_in_the_range_the_model_was_trained_on():
    for image, label in demo.everything():
        assert (image.shape, image.dtype, type(label)) == ((1, 28, 28, 1), np.float32, int)
        assert image.min() >= 0.0
        assert image.max() <= 1.0
        assert image.max() > 0.1  # no image is black, so none is divided by 255 twice


def test_the_classes_are_mixed_so_that_the_first_images_are_a_fair_sample():
    for source in (demo.calibration, demo.evaluation):
        assert len({label for _, label in islice(source(), 50)}) == len(demo.CLASSES)


def test_no_image_is_both_for_calibration_and_for_evaluation():
    calibration = {image.tobytes() for image, _ in demo.calibration()}
    assert calibration.isdisjoint(image.tobytes() for image, _ in demo.evaluation())


def test_everything_is_calibration_then_evaluation():
    labels = [label for _, label in demo.everything()]
    assert labels == [label for source in (demo.calibration, demo.evaluation) for _, label in source()]


def test_each_call_starts_again():
    assert next(demo.evaluation())[0].tobytes() == next(demo.evaluation())[0].tobytes()


@pytest.mark.parametrize(
    ("name", "count"), [("calibration", 1000), ("evaluation", 500), ("everything", 1500)]
)
def test_the_functions_are_data_that_a_verb_takes(name, count):
    data = open_data(f"tightfit.demo:{name}", image=None, inputs=[IMAGE])
    assert (len(data), data.has_labels) == (count, True)
    assert next(iter(data.samples())).inputs["image"].shape == IMAGE.shape


def test_the_model_is_a_folded_float_network_of_depthwise_separable_blocks():
    (graph,) = read_model(demo.MODEL).graphs
    assert Counter(op.kind for op in graph.ops) == {
        "CONV_2D": 9, "DEPTHWISE_CONV_2D": 8, "ADD": 3, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1,
    }  # fmt: skip
    assert {t.dtype for t in graph.tensors()} == {"float32", "int32"}  # int32: the axes of MEAN


def test_the_model_knows_at_least_nine_in_ten_of_the_evaluation_images():
    labels = [label for _, label in demo.evaluation()]
    with Session(demo.MODEL) as session:
        outputs = session.run_many({"image": image} for image, _ in demo.evaluation())
        decisions = [int(output["probabilities"].argmax()) for output in outputs]
    assert np.mean(np.equal(decisions, labels)) >= 0.90


def test_the_demo_adds_less_than_one_and_a_half_megabytes_to_the_package():
    files = [path for path in demo.MODEL.parent.iterdir() if path.is_file()]
    assert {path.name for path in files} >= {"model.tflite", "images.npz", "LICENSE-fashion-mnist"}
    assert sum(path.stat().st_size for path in files) < 1_500_000
