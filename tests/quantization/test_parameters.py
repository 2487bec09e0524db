"""Scales: shared where kernels demand it, fixed where they set them, requantized where these clash."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from support.models import Builder, random_inputs, residual_net
from support.quantizing import (
    Arrays,
    applied,
    binary,
    calibrated_all,
    concat,
    find_op,
    given,
    max_pool,
    op_plan,
    plan,
    reshape,
    run,
    run_all,
    scale_of,
)
from tightfit.graph.ir import Model
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.ops.op_rule import least_output_scale
from tightfit.quantization.ops.op_table import OP_RULES


def tensors(made, dtype="int8"):
    """Tensor key → (scale, zero point) in the main graph."""
    return {
        k: (v[dtype].scale[0], v[dtype].zero_point[0])
        for k, v in made.graphs[0].tensors.items()
        if dtype in v
    }


def test_a_chain_of_movements_shares_one_scale_that_holds_all_of_it():
    b = Builder()
    x = b.conv(b.input("x", [1, 8, 8, 2]), 3)
    y = reshape(b, max_pool(b, x), 1, 48)
    model = b.model(b.dense(y, 4))
    made = plan(model, "int8", ranges=given(model, max_pool_2d_1=(-3.0, 1.0)))
    scales = tensors(made)
    assert scales["conv_0"] == scales["max_pool_2d_1"] == scales["reshape_2"]
    assert scales["conv_0"][0] == pytest.approx(4 / 255)
    assert scales["x"] != scales["conv_0"]


@pytest.mark.parametrize(("dtype", "scale"), [("int8", 1 / 256), ("int16", 1 / 32768)])
def test_fixed_outputs_and_what_only_moves_them_have_the_kernels_scale(dtype, scale):
    b = Builder()
    p = b.softmax(b.dense(b.input("x", [1, 6]), 6))
    model = b.model(b.dense(reshape(b, p, 6, 1), 2))
    made = plan(model, {"int8": "int8", "int16": "int16x8"}[dtype])
    zero_point = -128 if dtype == "int8" else 0
    assert tensors(made, dtype)["probabilities"] == (scale, zero_point)
    assert tensors(made, dtype)["reshape_2"] == (scale, zero_point)


def gate_and_rest(kind: str) -> Model:
    """Probabilities beside values of another magnitude, concatenated."""
    b = Builder()
    x = b.dense(b.input("x", [1, 6]), 6)
    gate = b.softmax(x) if kind == "SOFTMAX" else b.op(kind, [x], x.shape)
    return b.model(concat(b, gate, b.dense(x, 5)))


GATES = ("SOFTMAX", "LOGISTIC", "TANH")
GATED = [(kind, scheme) for kind in GATES for scheme in ("int8", "int16x8")]
INPUT = {"x": np.float32([[9, -9, 9, 9, -9, 9]])}


@functools.cache
def gated() -> tuple[dict[str, Model], dict[str, Arrays]]:
    """The quantized forms of each gate, and what LiteRT gives for them and for the float models."""
    nets = {kind: gate_and_rest(kind) for kind in GATES}
    ranges = calibrated_all(nets, dict.fromkeys(GATES, INPUT))
    twins = {f"{k} {s}": applied(nets[k], s, ranges=ranges[k]) for k, s in GATED}
    return twins, run_all(nets | twins, dict.fromkeys([*nets, *twins], INPUT))


@pytest.mark.parametrize(("kind", "scheme"), GATED)
def test_a_fixed_scale_beside_a_free_one_is_requantized_and_does_not_saturate(kind, scheme):
    twins, results = gated()
    wanted = results[kind]["concatenation_3"]
    assert np.abs(wanted).max() > 2, "the test needs values beyond what a fixed scale holds"
    joined = find_op(twins[f"{kind} {scheme}"], "CONCATENATION")
    step = scale_of(joined.outputs[0])
    assert {scale_of(t) for t in joined.inputs} == {step}
    assert [op.kind for op in (t.producer for t in joined.inputs)] == ["QUANTIZE", "FULLY_CONNECTED"]
    # The dense layers before err by what int8 weights and activations cost, far below what saturating does.
    assert np.abs(results[f"{kind} {scheme}"]["concatenation_3"] - wanted).max() < 0.25


def test_the_group_of_a_requantized_value_is_wide_enough_for_it():
    model = gate_and_rest("TANH")
    made = plan(model, "int8", ranges=given(model, -0.1, 0.1))
    scale, zero_point = tensors(made)["concatenation_3"]
    assert scale * (-128 - zero_point) <= -1 + scale
    assert scale * (127 - zero_point) >= 127 / 128 - scale


def test_equal_fixed_scales_are_joined_without_a_conversion():
    b = Builder()
    x = b.dense(b.input("x", [1, 6]), 6)
    model = b.model(concat(b, b.softmax(x), b.op("LOGISTIC", [x], x.shape)))
    made = plan(model, "int8")
    assert op_plan(made, "CONCATENATION").inputs == {}
    assert tensors(made)["concatenation_3"] == (1 / 256, -128)


def test_different_fixed_scales_meet_on_one_that_holds_both():
    b = Builder()
    x = b.input("x", [1, 6])
    model = b.model(concat(b, b.softmax(x), b.op("TANH", [x], x.shape)))
    sample = {"x": np.linspace(-3, 3, 6, dtype=np.float32)[None]}
    found = run(applied(model, "int8", ranges=given(model, -3.0, 3.0)), sample)["concatenation_2"]
    weights = np.exp(sample["x"])
    wanted = np.concatenate([weights / weights.sum(), np.tanh(sample["x"])], axis=1)
    np.testing.assert_allclose(found, wanted, atol=3 * 2 / 255 + 3 / 255)


def test_a_constant_that_fits_takes_the_fixed_scale():
    b = Builder()
    p = b.softmax(b.dense(b.input("x", [1, 6]), 6))
    model = b.model(binary(b, "MAXIMUM", p, b.constant("floor", [[0.25]], "float32")))
    made = plan(model, "int8")
    row = op_plan(made, "MAXIMUM")
    assert row.inputs == {}
    assert row.constants[1].scale == (1 / 256,)


def test_the_inputs_of_a_comparison_share_a_scale_even_when_one_is_fixed():
    b = Builder()
    x = b.input("x", [1, 6])
    p = b.softmax(b.dense(x, 6))
    below = b.op("LESS", [p, b.dense(x, 6)], [1, 6], dtype="bool", table="LessOptions")
    model = b.model(below)
    made = plan(model, "int8", ranges=given(model, -6.0, 6.0))
    row = op_plan(made, "LESS")
    assert list(row.inputs) == [0]
    assert row.inputs[0].scale == made.graphs[0].tensors["dense_2"]["int8"].scale
    twin = apply_plan(model, made)
    assert len({(scale_of(t), int(t.quantization.zero_point[0])) for t in find_op(twin, "LESS").inputs}) == 1


def test_two_fixed_inputs_of_a_comparison_meet_on_a_third_scale():
    b = Builder()
    x = b.input("x", [1, 6])
    pair = [b.softmax(x), b.op("TANH", [x], x.shape)]
    model = b.model(b.op("LESS", pair, [1, 6], dtype="bool", table="LessOptions", name="less"))
    twin = applied(model, "int8", ranges=given(model, -3.0, 3.0))
    assert {t.producer.kind for t in find_op(twin, "LESS").inputs} == {"QUANTIZE"}
    x = np.linspace(-3, 3, 6, dtype=np.float32)[None]
    wanted = np.exp(x) / np.exp(x).sum() < np.tanh(x)
    np.testing.assert_array_equal(run(twin, {"x": x})["less"], wanted)


def test_a_constant_that_two_ops_share_does_not_tie_their_scales():
    b = Builder()
    zero = b.constant("zero", [0.0], "float32")
    small, large = b.dense(b.input("x", [1, 4]), 4), b.dense(b.input("y", [1, 4]), 4)
    outputs = binary(b, "MAXIMUM", small, zero, "a"), binary(b, "MAXIMUM", large, zero, "b")
    model = b.model(*outputs)
    made = plan(model, "int8", ranges=given(model, dense_1=(-90.0, 90.0), b=(0.0, 90.0)))
    scales = tensors(made)
    assert scales["a"][0] == pytest.approx(2 / 255)
    assert scales["b"][0] == pytest.approx(180 / 255)
    limits = [op.inputs[1] for op in apply_plan(model, made).main.ops if op.kind == "MAXIMUM"]
    assert scale_of(limits[0]) != scale_of(limits[1])


@pytest.mark.parametrize(("kind", "limit"), [("MINIMUM", 3.4e38), ("MAXIMUM", -1e9)])
def test_a_far_limit_that_never_binds_costs_no_resolution(kind, limit):
    b = Builder()
    x = b.op("RELU", [b.input("x", [1, 4])], [1, 4])
    model = b.model(binary(b, kind, x, b.constant("limit", [limit], "float32"), "y"))
    twin = applied(model, "int8", ranges=given(model, -4.0, 4.0))
    step = 8 / 255
    assert scale_of(find_op(twin, kind).outputs[0]) == pytest.approx(step)
    found = run(twin, {"x": np.float32([[1, -2, 3, 0.5]])})["y"]
    np.testing.assert_allclose(found, [[1, 0, 3, 0.5]], atol=step)


def test_a_residual_add_keeps_three_scales():
    model = residual_net()
    add = find_op(model, "ADD")
    names = [t.name for t in (*add.inputs, *add.outputs)]
    ranges = given(model, **{n: (-1.0 * (i + 1), 1.0) for i, n in enumerate(names)})
    scales = tensors(plan(model, "int8", ranges=ranges))
    assert len({scales[n] for n in names}) == 3


def test_an_op_that_reads_one_tensor_twice_is_planned_once():
    b = Builder()
    x = b.input("x", [1, 4])
    model = b.model(binary(b, "ADD", x, x, "twice"), binary(b, "MUL", x, x, "square"))
    values = np.float32([[1, -2, 0.5, 4]])
    sample = {"x": values}
    ranges = given(model, -4.0, 4.0, twice=(-8.0, 8.0), square=(0.0, 16.0))
    steps = {"int8": 16 / 255, "int16x8": 16 / 32767}
    twins = {scheme: applied(model, scheme, ranges=ranges) for scheme in steps}
    for scheme, found in run_all(twins, dict.fromkeys(twins, sample)).items():
        assert sum(op.kind == "QUANTIZE" for op in twins[scheme].main.ops) == 1
        np.testing.assert_allclose(found["twice"], 2 * values, atol=2 * steps[scheme])
        np.testing.assert_allclose(found["square"], values**2, atol=5 * steps[scheme])


def test_a_tiny_output_gets_the_least_scale_that_the_kernel_can_do():
    b = Builder()
    x = b.input("x", [1, 4])
    model = b.model(binary(b, "ADD", x, b.input("z", [1, 4]), "y"))
    made = plan(model, "int8", ranges=given(model, -100.0, 100.0, y=(-1e-6, 1e-6)))
    held = made.graphs[0].tensors
    least = least_output_scale(OP_RULES["ADD"], "int8", [held["x"]["int8"].scale[0]] * 2)
    assert least <= held["y"]["int8"].scale[0] <= least * 1.000001
    sample = {"x": np.float32([[70, -70, 50, 0]]), "z": np.float32([[-70, 70, -50, 0]])}
    assert np.abs(run(apply_plan(model, made), sample)["y"]).max() <= 2 * least


def test_a_coarser_output_makes_the_next_one_coarser_too():
    b = Builder()
    x = b.input("x", [1, 4])
    y = b.op("RELU", [binary(b, "ADD", x, x, "y")], [1, 4], name="z")
    model = b.model(b.op("RELU6", [y], [1, 4], name="last"))
    made = plan(model, "int8", ranges=given(model, -100.0, 100.0, y=(0, 1e-9), z=(0, 1e-9), last=(0, 1e-9)))
    scales = [made.graphs[0].tensors[k]["int8"].scale[0] for k in ("x", "y", "z", "last")]
    for before, after in itertools.pairwise(scales):
        assert after >= before / 64


def test_dead_layers_run_on_every_kernel():
    b = Builder()
    x = b.input("x", [1, 4, 4, 2])
    y = b.conv(x, 3, activation=0)
    for tensor in find_op(b.model(y), "CONV_2D").inputs[1:]:
        tensor.data = np.zeros_like(tensor.data)
    model = b.model(b.add(b.depthwise(y), y))
    dead = given(model, -1.0, 1.0, conv_0=(0.0, 0.0), depthwise_1=(0.0, 0.0), add_2=(0.0, 0.0))
    twins = {scheme: applied(model, scheme, ranges=dead) for scheme in ("int8", "int16x8")}
    for results in run_all(twins, dict.fromkeys(twins, random_inputs(model))).values():
        # Each is stored as 0 in steps as coarse as its kernel wants, but for the depthwise bias.
        assert np.abs(results["add_2"]).max() < 0.01
