"""The simulation of a plan against the device, op by op."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from support import places

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from keras import ops

from support.models import Builder
from support.quantized_models import MODELS, cleaned, planned, samples_of, written
from tightfit import demo
from tightfit.cli.simulate import as_text
from tightfit.data.sample import Sample
from tightfit.graph.reader import read_model
from tightfit.training.network import Network
from tightfit.training.simulation.simulate_ops import simulate
from tightfit.training.simulation.top1_agreement import Decisions

SHARED = sorted((places.SHARED / "models").glob("*.tflite"))
REAL = [pytest.param(p, marks=pytest.mark.shared, id=p.stem) for p in SHARED] or [
    pytest.param(None, marks=[pytest.mark.shared, pytest.mark.skip("../shared/models is absent")])
]


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("name", MODELS)
def test_every_op_of_a_small_model_computes_what_the_device_does(name, scheme, tmp_path):
    model = MODELS[name]()
    samples = samples_of(model, 8)
    plan = planned(model, scheme, samples)
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert len(found.ops) == len(model.main.ops)
    assert differing(found) == {}
    assert (found.equal_decisions, found.tied_decisions, found.samples) == (1.0, 1.0, 8)


def test_int4_convolutions_compute_what_this_processor_does(tmp_path):
    builder = Builder(seed=3)
    model = builder.model(builder.conv(builder.input("x", [1, 4, 4, 64]), 64))
    samples = samples_of(model, 8)
    plan = planned(model, "int8x4", samples)
    file = written(model, plan, samples, tmp_path)
    assert any(op.kind == "CONV_2D" and op.operand(1).dtype == "int4" for op in read_model(file).main.ops)
    assert differing(simulate(model, plan, file, samples)) == {}


@pytest.mark.parametrize(("outputs", "decides"), [(1, False), (2, True)])
def test_outputs_of_one_number_have_no_decisions(outputs, decides, tmp_path):
    builder = Builder(seed=3)
    model = builder.model(builder.dense(builder.input("x", [1, 8]), outputs))
    samples = samples_of(model, 4)
    plan = planned(model, "int8", samples)
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert found.decides is decides
    said = " ".join(found.notes) + str(as_text(found).renderables[0])
    assert said.count("no top-1 decisions") == (0 if decides else 2)
    assert ("equal decisions" in said) is decides


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_the_demo_network_decides_as_the_device(scheme, tmp_path):
    model = read_model(demo.MODEL)
    name = next(iter(model.signatures[0].inputs))
    samples = [Sample({name: image}) for image, _ in itertools.islice(demo.calibration(), 200)]
    plan = planned(model, scheme, samples[:20])
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert differing(found) == {}
    assert (found.equal_decisions, found.samples) == (1.0, 200)


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
@pytest.mark.parametrize("path", REAL)
def test_every_op_of_a_real_model_computes_what_the_device_does(path, scheme, tmp_path):
    model = cleaned(path)
    samples = samples_of(model, 2)
    plan = planned(model, scheme, samples)
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples[:1])
    assert found.largest_steps <= 1, max(found.ops, key=lambda op: op.steps)
    assert differing(found) == {}
    assert found.equal_decisions == 1.0


def test_decisions_count_ties_beside_what_is_equal():
    model = MODELS["conv"]()
    network = Network(model, check=False)
    decisions = Decisions(network, None)
    sample = samples_of(model, 1)[0]
    own = np.asarray(ops.convert_to_numpy(network(sample.inputs))).reshape(1, -1)
    first, other = int(own.argmax()), int(own.argmin())
    given = np.zeros_like(own)
    for chosen in ([first], [other], sorted((first, other))):
        row = given.copy()
        row[0, chosen] = 1.0
        decisions.add(sample, {"probabilities": row})
    decisions.run()
    assert decisions.count == 3
    assert decisions.equal == 1 + (first < other)
    assert decisions.tied == 2


def differing(found):
    """Op → how far it is from the device, where it is not equal."""
    return {op.name: (op.kind, op.steps, op.share) for op in found.ops if op.share}
