"""Which ops run on integers, which do not, and the sentence that says why."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder, conv_net, loop_model
from support.quantizing import binary, concat, given, lstm_net, max_pool, op_plan, plan, reshape
from tightfit.errors import OptionError, QuantizationError
from tightfit.graph.ir import Graph, Model, Op, Sparsity, Tensor
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import EXACT, FLOAT, HYBRID, INTEGER, UNPACKED
from tightfit.quantization.planning import make_plan
from tightfit.streaming.tensor_statistics import Statistics


def reason_of(model: Model, scheme: str = "int8", kind: str | None = None, **options) -> str:
    """The reason of the op that the scheme wanted otherwise (the only one, or that of a kind)."""
    refused = [op for op in plan(model, scheme, **options).refusals() if kind in (None, op.kind)]
    assert len(refused) == 1, refused
    return refused[0].reason


# -- overrides -------------------------------------------------------------------------------------


def test_the_first_override_that_matches_counts():
    model = conv_net()
    rules = [("conv_1", "float"), ("CONV_*", "int16x8"), ("conv_0", "float16")]
    made = plan(model, "int8", overrides=rules)
    assert (op_plan(made, "conv_1").mode, op_plan(made, "conv_1").reason) == (
        FLOAT,
        "asked for: conv_1 → float",
    )
    assert (op_plan(made, "conv_0").mode, op_plan(made, "conv_0").dtype) == (INTEGER, "int16")
    assert op_plan(made, "SOFTMAX").dtype == "int8"
    assert made.refusals() == []


def test_an_override_may_carry_its_own_reason():
    made = plan(conv_net(), "int8", overrides=[Override("SOFTMAX", "float", "it loses 3 points")])
    assert op_plan(made, "SOFTMAX").reason == "it loses 3 points"


@pytest.mark.parametrize("scheme", ["float16", "weight8", "dynamic"])
def test_one_op_of_a_float_scheme_may_run_on_integers(scheme):
    model = conv_net()
    made = plan(model, scheme, overrides=[("CONV_2D", "int8")])
    assert {op.mode for op in made.ops() if op.kind == "CONV_2D"} == {INTEGER}
    apply_plan(model, made).validate()


def test_a_name_with_brackets_is_matched_as_it_stands():
    b = Builder()
    model = b.model(b.op("ELU", [b.input("x", [1, 4])], [1, 4], name="layer[0]/elu"))
    assert op_plan(plan(model, "int8", overrides=[("layer[0]/elu", "float")]), "ELU").mode == FLOAT


def test_an_override_of_one_op_to_a_scheme_without_activations():
    model = conv_net()
    made = plan(model, "int8", overrides=[("FULLY_CONNECTED", "weight8"), ("conv_1", "dynamic")])
    assert op_plan(made, "conv_1").mode == HYBRID
    assert op_plan(made, "FULLY_CONNECTED").mode == FLOAT, "its 80 weights are not worth unpacking"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (("conv_9", "float"), "The override 'conv_9' matches no op"),
        (("conv_1", "int7"), "Unknown scheme 'int7'"),
        (("conv_1",), "An override is a pair"),
        ("conv_1", "An override is a pair"),
    ],
)
def test_a_wrong_override_is_refused(override, words):
    with pytest.raises(OptionError, match=words):
        plan(conv_net(), "int8", overrides=[override])


# -- reasons ---------------------------------------------------------------------------------------


def test_an_op_without_an_integer_kernel_stays_float_and_says_so():
    b = Builder()
    model = b.model(b.op("CEIL", [b.dense(b.input("x", [1, 4]), 4)], [1, 4]))
    assert reason_of(model) == "no integer kernel in LiteRT 2.3"
    assert "CEIL" in plan(model, "int8").text()


def test_an_op_without_an_int16_kernel_names_the_type():
    b = Builder()
    model = b.model(b.op("ELU", [b.input("x", [1, 4])], [1, 4]))
    assert reason_of(model, "int16x8") == "no int16 kernel in LiteRT 2.3"


def test_weights_computed_at_run_time_are_refused_by_name():
    b = Builder()
    x, w = b.input("x", [1, 8]), b.input("w", [4, 8])
    model = b.model(b.op("FULLY_CONNECTED", [x, w, None], [1, 4], table="FullyConnectedOptions"))
    assert reason_of(model) == "its input 'w' is computed at run time; the kernel needs a constant"


def test_sparse_weights_are_refused_by_name():
    b = Builder()
    model = b.model(b.dense(b.input("x", [1, 4]), 4))
    weights = model.main.find("dense_0/weights")
    weights.data = np.float32([1.0])
    weights.sparsity = Sparsity((0, 1), (), (("dense", 4), ("csr", np.uint8([0, 1, 1, 1, 1]), np.uint8([0]))))
    assert reason_of(model) == "its input 'dense_0/weights' is stored sparse; the kernel needs it dense"


def test_a_custom_op_is_named():
    graph = Graph()
    x, y = Tensor("x", (1, 4)), Tensor("y", (1, 4))
    op = Op("CUSTOM", [x], [y])
    op.custom_code = "Mystery"
    graph.append(op)
    graph.inputs, graph.outputs = [x], [y]
    assert reason_of(Model([graph])).startswith("the custom op 'Mystery' has only the kernel")


def test_an_op_without_a_calibrated_range_is_refused_by_tensor():
    model = conv_net()
    ranges = given(model)
    del ranges["conv_1"]
    refused = plan(model, "int8", ranges=ranges).refusals()
    assert {op.kind for op in refused} == {"CONV_2D", "MEAN"}
    assert {op.reason for op in refused} == {"the range of 'conv_1' was not calibrated"}


def test_a_variable_is_refused_by_name():
    b = Builder()
    state = Tensor("state", (1, 4), is_variable=True)
    model = b.model(b.add(b.input("x", [1, 4]), state))
    assert reason_of(model) == "its tensor 'state' is a variable that keeps its value between calls"


def ranges_with(model: Model, **bad: list[float]) -> Ranges:
    """Statistics of one clean sample for every tensor, and of these values for those named."""
    statistics = {}
    for key in given(model):
        statistics[key] = Statistics()
        for value in bad.get(key, [1.0]):
            statistics[key].update(np.float32([value]))
    return Ranges([statistics])


def test_an_inner_tensor_that_never_was_finite_keeps_its_ops_in_float():
    model = conv_net()
    made = make_plan(model, "int8", ranges_with(model, conv_1=[np.inf, np.nan]))
    reasons = {op.kind: op.reason for op in made.refusals()}
    assert reasons["MEAN"] == "its tensor 'conv_1' was NaN or infinite in all calibration samples"
    assert op_plan(made, "FULLY_CONNECTED").mode == INTEGER


def test_an_input_that_never_was_finite_is_an_error_of_the_data():
    model = conv_net()
    with pytest.raises(QuantizationError, match="'image' was NaN or infinite in all 1 calibration samples"):
        make_plan(model, "int8", ranges_with(model, image=[np.nan]))


def test_samples_that_were_left_out_are_noted_once():
    model = conv_net()
    made = make_plan(model, "int8", ranges_with(model, conv_0=[1.0, np.nan], conv_1=[np.inf, 1.0]))
    expected = "samples in which 'conv_0' and 1 more tensors held NaN or infinity were left out"
    assert [n for n in made.notes if n.startswith(expected)] == made.notes


def test_a_mask_of_minus_infinity_keeps_its_op_in_float():
    b = Builder()
    mask = b.constant("mask", [[0.0, -np.inf, 0.0, -np.inf]], "float32")
    model = b.model(b.softmax(b.add(b.input("x", [1, 4]), mask)))
    assert (
        reason_of(model, kind="ADD") == "its constant 'mask' has NaN or infinity, which no integer represents"
    )
    assert op_plan(plan(model, "int8"), "SOFTMAX").mode == INTEGER


@pytest.mark.parametrize(
    ("divisor", "fits"),
    [([[2.0, 4.0]], True), ([[1e-4, 4.0]], False), ([[0.0, 4.0]], False), ([[-3.0, 2.0]], True)],
)
def test_a_constant_divisor_must_not_be_stored_as_zero(divisor, fits):
    b = Builder()
    model = b.model(binary(b, "DIV", b.input("x", [1, 2]), b.constant("d", divisor, "float32")))
    row = op_plan(plan(model, "int8"), "DIV")
    assert (row.mode == INTEGER) == fits
    assert fits or row.reason == "its divisor 'd' comes too near to zero, where the kernel fails"


@pytest.mark.parametrize(
    ("limits", "fits"), [((0.5, 2.0), True), ((0.01, 2.0), False), ((-2.0, -0.5), True), ((-1.0, 1.0), False)]
)
def test_a_divisor_of_the_run_time_must_stay_away_from_zero(limits, fits):
    b = Builder()
    model = b.model(binary(b, "DIV", b.input("x", [1, 2]), b.input("d", [1, 2])))
    row = op_plan(plan(model, "int8", ranges=given(model, d=limits)), "DIV")
    assert (row.mode == INTEGER) == fits


@pytest.mark.parametrize(("least", "fits"), [(0.01, True), (0.001, False)])
@pytest.mark.parametrize("reader", ["LOG", "RSQRT"])
def test_values_of_many_magnitudes_stay_float_where_the_small_ones_count(reader, least, fits):
    b = Builder()
    sums = b.op("ADD", [b.input("x", [1, 4]), b.input("y", [1, 4])], [1, 4], name="sum")
    model = b.model(b.op(reader, [sums], [1, 4]))
    # Half a step of int8 over [0, 1] is 1 / 510.
    ranges = given(model, sum=(least, 1.0))
    plans = plan(model, "int8", ranges=ranges)
    assert [op_plan(plans, kind).mode == INTEGER for kind in ("ADD", reader)] == [fits, fits]
    assert fits or "int8 would store its smallest values as zero" in op_plan(plans, "ADD").reason


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_root_of_what_was_below_zero_stays_float(scheme):
    b = Builder()
    model = b.model(b.op("SQRT", [b.input("x", [1, 4])], [1, 4]))
    assert op_plan(plan(model, scheme, ranges=given(model, 0.0, 1.0)), "SQRT").mode == INTEGER
    assert reason_of(model, scheme) == "its input 'x' is below zero at times, where the kernel fails"


def test_a_comparison_finer_than_its_kernel_stays_float():
    b = Builder()
    x, y = b.input("x", [1, 4]), b.input("y", [1, 4])
    model = b.model(b.op("LESS", [x, y], [1, 4], dtype="bool", table="LessOptions"))
    assert op_plan(plan(model, "int8"), "LESS").mode == INTEGER
    assert "its values lie in [-0.1, 0.1]" in reason_of(model, ranges=given(model, -0.1, 0.1))
    assert op_plan(plan(model, "int16x8", ranges=given(model, -0.1, 0.1)), "LESS").mode == INTEGER


def test_ops_on_other_floats_say_so():
    b = Builder()
    x = b.input("x", [1, 4], "float64")
    model = b.model(b.op("RESHAPE", [x], [4], dtype="float64", table="ReshapeOptions"))
    assert reason_of(model) == "it works on float64, not float32"


def test_shapes_and_integers_are_left_exactly_as_they_are():
    b = Builder()
    x = b.dense(b.input("x", [1, 4]), 4)
    shape = b.op("SHAPE", [x], [2], dtype="int32", table="ShapeOptions")
    model = b.model(b.op("RESHAPE", [x, shape], [1, 4], table="ReshapeOptions"), shape)
    made = plan(model, "int8")
    assert (op_plan(made, "SHAPE").mode, op_plan(made, "SHAPE").reason) == (EXACT, "")
    assert op_plan(made, "RESHAPE").mode == INTEGER


def test_only_the_main_graph_is_calibrated_and_others_say_so():
    made = plan(loop_model(), "int8")
    assert op_plan(made, "WHILE").reason == "it calls other graphs, whose ops are quantized on their own"
    row = next(op for op in made.graphs[2].ops if op.mode != EXACT)
    assert row.reason == "the range of 'x' was not calibrated"


# -- movement --------------------------------------------------------------------------------------


def test_movers_between_float_ops_stay_float():
    b = Builder()
    x = b.op("CEIL", [b.input("x", [1, 4, 4, 2])], [1, 4, 4, 2])
    y = concat(b, reshape(b, max_pool(b, x), 1, 8), reshape(b, x, 1, 32))
    model = b.model(b.op("CEIL", [y], [1, 40]))
    made = plan(model, "int8")
    assert made.counts() == {FLOAT: 6}
    assert op_plan(made, "CONCATENATION").reason.startswith("only moves data between float ops")
    assert not op_plan(made, "CONCATENATION").wanted


def test_movers_beside_an_integer_op_move_integers():
    b = Builder()
    x = b.op("CEIL", [b.input("x", [1, 4])], [1, 4])
    model = b.model(b.dense(reshape(b, x, 1, 4), 2))
    assert op_plan(plan(model, "int8"), "RESHAPE").mode == INTEGER


def test_a_constant_that_two_ops_share_does_not_make_them_neighbours():
    b = Builder()
    shared = b.constant("shared", np.ones((1, 4)), "float32")
    moved = concat(b, b.op("CEIL", [b.input("x", [1, 4])], [1, 4]), shared)
    model = b.model(b.op("CEIL", [moved], [1, 8]), b.add(b.input("y", [1, 4]), shared))
    assert op_plan(plan(model, "int8"), "CONCATENATION").mode == FLOAT


@pytest.mark.parametrize(("interface", "mode"), [("float32", FLOAT), ("int8", INTEGER)])
def test_a_model_that_only_moves_is_integer_only_when_its_ends_are(interface, mode):
    b = Builder()
    model = b.model(reshape(b, b.input("x", [1, 4]), 2, 2))
    assert op_plan(plan(model, "int8", interface), "RESHAPE").mode == mode


# -- weights under float activations ---------------------------------------------------------------


def large_dense(b: Builder, x: Tensor) -> Tensor:
    return b.dense(x, 64)


@pytest.mark.parametrize(
    ("scheme", "mode"), [("float16", UNPACKED), ("weight8", UNPACKED), ("dynamic", HYBRID)]
)
def test_large_weights_are_stored_small(scheme, mode):
    b = Builder()
    small = b.dense(b.dense(b.input("x", [1, 64]), 160), 1)
    model = b.model(b.dense(small, 3))
    made = plan(model, scheme)
    assert op_plan(made, "dense_0").mode == mode
    assert op_plan(made, "dense_1").mode == mode, "160 weights of one channel save 480 bytes"
    assert op_plan(made, "dense_2").mode == FLOAT, "3 weights would make the file larger"
    assert 2 in op_plan(made, "dense_0").constants or scheme != "float16", "float16 takes biases along"


def test_an_op_that_is_refused_still_has_small_weights():
    b = Builder()
    model = b.model(large_dense(b, b.input("x", [1, 64])))
    made = make_plan(model, "int8", {})
    row = op_plan(made, "dense_0")
    assert (row.mode, row.wanted) == (UNPACKED, True)
    assert len(row.constants[1].scale) == 64


@pytest.mark.parametrize("scheme", ["int8", "int8x4", "int16x8"])
def test_few_weights_of_an_op_in_float_stay_float_beside_integers(scheme):
    """It is in float for its accuracy; 160 weights would save 480 bytes."""
    b = Builder()
    model = b.model(b.dense(b.input("x", [1, 160]), 1))
    made = make_plan(model, scheme, {}, overrides=(("FULLY_CONNECTED", "weight8"),))
    assert op_plan(made, "dense_0").mode == FLOAT
    assert op_plan(plan(model, "weight8"), "dense_0").mode == UNPACKED


def test_an_embedding_table_is_stored_by_rows():
    b = Builder()
    ids = b.input("ids", [5], "int32")
    table = b.weights("table", 300, 8)
    model = b.model(b.op("GATHER", [table, ids], [5, 8], table="GatherOptions", options={"axis": 0}))
    for scheme in ("weight8", "dynamic", "int8"):
        row = op_plan(plan(model, scheme), "GATHER")
        assert (row.mode, len(row.constants[0].scale)) == (UNPACKED, 300)


def test_a_look_up_reads_its_rows_as_integers_even_where_compute_is_float():
    b = Builder()
    model = b.model(b.op("EMBEDDING_LOOKUP", [b.input("ids", [5], "int32"), b.weights("t", 300, 8)], [5, 8]))
    for scheme in ("weight8", "dynamic", "int16x8"):
        row = op_plan(plan(model, scheme), "EMBEDDING_LOOKUP")
        assert (row.mode, len(row.constants[1].scale)) == (HYBRID, 300)


def test_a_hybrid_op_takes_its_small_weights_along():
    row = op_plan(plan(lstm_net(32, 4), "dynamic"), "UNIDIRECTIONAL_SEQUENCE_LSTM")
    assert row.mode == HYBRID
    assert sorted(row.constants) == list(range(1, 9)), "32×4 alone is too small, 32×32 is not"


def test_a_hybrid_op_with_small_weights_only_stays_float():
    assert op_plan(plan(lstm_net(8, 4), "dynamic"), "UNIDIRECTIONAL_SEQUENCE_LSTM").mode == FLOAT


def test_an_op_without_a_kernel_for_four_bit_weights_gets_eight_and_stays_on_integers():
    b = Builder()
    x = b.input("x", [1, 64, 256])
    slopes = b.weights("slopes", 64, 256)
    y = b.op("PRELU", [x, slopes], x.shape)
    product = b.op("BATCH_MATMUL", [y, y], [1, 64, 64], table="BatchMatMulOptions", options={"adjY": True})
    model = b.model(b.dense(product, 4096))
    made = plan(model, "int8x4")
    assert [op.mode for op in made.ops()] == [INTEGER] * 3
    prelu, matmul, dense = made.ops()
    assert prelu.constants[1].dtype == "int8"
    assert "no int8 kernel with int4 weights" in prelu.reason
    assert matmul.reason == ""
    assert dense.constants[1].dtype == "int4"
    asked = plan(model, "int8", overrides=[("PRELU", "int8x4"), ("BATCH_MATMUL", "int8x4")])
    assert [op.mode for op in asked.ops()] == [INTEGER] * 3
    assert asked.ops()[0].constants[1].dtype == "int8"
