"""The rows of docs/tasks.md: what `auto` measures with such labels, and that each metric takes them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tightfit
from support.models import Builder
from support.places import ROOT
from tightfit.graph.writer import serialize

N = 24
DICE = np.random.default_rng(0)
X = DICE.normal(0, 1, (N, 8)).astype(np.float32)


def reals(*shape):
    return DICE.normal(0, 1, (N, *shape)).astype(np.float32)


def whole(top, *shape):
    return DICE.integers(0, top, (N, *shape))


def reshaped(b, y, *shape):
    target = b.constant(f"shape{len(b.graph.ops)}", shape, "int32")
    return b.op("RESHAPE", [y, target], shape, table="ReshapeOptions", options={"newShape": list(shape)})


def dense(units, end=None, shape=()):
    """A model of eight inputs whose one output has ``units`` values, perhaps in another shape."""
    b = Builder()
    y = b.dense(b.input("x", [1, 8]), units)
    if end == "softmax":
        y = b.softmax(y)
    elif end == "sigmoid":
        y = b.op("LOGISTIC", [y], y.shape)
    return b.model(reshaped(b, y, 1, *shape) if shape else y)


def heads(**outputs):
    """A model with several outputs: name → (values, shape)."""
    b = Builder()
    x = b.input("x", [1, 8])
    made = []
    for name, (units, shape) in outputs.items():
        y = reshaped(b, b.dense(x, units), 1, *shape) if shape else b.dense(x, units)
        y.name = name
        made.append(y)
    return b.model(*made)


TRANSCRIPTS = np.where(np.arange(6) < 4, whole(4, 6), -1)
FOUND = [(x, {"boxes": DICE.uniform(0, 1, (3, 4)), "classes": DICE.integers(0, 2, 3)}) for x in X]
TASKS = {
    "image or sound classification": (dense(5, "softmax"), (X, whole(5))),
    "several classes at once": (dense(5, "sigmoid"), (X, whole(2, 5))),
    "yes or no": (dense(1, "sigmoid"), (X, whole(2))),
    "regression": (dense(1), (X, reals())),
    "segmentation": (dense(48, shape=(4, 4, 3)), (X, whole(3, 4, 4))),
    "detection": (heads(boxes=(40, (10, 4)), scores=(20, (10, 2))), FOUND),
    "keypoints": (dense(34, shape=(17, 2)), (X, reals(17, 2))),
    "image to image (denoising, super-resolution)": (dense(48, shape=(4, 4, 3)), (X, reals(4, 4, 3))),
    "autoencoder": (dense(8), X),
    "speech to text (CTC)": (dense(60, shape=(12, 5)), (X, TRANSCRIPTS)),
    "question answering": (heads(start=(12, ()), end=(12, ())), (X, np.sort(whole(12, 2)))),
    "embeddings, search": (dense(16), X),
    "language model": (dense(60, shape=(12, 5)), (X, whole(5, 12))),
    "several outputs": (heads(age=(1, ()), kind=(3, ())), (X, {"age": 9 * reals(), "kind": whole(3)})),
}


def rows():
    """Task → (metrics of `auto`, the budget's options) of the page."""
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    table = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    return {task.strip(): (auto, budget) for task, _, _, auto, budget in table}


def test_the_page_has_the_tasks_that_are_tested():
    assert rows().keys() == TASKS.keys()


@pytest.mark.parametrize("task", TASKS)
def test_the_labels_of_a_task_are_measured_as_the_page_says(task):
    model, data = TASKS[task]
    auto, budget = rows()[task]
    measured = tightfit.describe_data(data, serialize(model)).to_dict()["metrics"]
    assert measured == (re.findall(r"`(\w+)`", auto) or ["mae@age", "top1@kind"])
    if named := re.search(r"--metric \"?([\w()=]+)", budget):
        assert tightfit.describe_data(data, serialize(model), metric=named[1]).to_dict()["metrics"] == [
            named[1].partition("(")[0]
        ]
