"""Labels that are no single class: a class for each place, and labels for each of two outputs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import NONE, RELU, Builder
from tightfit import finetune
from tightfit.graph.ir import Model
from tightfit.graph.writer import write_model

COUNT = 40


def per_place() -> Model:
    """Three classes for each of 8 × 8 places."""
    b = Builder(seed=1)
    features = b.conv(b.input("image", [1, 8, 8, 3]), 8, activation=RELU)
    return b.model(b.softmax(b.conv(features, 3, kernel=1, activation=NONE)))


def two_outputs() -> Model:
    """A class and a number."""
    b = Builder(seed=2)
    features = b.mean(b.conv(b.input("image", [1, 8, 8, 3]), 8, activation=RELU))
    kind = b.softmax(b.dense(features, 3), name="kind")
    number = b.op("NEG", [b.dense(features, 1)], [1, 1], name="number", table="NegOptions")
    return b.model(kind, number)


@pytest.mark.parametrize("make", [per_place, two_outputs])
def test_labels_of_places_and_of_several_outputs_train(tmp_path, make):
    random = np.random.default_rng(0)
    image = random.random((COUNT, 8, 8, 3), np.float32)
    if make is per_place:
        labels = {"y": image.argmax(-1)}
    else:
        labels = {"kind": image.mean((1, 2)).argmax(-1), "number": image.mean((1, 2, 3))[:, None]}
    np.savez(tmp_path / "data.npz", image=image, **labels)
    write_model(make(), tmp_path / "float.tflite")
    result = finetune(
        tmp_path / "float.tflite", data=tmp_path / "data.npz", output=tmp_path / "q.tflite", scheme="int8",
        epochs=1, batch=8,
    )  # fmt: skip
    assert (tmp_path / "q.tflite").is_file()
    names = {name: score.value for name, score in result.accuracy.metrics.items()}
    wanted = {"top1", "miou"} if make is per_place else {"top1@kind", "mae@number"}
    assert names.keys() == wanted
    assert all(0 <= value < 1 for value in names.values())
    assert result.accuracy.n == COUNT // 4
