"""The simulation of a plan against the device, op by op."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from quantized_models import MODELS, cleaned, planned, samples_of, written

from tightfit import demo
from tightfit.data.samples import Sample
from tightfit.graph.reader import read_model
from tightfit.training.simulation import simulate

SHARED = sorted((Path(__file__).resolve().parents[3] / "shared" / "models").glob("*.tflite"))
REAL = [pytest.param(p, marks=pytest.mark.shared, id=p.stem) for p in SHARED] or [
    pytest.param(None, marks=[pytest.mark.shared, pytest.mark.skip("../shared/models is absent")])
]


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("name", MODELS)
def test_every_op_of_a_small_model_is_within_one_step_of_the_device(name, scheme, tmp_path):
    model = MODELS[name]()
    samples = samples_of(model, 8)
    plan = planned(model, scheme, samples)
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert len(found.ops) == len(model.main.ops)
    assert found.largest_steps <= 1, max(found.ops, key=lambda op: op.steps)


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_the_demo_network_decides_as_the_device(scheme, tmp_path):
    model = read_model(demo.MODEL)
    samples = [Sample({next(iter(names)): image}) for names in [_inputs(model)] for image, _ in _images(200)]
    plan = planned(model, scheme, samples[:50])
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert found.largest_steps <= 1, max(found.ops, key=lambda op: op.steps)
    assert found.equal_decisions >= 0.99


def _inputs(model):
    return model.signatures[0].inputs if model.signatures else {t.name: t for t in model.main.inputs}


def _images(count):
    return [pair for pair, _ in zip(demo.calibration(), range(count), strict=False)]


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("path", REAL)
def test_every_op_of_a_real_model_is_within_one_step_of_the_device(path, scheme, tmp_path):
    model = cleaned(path)
    samples = samples_of(model, 2)
    plan = planned(model, scheme, samples)
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert found.largest_steps <= 1, max(found.ops, key=lambda op: op.steps)
