"""The plan is plain data: pure to make, comparable, the same after JSON, readable, with one note a matter."""

from __future__ import annotations

import json

import numpy as np
import pytest

from support.models import Builder, conv_net, loop_model, residual_net, two_inputs_net
from support.quantizing import drop_bias, find_op, given, op_plan, plan
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Graph, Model, Quantization, Tensor
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.constants import decide_constants
from tightfit.quantization.plan import INTEGER, OpPlan, Storage, plan_from_json
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES, find_scheme

MODELS = {"conv": conv_net, "residual": residual_net, "two inputs": two_inputs_net, "loop": loop_model}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", MODELS)
def test_planning_leaves_the_model_as_it_was(name, scheme):
    model = MODELS[name]()
    before = bytes(serialize(model))
    plan(model, scheme)
    assert bytes(serialize(model)) == before


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", MODELS)
def test_a_plan_is_the_same_after_json(name, scheme):
    model = MODELS[name]()
    made = plan(model, scheme)
    back = plan_from_json(made.to_json())
    assert back == made
    assert back.to_json() == made.to_json()
    assert json.loads(made.to_json())["scheme"]["name"] == scheme


def test_a_plan_from_json_is_applied_like_the_original():
    model = residual_net()
    made = plan(model, "int8", "int8")
    back = plan_from_json(made.to_json())
    assert bytes(serialize(apply_plan(model, back))) == bytes(serialize(apply_plan(model, made)))


def test_reasons_are_not_part_of_what_a_storage_is():
    assert Storage("int8", (0.5,), (0,), reason="calibrated") == Storage(
        "int8", (0.5,), (0,), reason="shared"
    )


def test_the_text_has_a_line_an_op_with_its_reason():
    text = plan(conv_net(), "int8", overrides=[("SOFTMAX", "float")]).text()
    assert text.splitlines()[0].startswith("scheme int8: int8 weights and activations")
    assert "CONV_2D                  integer int8   conv_0" in text
    assert "SOFTMAX                  float          probabilities  (asked for: SOFTMAX → float)" in text


def test_a_quantized_model_is_refused_in_one_sentence():
    model = conv_net()
    twin = apply_plan(model, plan(model, "int8"))
    with pytest.raises(ModelError, match=r"The model is already quantized: '.*' is int8 with a scale. Give"):
        make_plan(twin, "int8", {})


def test_an_informative_range_of_a_converter_is_no_quantization():
    model = conv_net()
    none = np.zeros(0)
    for tensor in model.main.inputs:
        tensor.quantization = Quantization(
            none.astype(np.float32), none.astype(np.int64), range_min=np.float32([0])
        )
    assert op_plan(plan(model, "int8"), "CONV_2D").mode == INTEGER


def test_an_override_that_matches_nothing_is_refused():
    with pytest.raises(OptionError, match=r"'nothing' matches no op.*'tightfit inspect'"):
        make_plan(conv_net(), "int8", {}, overrides=[("nothing", "float")])


def test_overrides_may_be_a_generator():
    made = make_plan(conv_net(), "float16", {}, overrides=(pair for pair in [("CONV_2D", "float")]))
    assert op_plan(made, "CONV_2D").mode == "float"


def test_a_scheme_may_be_a_name_or_itself():
    model = conv_net()
    assert make_plan(model, "int8", given(model)) == make_plan(model, find_scheme("int8"), given(model))


# -- inputs and outputs ----------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "interface"), [("int8", "int8"), ("int8", "uint8"), ("int16x8", "int16")])
def test_the_interface_is_what_was_asked_for(scheme, interface):
    made = plan(two_inputs_net(), scheme, interface)
    assert set(made.graphs[0].interface.values()) == {interface}
    assert made.notes == []


def test_an_end_that_no_integer_op_touches_stays_float_and_is_noted():
    b = Builder()
    x, y = b.input("x", [1, 4]), b.input("y", [1, 4])
    model = b.model(b.op("CEIL", [x], [1, 4], name="raw"), b.dense(y, 4))
    made = plan(model, "int8", "uint8")
    assert made.graphs[0].interface == {"x": "float32", "y": "uint8", "raw": "float32", "dense_1": "uint8"}
    why = "computes in float (no integer kernel in LiteRT 2.3)"
    assert made.notes == [
        f"'x' stays float32 instead of uint8: CEIL 'raw', which takes it, {why}",
        f"'raw' stays float32 instead of uint8: CEIL 'raw', which gives it, {why}",
    ]


def test_an_integer_interface_is_planned_where_the_first_and_last_ops_have_another_type():
    model = conv_net()
    made = plan(model, "int8", "int8", overrides=[("conv_0", "int16x8"), ("SOFTMAX", "int16x8")])
    assert sorted(made.graphs[0].tensors["image"]) == ["int16", "int8"]
    assert made.graphs[0].tensors["probabilities"]["int8"].scale == (1 / 256,)


def test_a_constant_output_and_plain_integers_have_no_interface():
    b = Builder()
    constant = b.constant("c", np.ones((1, 4)), "float32")
    model = b.model(b.add(b.input("x", [1, 4]), constant), constant)
    assert set(plan(model, "int8", "int8").graphs[0].interface) == {"x", "add_0"}


# -- constants -------------------------------------------------------------------------------------


def dead_channels(model: Model, *names: str) -> None:
    """Makes the first two output channels of these convolutions all bias and no weight."""
    for name in names:
        op = next(op for op in model.main.ops if op.name == name)
        weights, bias = op.inputs[1], op.inputs[2]
        weights.data, bias.data = weights.data.copy(), bias.data.copy()
        weights.data[:2], bias.data[:2] = 0.0, 25.0


def test_widened_weight_scales_are_one_note_a_model():
    model = conv_net()
    dead_channels(model, "conv_0", "conv_1")
    made = plan(model, "int8")
    assert made.notes == [
        "in 2 ops the weight scale of 4 dead channels was widened so that their bias fits int32"
    ]
    dead_channels(single := conv_net(), "conv_1")
    assert plan(single, "int8").notes[0].startswith("in 1 op the weight scale of 2 dead channels was")


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_every_stored_bias_fits_the_accumulator_of_its_kernel(scheme):
    model = conv_net()
    dead_channels(model, "conv_0")
    twin = apply_plan(model, plan(model, scheme))
    bias = find_op(twin, "CONV_2D").inputs[2]
    assert bias.dtype == {"int8": "int32", "int16x8": "int64"}[scheme]
    limit = {"int8": 2.0**30, "int16x8": 2.0**46}[scheme]
    assert np.abs(bias.data).max() <= limit * 1.0001
    real = bias.data * bias.quantization.scale.astype(np.float64)
    np.testing.assert_allclose(real[:2], 25.0, rtol=1e-5)


def test_a_bias_stands_on_the_grid_that_the_kernel_checks():
    model = conv_net()
    made = plan(model, "int8")
    row = op_plan(made, "conv_1")
    source = made.graphs[0].tensors["conv_0"]["int8"].scale[0]
    product = np.float32(np.float64(np.float32(source)) * np.float32(row.constants[1].scale))
    np.testing.assert_array_equal(np.float32(row.constants[2].scale), product)


def test_a_convolution_without_a_bias_gets_one_of_zeros():
    b = Builder()
    y = b.conv(b.input("x", [1, 8, 8, 2]), 3)
    op = find_op(model := b.model(y), "CONV_2D")
    drop_bias(model, op)
    twin = apply_plan(model, plan(model, "int8"))
    assert find_op(twin, "CONV_2D").inputs[2].data.tolist() == [0, 0, 0]


def test_constants_of_an_op_without_weights_are_left_to_its_parameters():
    b = Builder()
    model = b.model(b.op("ELU", [b.input("x", [1, 4])], [1, 4]))
    row = OpPlan("y", "ELU", INTEGER, dtype="int8")
    assert decide_constants(model.main.ops[0], row, find_scheme("int8"), None) == 0
    assert row.constants == {}


# -- odd graphs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_graph_without_ops_has_an_empty_plan(scheme):
    x = Tensor("x", (1, 4))
    graph = Graph()
    graph.inputs = graph.outputs = [x]
    made = plan(Model([graph]), scheme)
    assert made.ops() == []
    assert apply_plan(Model([graph]), made).main.outputs[0].dtype == "float32"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tensors_of_every_rank_and_without_elements_are_planned(scheme):
    b = Builder()
    scalar = b.add(b.input("s", []), b.constant("one", 1.0, "float32"))
    empty = b.add(b.input("e", [0, 4]), b.constant("four", np.ones(4), "float32"))
    none = b.constant("none", np.zeros((0, 4)), "float32")
    model = b.model(scalar, empty, b.add(b.input("f", [0, 4]), none))
    applied = apply_plan(model, plan(model, scheme))
    applied.validate()
    assert [t.dtype for t in applied.main.outputs] == ["float32"] * 3


def test_two_tensors_of_one_name_have_plans_of_their_own():
    b = Builder()
    first = b.op("RELU", [b.input("x", [1, 4])], [1, 4], name="same")
    model = b.model(b.op("RELU6", [first], [1, 4], name="same"))
    made = plan(model, "int8", ranges=given(model, **{"same#2": (0.0, 6.0)}))
    held = made.graphs[0].tensors
    assert held["same"]["int8"].scale != held["same#2"]["int8"].scale
