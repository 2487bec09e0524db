"""Objects of a Python caller give the same samples as an .npz of the same arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.data.function_source import FunctionData
from tightfit.data.python_objects import IterableData, is_python_object, restartable
from tightfit.data.sample import InputSpec
from tightfit.errors import DataError

X = np.random.default_rng(0).standard_normal((10, 4, 3)).astype(np.float32)
Y = np.arange(10) % 3
SPECS = [InputSpec("image", (1, 4, 3), "float32")]


class Batches:
    """As ``keras.utils.PyDataset``: batches by number, no end of its own."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[index * 5 : index * 5 + 5], Y[index * 5 : index * 5 + 5]


class Loader:
    """As a torch ``DataLoader``: lists of two arrays."""

    def __iter__(self):
        return iter([[X[:4], Y[:4]], [X[4:], Y[4:]]])


KINDS = {
    "arrays": (X, Y),
    "dict": {"image": X, "y": Y},
    "dict of x": {"x": X, "labels": Y},
    "list of pairs": list(zip(X, Y, strict=True)),
    "function": lambda: zip(X, Y, strict=True),
    "function of batches": lambda: [(X, Y)],
    "numbered batches": Batches(),
    "function of numbered batches": Batches,
    "loader": Loader(),
    "rows of columns": [{"pixels": x, "label": y} for x, y in zip(X, Y, strict=True)],
    "rows by input": [{"image": x, "label": y} for x, y in zip(X, Y, strict=True)],
    "dataset": IterableData(list(range(10)), lambda i: (X[i], Y[i])),
    "dict of dicts": ({"image": X}, Y),
}


def source(data, outputs=()):
    name, function = restartable(data, ["image"], outputs)
    return FunctionData(name, function, SPECS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_samples_twice(kind):
    found = source(KINDS[kind])
    assert found.count() == 10
    assert found.labels().tolist() == Y.tolist()
    for _ in range(2):
        records = list(found.read(None))
        assert all(np.array_equal(next(iter(r.inputs.values())), x) for r, x in zip(records, X, strict=True))
    assert {(r.label is not None) for r in found.read([1, 7])} == {True}


def test_equal_samples_have_one_fingerprint():
    digests = {kind: source(KINDS[kind]).fingerprint() for kind in ("list of pairs", "function", "loader")}
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize(
    "data",
    [
        (X, Y, np.arange(10) / 2),
        [(X[:5], Y[:5], np.arange(5) / 2), (X[5:], Y[5:], np.arange(5, 10) / 2)],
        {"image": X, "y": Y, "sample_weight": np.arange(10) / 2},
        [{"image": x, "label": y, "sample_weight": i / 2} for i, (x, y) in enumerate(zip(X, Y, strict=True))],
    ],
)
def test_a_third_array_weighs_the_samples(data):
    records = list(source(data).read(None))
    assert [float(r.labels["sample_weight"]) for r in records] == [i / 2 for i in range(10)]
    assert [int(r.label) for r in records] == Y.tolist()


def test_an_array_alone_has_no_labels():
    found = source(X)
    assert (found.count(), found.has_labels) == (10, False)


def test_what_can_be_read_once_is_refused_with_the_way_out():
    with pytest.raises(DataError, match="read only once; pass the function that makes it"):
        restartable((x for x in X), ["image"])
    with pytest.raises(DataError, match="read only once"):
        IterableData(iter(X))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((X, Y[:4]), "have 4 and 10 rows"),
        (np.float32(1.0), "one number"),
        ({"picture": X, "y": Y}, "has the arrays picture, y. Expected the model's inputs: image"),
        (5, "Data of type int cannot be read. Expected a path"),
        ((X, Y, X, Y), "Data of type tuple"),
    ],
)
def test_wrong_objects_are_named(data, words):
    with pytest.raises(DataError, match=words):
        list(restartable(data, ["image"])[1]())


def test_names_on_disk_are_no_objects(tmp_path):
    assert not is_python_object("photos/")
    assert not is_python_object(tmp_path)
    assert is_python_object([1])
