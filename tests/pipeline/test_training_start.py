"""Pruning, clustering and training have the remedies of ``quantize`` for input columns of different units."""

from __future__ import annotations

import numpy as np
import pytest

from support.sensor_models import readings, sensor_model
from tightfit.api.cluster import cluster
from tightfit.api.prune import prune
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normalized"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("sensor") / "m.tflite"
    write_model(sensor_model(normalized=request.param, units=256), path)
    return path


def answers(file):
    with Session(file) as session:
        rows = [session.run({session.inputs[0].name: row[None]}) for row in readings(64, seed=9)]
    return np.stack([next(iter(row.values()))[0] for row in rows])


def worst_db(wanted_file, file):
    """The ratio of the worst output to its noise, in dB against its own spread."""
    wanted, got = answers(wanted_file), answers(file)
    return float((10 * np.log10(wanted.var(0) / np.square(wanted - got).mean(0))).min())


@pytest.mark.parametrize("layout", ["cpu", "npu"])
def test_int8_of_a_pruned_model_keeps_columns_of_different_units(model, tmp_path, layout):
    if "SUB" not in {op.kind for op in read_model(model).main.ops}:
        pytest.skip("pruning is tested on the model that normalizes its input")
    wanted = {"sparsity": 0.3, "scope": "layer", "data": readings()}
    prune(model, tmp_path / "float.tflite", **wanted)
    prune(model, tmp_path / "int8.tflite", **wanted, scheme="int8", layout=layout)
    assert worst_db(tmp_path / "float.tflite", tmp_path / "int8.tflite") >= 20


@pytest.mark.parametrize("layout", ["cpu", "npu"])
def test_int8_of_a_clustered_model_keeps_columns_of_different_units(model, tmp_path, layout):
    cluster(model, tmp_path / "int8.tflite", clusters=128, data=readings(), scheme="int8", layout=layout)
    assert worst_db(model, tmp_path / "int8.tflite") >= 15


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on jax
def test_a_trained_file_is_as_good_as_the_quantized_one(model, tmp_path):
    pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")
    from tightfit.api.finetune import finetune  # noqa: PLC0415 - after the check for Keras

    quantize(model, "int8", tmp_path / "q.tflite", data=readings(), doctor=False)
    made = finetune(model, readings(), tmp_path / "t.tflite", scheme="int8", epochs=1, test=readings())
    assert not made.ruined
    assert worst_db(model, tmp_path / "t.tflite") >= min(20, worst_db(model, tmp_path / "q.tflite") - 1)
