"""How far a sound file may be from its record on another processor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.integer_models import conv, unary, with_float_ends
from support.models import conv_net
from tightfit.provenance.replay import Replay, ReplayDifference
from tightfit.provenance.tolerance import Tolerance, tolerance


def test_integers_are_equal_everywhere():
    assert tolerance(with_float_ends(conv()), same_machine=False) == Tolerance()


def test_int4_convolutions_and_softmax_round_by_the_processor():
    int4 = conv(weight_dtype="int4")
    assert tolerance(int4, same_machine=True).steps == 0
    assert tolerance(int4, same_machine=False).steps == 8
    assert tolerance(unary("SOFTMAX"), same_machine=False).steps == 1
    assert tolerance(unary("TANH"), same_machine=False).steps == 0


def test_sums_of_floats_differ_by_their_length_on_any_machine():
    found = tolerance(conv_net(), same_machine=True)
    assert 1 <= found.steps < 10
    assert "order" in found.reason


def test_dynamic_range_ops_differ_by_a_step_of_their_activations():
    model = conv_net()
    convolutions = [op for op in model.main.ops if op.kind == "CONV_2D"]
    for op in convolutions:
        op.operand(1).dtype = "int8"
    assert tolerance(model, same_machine=True).steps < 10
    assert tolerance(model, same_machine=False).steps == pytest.approx(256 * len(convolutions) ** 0.5)


def test_what_is_within_the_arithmetic_is_accepted_and_told():
    difference = ReplayDifference(0, "y", equal=False, steps=3.0, different=0.1)
    found = Replay("m.tflite", {}, {}, [difference], allowed=Tolerance(8.0, "rounding"))
    assert found.within()
    assert not found.within(0)
    assert found.verdict() == "within 3 steps, as expected: rounding"
    assert not replace(found, allowed=Tolerance()).within()
