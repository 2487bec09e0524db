"""Bytes go where they take most noise away, and never beyond the limit."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tightfit.demo import MODEL, calibration
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.mixed_precision import widen
from tightfit.recovery.sensitivity import Sensitivity
from tightfit.recovery.steps import RecoveryState, recover

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
