"""Files that another program changes while a verb reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tightfit
from support.places import SRC
from tightfit.demo import MODEL
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize

ROW = (28, 28, 1)


def samples_that(act) -> Iterator[np.ndarray]:
    """Samples, after the tenth of which a file is changed."""
    dice = np.random.default_rng(0)
    for number in range(24):
        if number == 10:
            act()
        yield dice.random(ROW, np.float32)


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(MODEL.read_bytes())
    return path


def replaced(model: Path) -> None:
    other = model.with_suffix(".new")
    other.write_bytes(MODEL.read_bytes())
    other.replace(model)


def cut(model: Path) -> None:
    os.truncate(model, 1000)


def removed(model: Path) -> None:
    model.unlink(missing_ok=True)


def rewritten(model: Path) -> None:
    with model.open("r+b") as file:
        file.write(b"\0" * 4000)


@pytest.mark.parametrize("change", [replaced, rewritten, cut, removed])
def test_no_file_is_made_of_a_model_that_changed_meanwhile(change, model, tmp_path):
    output = tmp_path / "q.tflite"
    with pytest.raises(tightfit.ModelError, match="changed while it was read") as told:
        tightfit.quantize(str(model), "int8", output, data=lambda: samples_that(lambda: change(model)))
    assert len(str(told.value)) <= 300
    assert not output.exists()


def test_a_measurement_of_a_model_that_changed_meanwhile_is_refused(model):
    labelled = [(x, 0) for x in samples_that(lambda: None)]

    def data():
        yield from labelled[:10]
        replaced(model)
        yield from labelled[10:]

    with pytest.raises(tightfit.ModelError, match="changed while it was read"):
        tightfit.evaluate(str(model), data)


def test_a_model_that_was_read_stays_as_it_was(model):
    found = read_model(model)
    before = serialize(found)
    os.truncate(model, 1000)
    assert serialize(found) == before


def test_a_row_of_an_array_that_was_cut_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((40, *ROW), np.float32))
    code = (
        "import os, sys\nfrom tightfit.data.sources import open_data\n"
        "from tightfit.data.sample import InputSpec\n"
        "takes = [InputSpec('x', (1, 28, 28, 1), 'float32')]\n"
        "found = iter(open_data(sys.argv[1], inputs=takes).samples())\n"
        "next(found); os.truncate(sys.argv[1], 40000)\n"
        "try: list(found)\n"
        "except Exception as error: print(error)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x.npy")]
    done = subprocess.run(words, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ends in row" in done.stdout
