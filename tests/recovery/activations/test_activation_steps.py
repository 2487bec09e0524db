"""Masks, smoothing, mixed activations: each brings back what its model was made to lose, and no more."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from support.attention_models import LENGTH, WIDTH, attention, inputs, pre_norm
from support.head_models import HeadPart, head_model, images
from tightfit.errors import DataError
from tightfit.graph.ir import Model
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.activations.activation_noise import EdgeNoise, measure_activations
from tightfit.recovery.activations.activation_steps import few_samples
from tightfit.recovery.activations.attention_masks import shrink_masks
from tightfit.recovery.activations.mixed_activations import choose_wider
from tightfit.recovery.activations.smoothing import smooth
from tightfit.recovery.activations.switchable_rounding import Edge, SwitchableRounding
from tightfit.recovery.output_noise import noise_share, outputs_of
from tightfit.recovery.slice_noise import SliceNoise
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover


def reals(count, seed=0):
    random = np.random.default_rng(seed)
    return [{"x": random.standard_normal((1, LENGTH, WIDTH)).astype(np.float32)} for _ in range(count)]


def work_of(model: Model, samples, scheme="int8") -> RecoveryState:
    ranges = Ranges([calibrate(model, samples, workers=1).statistics])
    return RecoveryState(model, make_plan(model, scheme, ranges), ranges, lambda: iter(samples), 1)


def noise_of(model: Model, state: RecoveryState, samples) -> float:
    """Of the quantized file on LiteRT against the float model, on samples that did not calibrate."""
    quantized = apply_plan(state.model, state.plan)
    return noise_share(list(outputs_of(model, samples)), list(outputs_of(quantized, samples)))


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("masked", "post"), [(-1e9, True), (-1e4, True), (-3e38, False), (-np.inf, False)], ids=str
)
def test_a_mask_as_large_as_its_scores_need_brings_the_scores_back(masked, post):
    model = attention(masked=masked, post=post)
    plain, state = work_of(model, inputs(16)), work_of(model, inputs(16))
    recover(state, ["attention-mask-clipping"])
    held_out = inputs(8, seed=1)
    after = noise_of(model, state, held_out)
    assert after < 0.002
    # An infinite constant is refused by the planner, so that op was in float before: nothing was lost.
    assert np.isinf(masked) or noise_of(model, plain, held_out) > 10 * after
    assert not any(op.kind in ("ADD", "SELECT_V2") for op in state.plan.refusals())
    assert noise_share(list(outputs_of(model, held_out)), list(outputs_of(state.model, held_out))) < 1e-10


def test_a_small_mask_is_left_alone():
    model = attention(masked=-20.0)
    state = work_of(model, inputs(8))
    plan = state.plan
    recover(state, ["attention-mask-clipping"])
    assert (state.model, state.plan) == (model, plan)
    assert state.notes == []
    assert shrink_masks(model, state.ranges) == (model, {})


def test_values_that_others_read_are_no_mask():
    model = attention()
    graph = model.main
    graph.outputs.append(graph.find("bias"))
    model.signatures[0].outputs["bias"] = graph.find("bias")
    state = work_of(model, inputs(8))
    recover(state, ["attention-mask-clipping"])
    answers = list(outputs_of(state.model, inputs(2)))
    assert min(float(x.min()) for a in answers for x in a) == -1e9


# -- smoothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["int8", "dynamic"])
def test_a_loud_channel_moves_into_the_weights(scheme):
    model = pre_norm(loud=80.0)
    plain, state = work_of(model, reals(16), scheme), work_of(model, reals(16), scheme)
    recover(state, ["smoothing"])
    held_out = reals(8, seed=1)
    assert noise_of(model, plain, held_out) > 4 * noise_of(model, state, held_out)
    assert "moved into the following weights" in state.notes[0]
    assert len(state.model.main.ops) == len(model.main.ops)


def test_other_readers_get_the_values_that_they_had():
    model = pre_norm(loud=80.0, residual=True)
    model.main.outputs.pop()
    model.signatures[0].outputs.popitem()
    tail = model.main.find("norm").producer
    relu = model.main.find("norm")
    state = work_of(model, reals(8))
    smoothed, moved = smooth(model, state.plan.graphs[0].ops, reals(8))
    assert moved == ["norm"]
    assert tail is not None
    assert relu.consumers
    samples = reals(4, seed=2)
    assert noise_share(list(outputs_of(model, samples)), list(outputs_of(smoothed, samples))) < 1e-10


def test_even_channels_and_outputs_stay_as_they_are():
    for model in (pre_norm(), pre_norm(loud=80.0, residual=True)):
        state = work_of(model, reals(8))
        recover(state, ["smoothing"])
        assert state.model is model
        assert state.notes == []


# -- mixed activations -----------------------------------------------------------------------------


def test_a_gated_model_answers_like_the_float_model_until_a_gate_opens():
    model = attention(loud=60.0)
    state = work_of(model, inputs(8))
    gates, few = SwitchableRounding(model, state.plan), inputs(3, seed=1)
    wanted = list(outputs_of(model, few))
    with gates.open() as session:
        closed = list(gates.answers(session, few))
        opened = list(gates.answers(session, few, range(len(gates.edges))))
    assert noise_share(wanted, closed) < 1e-12
    # A variance rounded to zero makes the root infinite and the answer NaN.
    assert not noise_share(wanted, opened) < 1e-4
    assert Edge("second", "gelu_40", 0) not in gates.edges
    assert {e.reader for e in gates.edges} >= {"shares", "scores", "second/square"}


def test_ops_that_int8_spoils_are_widened_and_no_others():
    model = attention(loud=60.0)
    plain, state = work_of(model, inputs(16)), work_of(model, inputs(16))
    recover(state, ["attention-mask-clipping", "mixed-activations"])
    held_out = inputs(8, seed=1)
    after = noise_of(model, state, held_out)
    assert after < 0.01 < noise_of(model, plain, held_out)
    wide = [op for op in state.plan.ops() if op.dtype == "int16" or "add much noise" in op.reason]
    assert 0 < len(wide) < len(state.plan.ops()) / 2
    assert "use wider activations than int8" in state.notes[-1]


def test_what_is_good_enough_stays_int8():
    state = work_of(attention(masked=-20.0), inputs(8))
    plan = state.plan
    recover(state, ["mixed-activations"])
    assert state.plan is plan
    assert state.notes == []


def test_a_stricter_limit_widens_more():
    model = attention(loud=60.0, masked=-20.0)
    counts = []
    for limit in (0.01, 0.0005):
        state = dataclasses.replace(work_of(model, inputs(8)), noise=limit)
        recover(state, ["mixed-activations"])
        counts.append(sum(op.dtype != "int8" for op in state.plan.ops()))
    assert counts[0] < counts[1]


def test_both_ends_of_a_noisy_value_are_widened_together():
    edges = [
        EdgeNoise(Edge("a", "b", 0), 0.3), EdgeNoise(Edge("b", "c", 0), 0.2),
        EdgeNoise(Edge("", "d", 0), 0.1), EdgeNoise(Edge("e", "f", 0), 0.0),
    ]  # fmt: skip
    costs = dict.fromkeys("abcdef", 1 / 6)
    assert set(choose_wider(edges, costs, 0.05).ops) == set("abcd")
    assert set(choose_wider(edges, costs, 0.12).ops) == set("abc")
    assert choose_wider(edges, costs, 1.0).ops == ()


def test_measuring_takes_samples():
    model = attention()
    with pytest.raises(DataError, match="There is no sample to measure activations with"):
        measure_activations(SwitchableRounding(model, work_of(model, inputs(2)).plan), [], 0.01)


def test_few_samples_spread_over_all():
    state = work_of(pre_norm(), reals(2))
    many = [{"x": np.full(1, i)} for i in range(100)]
    state.samples = lambda: iter(many)
    found = [int(s["x"][0]) for s in few_samples(state, 6)]
    assert len(found) == 6
    assert found[0] == 0
    assert found[-1] >= 70


def test_the_worst_slice_decides_what_is_widened():
    heads = [HeadPart(4, scale=640.0), HeadPart(3)]
    model, samples = head_model(heads), list(images(24)())
    state, plain = work_of(model, samples), work_of(model, samples)
    assert noise_of(model, plain, samples) < state.noise  # the boxes alone look good
    recover(state, ["mixed-activations"])
    check = SliceNoise(model, list(images(12, seed=7)()))
    before, after = (check.of_model(apply_plan(w.model, w.plan)) for w in (plain, state))
    assert before > 0.2
    assert after < 0.02
    assert any("noise of the worst slice falls" in note for note in state.notes)
