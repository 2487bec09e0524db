"""Data that no verb can use is refused by each, in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

import tightfit
from support.linear_models import linear_model

WEIGHTS = np.eye(3, dtype=np.float32)
ODD = {
    "a set": ({1.0, 2.0}, "has no order"),
    "bytes": (b"abc", "cannot be read"),
    "None": ([None], "has shape"),
    "text": (np.array(["a", "b"]), "has shape"),
    "another shape": (np.zeros((4, 2), np.float32), "has shape"),
    "nan": (np.full((4, 3), np.nan, np.float32), "NaN or infinite"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.tflite").write_bytes(linear_model(WEIGHTS))
    made = tightfit.quantize(folder / "a.tflite", "weight8", folder / "b.tflite")
    return folder / "a.tflite", made.path


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("verb", ["diff", "verify", "evaluate", "describe_data"])
def test_odd_data_is_refused(verb, kind, files):
    first, second = files
    data, said = ODD[kind]
    calls = {
        "diff": lambda: tightfit.diff(first, second, data),
        "verify": lambda: tightfit.verify(second, data),
        "evaluate": lambda: tightfit.evaluate(first, data),
        "describe_data": lambda: tightfit.describe_data(data, first),
    }
    with pytest.raises(tightfit.DataError, match=said):
        calls[verb]()


def test_data_of_another_file_is_named_in_a_replay(files):
    found = tightfit.verify(files[1], np.ones((4, 3), np.float32))
    assert found.data_matches is False
    assert "made with other data" in repr(found)


def test_diff_takes_models_as_every_verb(files):
    assert tightfit.diff(files[0], files[0].read_bytes()).equal


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.json", "repeat the search"),
        ("tightfit.toml", "run file"),
        ("page.html", "page of text"),
        ("net.py", "module:att"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, files, name, said):
    (tmp_path / name).write_text("{}")
    for call in (tightfit.inspect, tightfit.verify, lambda m: tightfit.diff(files[0], m)):
        with pytest.raises(tightfit.ModelError, match=said):
            call(tmp_path / name)
