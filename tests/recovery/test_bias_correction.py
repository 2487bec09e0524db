"""Corrected biases take the mean error away, of one layer and of all before it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tightfit.demo import MODEL, calibration
from tightfit.graph.copying import copy_model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate, input_names
from tightfit.quantization.calibration.collect_moments import collect_means
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.bias_correction import correct_fast
from tightfit.recovery.sequential_bias_correction import Results, correct_in_sequence
from tightfit.runtime.session import Session


@pytest.fixture(scope="module")
def material():
    model = read_model(MODEL)
    name = next(iter(input_names(model)))
    samples = [{name: image} for image, _ in itertools.islice(calibration(), 24)]
    seen = calibrate(model, iter(samples))
    plan = make_plan(model, "int8x4", Ranges([seen.statistics]), overrides=[("CONV_2D", "int8x4")])
    means = {name: m.mean() for name, m in collect_means(model, plan, iter(samples)).items()}
    return model, plan, samples, means


def outputs(model, samples):
    with Session(bytes(serialize(model))) as session:
        name = session.outputs[0].name
        return np.stack([results[name] for results in session.run_many(samples)])


def mean_error(model, candidate, samples):
    """The largest error of an output's mean over the samples."""
    return float(np.abs((outputs(candidate, samples) - outputs(model, samples)).mean(axis=0)).max())


def test_fast_correction_is_the_formula(material):
    model, plan, _, means = material
    moved = copy_model(model)
    op = next(o for o in moved.main.ops if o.kind == "CONV_2D" and o.name in means)
    op.inputs[1].data = op.inputs[1].data * np.float32(1.1)
    corrected = correct_fast(model, moved, plan, means)
    twin = next(o for o in corrected.main.ops if o.name == op.name)
    mean = means[op.name]
    first = next(o for o in model.main.ops if o.name == op.name)
    storage = next(p for p in plan.graphs[0].ops if p.name == op.name).constants[1]
    scale = np.asarray(storage.scale).reshape(-1, 1)
    limit = 7 if storage.dtype == "int4" else 127
    rows = op.inputs[1].data.reshape(op.inputs[1].shape[0], -1)
    stored = np.clip(np.round(rows / scale), -limit, limit) * scale
    wanted = first.inputs[1].data.reshape(stored.shape) @ mean + first.inputs[2].data
    np.testing.assert_allclose(stored @ mean + twin.inputs[2].data, wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_models_that_went_in_stay_as_they_were(material):
    model, plan, _, means = material
    before = [t.data.copy() for t in model.main.tensors() if t.data is not None]
    correct_fast(model, model, plan, means)
    after = [t.data for t in model.main.tensors() if t.data is not None]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_correction_in_sequence_sees_the_errors_of_layers_before(material):
    model, plan, samples, means = material
    calls = []
    corrected = correct_in_sequence(
        model, model, plan, lambda: iter(samples[:24]), progress=lambda a, b: calls.append((a, b))
    )
    assert calls[-1][0] == calls[-1][1] == len(calls)
    fast = correct_fast(model, model, plan, means)
    plain = mean_error(model, apply_plan(model, plan), samples)
    assert mean_error(model, apply_plan(corrected, plan), samples) < plain
    assert mean_error(model, apply_plan(fast, plan), samples) < plain


def test_what_the_activation_cuts_off_moves_no_bias():
    seen = Results()
    seen.add(np.float32([[-9.0]] * 99 + [[3.0]]))  # before ReLU the float model has a mean of -10, say
    wanted = np.array([0.03])
    np.testing.assert_allclose(seen.shift(wanted, (0.0, np.inf), np.zeros(1)), 0.0, atol=1e-6)
    assert seen.shift(np.array([-10.0]), (-np.inf, np.inf), np.zeros(1))[0] < -1
