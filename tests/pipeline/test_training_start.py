"""Pruning, clustering and training have the remedies of ``quantize`` for input columns of different units."""

from __future__ import annotations

import numpy as np
import pytest

from support.sensor_models import readings, sensor_model
from tightfit.api.cluster import cluster
from tightfit.api.prune import prune
from tightfit.api.quantize import quantize
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


def noise(wanted_file, file):
    """The noise of each output as a fraction of its own spread."""
    wanted, got = answers(wanted_file), answers(file)
    return np.square(wanted - got).mean(0) / wanted.var(0)


def worst_db(wanted_file, file):
    """The ratio of the worst output to its noise, in dB against its own spread."""
    return float(-10 * np.log10(noise(wanted_file, file).max()))


@pytest.mark.parametrize("layout", ["cpu", "npu"])
def test_int8_of_a_pruned_model_keeps_columns_of_different_units(model, tmp_path, layout):
    wanted = {"sparsity": 0.3, "scope": "layer", "data": readings()}
    prune(model, tmp_path / "float.tflite", **wanted)
    prune(model, tmp_path / "int8.tflite", **wanted, scheme="int8", layout=layout)
    assert worst_db(tmp_path / "float.tflite", tmp_path / "int8.tflite") >= 20


@pytest.mark.parametrize("layout", ["cpu", "npu"])
def test_int8_of_a_clustered_model_keeps_columns_of_different_units(model, tmp_path, layout):
    """Its noise is that of the shared values and that of int8, each measured alone."""
    even = tmp_path / "even.tflite"
    write_model(sensor_model(normalized=True, units=256), even)
    shared, rounded = tmp_path / "shared.tflite", tmp_path / "rounded.tflite"
    cluster(even, shared, clusters=128, data=readings())
    quantize(even, "int8", rounded, data=readings(), layout=layout, doctor=False)
    cluster(model, tmp_path / "int8.tflite", clusters=128, data=readings(), scheme="int8", layout=layout)
    expected = noise(even, shared) + noise(even, rounded)
    assert (noise(model, tmp_path / "int8.tflite") <= expected).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on jax
@pytest.mark.parametrize("layout", ["cpu", pytest.param("npu", marks=pytest.mark.slow)])
def test_a_trained_file_is_as_good_as_the_quantized_one(model, tmp_path, layout):
    pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")
    from tightfit.api.finetune import finetune  # noqa: PLC0415 - after the check for Keras

    data, plain, trained = readings(), tmp_path / "q.tflite", tmp_path / "t.tflite"
    quantize(model, "int8", plain, data=data, layout=layout, doctor=False)
    made = finetune(model, data, trained, scheme="int8", epochs=1, test=data, layout=layout)
    assert not made.ruined
    assert worst_db(model, trained) >= min(20, worst_db(model, plain) - 1)
