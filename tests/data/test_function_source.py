from __future__ import annotations

import sys

import numpy as np
import pytest

from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError

X = InputSpec("x", (1, 2), "float32")

CODE = """
import numpy as np

def pairs():
    for i in range(5):
        yield np.float32([i, 0]), i % 2

def batches():
    for i in range(0, 6, 3):
        yield np.arange(i, i + 3, dtype=np.float32)[:, None] * [1, 0], np.arange(i, i + 3)

def lists_of_batches():
    return [[x, y] for x, y in batches()]

def batches_of_one():
    return [(np.float32([[i, 0]]), np.array([i])) for i in range(5)]

def only_inputs():
    return [{"x": [i, 0.0]} for i in range(5)]

def last_batch_is_short():
    return [np.zeros((3, 2), "float32"), np.ones((1, 2), "float32")]

def nothing():
    return []

def fails():
    yield np.zeros(2), 0
    raise RuntimeError("disk on fire")

def quadruples():
    yield 1, 2, 3, 4

def uneven():
    yield np.zeros((3, 2)), [1, 2]

_calls = []
def shrinks():
    _calls.append(1)
    return [np.zeros(2)] * (5 if len(_calls) < 3 else 2)

table = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "userdata.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "userdata"
    sys.modules.pop("userdata", None)


def values(data, indices=None):
    return [(float(s.inputs["x"][0, 0]), s.label) for s in data.samples(indices)]


@pytest.mark.parametrize("function", ["batches", "lists_of_batches"])
def test_batches_are_split_into_samples(module, function):
    data = open_data(f"{module}:{function}", inputs=[X])
    assert len(data) == 6
    assert values(data) == [(i, i) for i in range(6)]


def test_samples_with_and_without_a_batch_of_one_are_the_same(module):
    assert values(open_data(f"{module}:pairs", inputs=[X])) == [(i, i % 2) for i in range(5)]
    assert values(open_data(f"{module}:batches_of_one", inputs=[X])) == [(i, i) for i in range(5)]


def test_a_last_batch_of_one_is_one_sample(module):
    assert [v for v, _ in values(open_data(f"{module}:last_batch_is_short", inputs=[X]))] == [0, 0, 0, 1]


def test_selected_samples_are_streamed_in_order_and_again(module):
    data = open_data(f"{module}:pairs", inputs=[X])
    assert values(data, [4, 1]) == [(1, 1), (4, 0)]
    assert values(data, [0]) == [(0, 0)]
    assert data.labels().tolist() == [0, 1, 0, 1, 0]
    assert list(data.samples([])) == []


def test_inputs_alone_have_no_labels(module):
    data = open_data(f"{module}:only_inputs", inputs=[X])
    assert not data.has_labels
    assert values(data) == [(i, None) for i in range(5)]


def test_the_fingerprint_is_that_of_the_values(module):
    prints = {f: open_data(f"{module}:{f}", inputs=[X]).fingerprint() for f in ("pairs", "only_inputs")}
    assert prints["pairs"] == open_data(f"{module}:pairs", inputs=[X]).fingerprint()
    assert prints["pairs"] != prints["only_inputs"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "'userdata:nothing' yielded nothing"),
        ("fails", "failed with RuntimeError: disk on fire"),
        ("quadruples", r"Element 0 .* is a tuple of 4. Expected \(inputs, label\)"),
        ("uneven", r"has 3 samples and labels of shape \(2,\)"),
        ("table", "'userdata:table' is of type int. Expected a function"),
        ("pears", "'pears'.*Did you mean 'pairs'"),
        ("shrinks", "yielded no sample 2 this time"),
    ],
)
def test_a_function_that_gives_no_samples_is_refused(module, function, message):
    with pytest.raises(DataError, match=message):
        list(open_data(f"{module}:{function}", inputs=[X]).samples(range(1, 5)))


@pytest.mark.usefixtures("module")
def test_a_module_that_does_not_import_is_refused(tmp_path):
    (tmp_path / "broken_data.py").write_text("import nonexistent_thing")
    for name, reason in (
        ("missing_data", "No module named 'missing_data'"),
        ("broken_data", "nonexistent_thing"),
    ):
        with pytest.raises(DataError, match=f"'{name}' of '{name}:f' cannot be imported: .*{reason}"):
            open_data(f"{name}:f", inputs=[X])


def test_nothing_is_imported_for_other_forms(tmp_path, monkeypatch):
    (tmp_path / "sneaky.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    for spec in ("sneaky", "sneaky.py", "sneaky.npz:x", "./sneaky:x"):
        with pytest.raises(DataError):
            open_data(spec, inputs=[X])
    assert "sneaky" not in sys.modules


def test_dictionaries_feed_several_inputs(module, tmp_path):
    (tmp_path / "userdata.py").write_text(
        "import numpy as np\n"
        "def f():\n"
        "    yield {'a': np.zeros((4, 2)), 'b': np.arange(4)[:, None]}, np.arange(4)\n"
    )
    specs = [InputSpec("a", (1, 2), "float32"), InputSpec("b", (1, 1), "int64")]
    samples = list(open_data(f"{module}:f", inputs=specs).samples())
    assert [int(s.inputs["b"][0, 0]) for s in samples] == [0, 1, 2, 3] == [s.label for s in samples]
    assert samples[0].inputs["a"].dtype == np.float32
