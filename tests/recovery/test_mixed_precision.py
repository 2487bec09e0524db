"""Bytes go where they take most noise away, and never beyond the limit."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from support.models import Builder
from tightfit.demo import MODEL, calibration
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.mixed_precision import mix, widen
from tightfit.recovery.sensitivity import Sensitivity
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session

LAYERS = st.lists(
    st.builds(
        Sensitivity,
        name=st.uuids().map(str),
        kind=st.just("CONV_2D"),
        dtype=st.sampled_from(["int4", "int2"]),
        elements=st.integers(1, 10_000),
        noise=st.floats(0, 1),
    ),
    max_size=12,
)


@given(LAYERS, st.integers(-10, 40_000))
@settings(deadline=None)
def test_the_bytes_are_never_exceeded_and_noise_never_grows(layers, spare):
    found = widen(layers, spare)
    assert found.extra_bytes <= max(spare, 0)
    assert 0.0 <= found.noise_after <= found.noise_before + 1e-9
    assert len(set(found.wider)) == len(found.wider)


def test_more_noise_a_byte_goes_first():
    loud = Sensitivity("loud", "CONV_2D", "int4", 2000, 0.01)
    louder_but_large = Sensitivity("large", "CONV_2D", "int4", 40_000, 0.02)
    assert widen([louder_but_large, loud], 1000).wider == ["loud"]
    assert widen([louder_but_large, loud], 21_000).wider == ["loud", "large"]


def demo_state() -> RecoveryState:
    model = read_model(MODEL)
    name = next(iter(input_names(model)))

    def samples():
        return ({name: image} for image, _ in itertools.islice(calibration(), 24))

    ranges = Ranges([calibrate(model, samples()).statistics])
    plan = make_plan(model, "int8x4", ranges)
    return RecoveryState(model, plan, ranges, samples, MODEL.stat().st_size)


def test_layers_are_widened_within_the_size_that_was_asked_for():
    heard = []
    state = demo_state()
    before = [p.constants[1].dtype for p in state.plan.ops() if 1 in p.constants]
    assert "int4" in before
    state.size_bytes = MODEL.stat().st_size
    state.progress = lambda *told: heard.append(told[0])
    recover(state, ["gptq", "mixed-precision"])
    after = [p.constants[1].dtype for p in state.plan.ops() if 1 in p.constants]
    assert after.count("int4") < before.count("int4")
    assert "keep int8 weights" in state.notes[0], "the legal order, whatever the order asked for"
    assert state.notes[1] == "weights rounded with data"
    assert "sensitivity of each layer" in heard


def test_a_smaller_size_than_all_in_four_bits_takes_two_bits_where_they_cost_least():
    four = [Sensitivity(n, "FULLY_CONNECTED", "int4", 4000, 0.001) for n in "abc"]
    two = [
        Sensitivity(n, "FULLY_CONNECTED", "int2", 4000, v)
        for n, v in zip("abc", (0.9, 0.01, 0.2), strict=True)
    ]
    assert dict(mix(four, -1000, two).types) == {"b": "int2"}
    found = mix(four, -1500, two)
    assert found.extra_bytes <= -1500
    assert dict(found.types) == {"c": "int2", "b": "int2"} or dict(found.types) == {"b": "int2", "c": "int2"}
    assert len(mix(four, -9000, two).types) == 3, "the smallest where no choice is small enough"


def test_two_bits_run_on_the_device():
    random = np.random.default_rng(0)
    weights = random.choice([-1.0, 0.0, 1.0], (64, 64)).astype(np.float32) * 0.25
    weights[:, 0] = 0.25
    b = Builder(seed=1)
    model = b.model(b.dense(b.input("x", [1, 64]), 64))
    op = next(op for op in model.main.ops if op.kind == "FULLY_CONNECTED")
    op.inputs[1].data = weights
    plan = make_plan(model, "weight4", overrides=[(op.name, "weight2")])
    assert plan.graphs[0].ops[0].constants[1].dtype == "int2"
    given = {"x": random.uniform(-1, 1, (1, 64)).astype(np.float32)}
    outputs = []
    for one in (model, apply_plan(model, plan)):
        with Session(bytes(serialize(one))) as session:
            outputs.append(next(iter(session.run(given).values())))
    assert np.abs(outputs[0] - outputs[1]).max() < 0.02 * np.abs(outputs[0]).max()
