"""The quantized graph: names, conversions, shared constants, odd ends; run on LiteRT where values matter."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from support.models import (
    Builder,
    conv_net,
    loop_model,
    random_inputs,
    signature_of,
    two_inputs_net,
    two_signatures_model,
)
from support.quantizing import (
    Arrays,
    applied,
    binary,
    calibrated_all,
    concat,
    drop_bias,
    find_op,
    given,
    kinds,
    op_plan,
    plan,
    reread,
    reshape,
    run,
    run_all,
    scale_of,
    snr_db,
    transpose_conv,
)
from tightfit.errors import QuantizationError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.plan import Storage
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES
from tightfit.quantization.storing import store

INTERFACES = [
    ("int8", "float32"),
    ("int8", "int8"),
    ("int8", "uint8"),
    ("int16x8", "float32"),
    ("int16x8", "int16"),
]
ENDS = ("QUANTIZE", "DEQUANTIZE")


# -- nets of which LiteRT runs every form at once ------------------------------------------------


def small_layers() -> Model:
    """One output for each kernel with options or operands of its own."""
    b = Builder(seed=3)
    x = b.input("x", [2, 3, 8])
    image = b.input("image", [1, 4, 4, 6])
    keep = b.op(
        "FULLY_CONNECTED", [x, b.weights("wk", 5, 8), None], [2, 3, 5], name="keep_dims",
        table="FullyConnectedOptions", options={"keepNumDims": True},
    )  # fmt: skip
    slopes = b.constant("slopes", np.linspace(0.1, 0.6, 6).reshape(1, 1, 6), "float32")
    prelu = b.op("PRELU", [image, slopes], [1, 4, 4, 6], name="prelu")
    up = transpose_conv(b, image, 5)
    half, other = (Tensor(n, (2, 3, 4)) for n in ("half", "other"))
    b.graph.append(
        Op("SPLIT", [b.constant("axis", 2, "int32"), x], [half, other], {"numSplits": 2}, "SplitOptions")
    )
    rows = [Tensor(f"row{i}", (3, 8)) for i in range(2)]
    b.graph.append(Op("UNPACK", [x], rows, {"num": 2, "axis": 0}, "UnpackOptions"))
    axes = b.constant("axes", [1, 2], "int32")
    mean = b.op(
        "MEAN", [image, axes], [1, 1, 1, 6], name="mean", table="ReducerOptions", options={"keepDims": True}
    )
    return b.model(keep, prelu, up, half, other, *rows, mean)


def matmuls() -> Model:
    b = Builder(seed=5)
    x, y, t = b.input("x", [2, 3, 8]), b.input("y", [2, 8, 5]), b.input("t", [2, 5, 8])
    outputs = []
    for name, right, adjoint in (
        ("runtime", y, False), ("adjoint", t, True), ("constant", b.weights("w", 2, 8, 5), False),
        ("constant_adjoint", b.weights("v", 2, 5, 8), True), ("flat", b.weights("f", 8, 5), False),
    ):  # fmt: skip
        options = {"adjX": False, "adjY": adjoint}
        outputs.append(
            b.op(
                "BATCH_MATMUL", [x, right], [2, 3, 5], name=name, table="BatchMatMulOptions", options=options
            )
        )
    left = b.op(
        "BATCH_MATMUL", [y, y], [2, 5, 5], name="left_adjoint", table="BatchMatMulOptions",
        options={"adjX": True, "adjY": False},
    )  # fmt: skip
    return b.model(*outputs, left)


def hybrid_layers() -> Model:
    """Large weights in every kernel for float activations, with and without a bias."""
    b = Builder(seed=4)
    x, image = b.input("x", [2, 3, 64]), b.input("image", [1, 6, 6, 16])
    dense = {"table": "FullyConnectedOptions", "options": {"keepNumDims": True}}
    bare = b.op("FULLY_CONNECTED", [x, b.weights("w0", 32, 64), None], [2, 3, 32], name="bare", **dense)
    biased = b.op(
        "FULLY_CONNECTED",
        [x, b.weights("w1", 32, 64), b.weights("b1", 32)],
        [2, 3, 32],
        name="biased",
        **dense,
    )
    product = b.op(
        "BATCH_MATMUL",
        [x, b.weights("w2", 2, 64, 16)],
        [2, 3, 16],
        name="product",
        table="BatchMatMulOptions",
    )
    return b.model(bare, biased, product, b.conv(image, 24))


def twice_with_one_weight(activation: int = 0) -> Model:
    """Two dense layers that read the same weight and the same bias, from inputs of different ranges."""
    b = Builder()
    x, y = b.input("x", [1, 40]), b.input("y", [1, 40])
    w, bias = b.weights("w", 32, 40), b.constant("b", np.linspace(-2, 2, 32), "float32")
    options = {"fusedActivationFunction": activation}
    return b.model(
        *(
            b.op("FULLY_CONNECTED", [t, w, bias], [1, 32], table="FullyConnectedOptions", options=options)
            for t in (x, y)
        )
    )


NETS = {
    "two": two_inputs_net,
    "layers": small_layers,
    "matmuls": matmuls,
    "hybrid": hybrid_layers,
    "shared": twice_with_one_weight,
}
FORMS = [
    *(("two", scheme, interface) for scheme, interface in INTERFACES),
    *((net, scheme, "float32") for net in ("layers", "matmuls") for scheme in ("int8", "int16x8")),
    *((n, scheme, "float32") for n in ("hybrid", "shared") for scheme in ("dynamic", "weight8", "float16")),
    ("shared", "int8", "float32"),
]


def key(net: str, scheme: str, interface: str = "float32") -> str:
    return f"{net} {scheme} {interface}"


@functools.cache
def nets() -> dict[str, Model]:
    return {name: make() for name, make in NETS.items()}


@functools.cache
def samples() -> dict[str, Arrays]:
    return {name: random_inputs(model) for name, model in nets().items()}


@functools.cache
def twins() -> dict[str, Model]:
    ranges = calibrated_all(nets(), samples())
    return {key(*form): applied(nets()[form[0]], *form[1:], ranges=ranges[form[0]]) for form in FORMS}


@functools.cache
def results(*, delegate: bool = True) -> dict[str, Arrays]:
    """Of the float nets, by name, and of every form of them, by key."""
    inputs = samples() | {key(*form): samples()[form[0]] for form in FORMS}
    return run_all(nets() | twins(), inputs, delegate=delegate)


def least_snr_db(net: str, scheme: str, *, delegate: bool, interface: str = "float32") -> float:
    """The signal-to-noise of the worst output against the float net."""
    found = results(delegate=delegate)[key(net, scheme, interface)]
    return min(snr_db(found[name], values) for name, values in results()[net].items())


delegates = pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])


@delegates
@pytest.mark.parametrize(
    ("net", "scheme", "least_db"),
    [
        ("layers", "int8", 32.0),
        ("layers", "int16x8", 40.0),
        ("matmuls", "int8", 32.0),
        ("matmuls", "int16x8", 38.0),
        ("hybrid", "dynamic", 36.0),
        ("hybrid", "weight8", 40.0),
        ("hybrid", "float16", 60.0),
        ("shared", "dynamic", 36.0),
        ("shared", "weight8", 40.0),
        ("shared", "float16", 60.0),
    ],
)
def test_every_kernel_computes_what_the_float_one_does(net, scheme, least_db, delegate):
    assert least_snr_db(net, scheme, delegate=delegate) > least_db


@pytest.mark.parametrize("net", ["layers", "matmuls"])
def test_every_layer_runs_on_integers(net):
    for scheme in ("int8", "int16x8"):
        inner = [k for k in kinds(twins()[key(net, scheme)]) if k not in ("QUANTIZE", "DEQUANTIZE")]
        assert inner == kinds(nets()[net])
        ends = {op.kind for op in twins()[key(net, scheme)].main.ops if op.outputs[0].dtype == "float32"}
        assert ends == {"DEQUANTIZE"}


def test_dynamic_range_takes_a_scale_a_channel_where_the_kernel_does():
    twin = twins()[key("hybrid", "dynamic")]
    assert kinds(twin) == kinds(nets()["hybrid"])
    stored = [op.inputs[1] for op in twin.main.ops]
    assert {t.dtype for t in stored} == {"int8"}
    assert [t.quantization.scale.size for t in stored] == [32, 32, 1, 24]
    assert all(op.options["asymmetricQuantizeInputs"] for op in twin.main.ops if op.kind != "CONV_2D")


# -- inputs and outputs ----------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "interface"), INTERFACES)
def test_every_interface_keeps_names_and_computes_the_same(scheme, interface):
    model, twin = nets()["two"], twins()[key("two", scheme, interface)]
    assert list(twin.signatures[0].inputs) == ["left", "right"]
    assert list(twin.signatures[0].outputs) == list(model.signatures[0].outputs)
    ends = [*twin.main.inputs, *twin.main.outputs]
    assert [t.name for t in ends] == [t.name for t in (*model.main.inputs, *model.main.outputs)]
    assert {t.dtype for t in ends} == {interface}
    # Four roundings to 8 bits, one of them of the weights: 6 dB a bit, less what is lost to the range.
    assert least_snr_db("two", scheme, interface=interface, delegate=True) > 25


def test_uint8_is_int8_shifted():
    signed, unsigned = (twins()[key("two", "int8", dtype)] for dtype in ("int8", "uint8"))
    for one, other in zip(signed.main.inputs, unsigned.main.inputs, strict=True):
        assert scale_of(one) == scale_of(other)
        assert one.quantization.zero_point[0] + 128 == other.quantization.zero_point[0]
    for name, values in results()[key("two", "int8", "int8")].items():
        np.testing.assert_array_equal(values, results()[key("two", "int8", "uint8")][name])


def test_an_input_that_several_ops_read_is_quantized_once():
    b = Builder()
    x = b.input("x", [1, 4])
    model = b.model(b.dense(x, 3), b.op("RELU", [x], [1, 4]), b.add(x, x))
    twin = applied(model, "int8")
    assert kinds(twin).count("QUANTIZE") == 1
    assert kinds(twin)[0] == "QUANTIZE"


def test_a_float_reader_of_integers_is_served_once():
    b = Builder()
    y = b.dense(b.input("x", [1, 4]), 4)
    model = b.model(*(b.op(kind, [y], [1, 4]) for kind in ("CEIL", "FLOOR", "SIN")))
    assert kinds(applied(model, "int8")).count("DEQUANTIZE") == 1


def test_an_output_that_is_also_read_inside():
    b = Builder()
    y = b.op("RELU", [b.input("x", [1, 4])], [1, 4], name="y")
    model = b.model(y, b.add(y, y))
    twins = {interface: applied(model, "int8", interface) for interface in ("float32", "int8")}
    x = np.float32([[-1, 0.5, 0.25, 1]])
    sample = {"x": x}
    for interface, found in run_all(twins, dict.fromkeys(twins, sample)).items():
        assert [(t.name, t.dtype) for t in twins[interface].main.outputs] == [
            ("y", interface),
            ("add_1", interface),
        ]
        np.testing.assert_allclose(found["y"], np.maximum(x, 0), atol=2 / 255)
        twice = np.minimum(2 * np.maximum(x, 0), 127 / 128)
        np.testing.assert_allclose(found["add_1"], twice, atol=6 / 255)


def test_an_input_that_is_an_output_too():
    b = Builder()
    x = b.input("x", [1, 4])
    model = b.model(x, b.op("RELU", [x], [1, 4], name="y"))
    twins = {f"{s} {i}": applied(model, s, i) for s, i in INTERFACES}
    for name, twin in twins.items():
        assert twin.main.outputs[0] is twin.main.inputs[0]
        assert {t.dtype for t in twin.main.outputs} == {name.split()[1]}
    sample = {"x": np.full((1, 4), 0.5, np.float32)}
    for found in run_all(twins, dict.fromkeys(twins, sample)).values():
        np.testing.assert_allclose(found["y"], 0.5, atol=2 / 255)


@pytest.mark.parametrize(("scheme", "interface"), INTERFACES)
def test_a_tensor_that_is_an_output_twice(scheme, interface):
    b = Builder()
    y = b.op("RELU", [b.input("x", [1, 4])], [1, 4], name="y")
    model = b.model(y, y, signature=None)
    twin = applied(model, scheme, interface)
    assert twin.main.outputs[0] is twin.main.outputs[1]
    assert twin.main.outputs[0].dtype == interface
    assert kinds(twin).count("DEQUANTIZE") == (interface == "float32")


def test_a_constant_output_stays_as_it_is():
    b = Builder()
    constant = b.constant("c", np.float32([[1, 2, 3, 4]]))
    model = b.model(b.add(b.input("x", [1, 4]), constant), constant)
    twin = applied(model, "int8", "int8")
    assert twin.main.outputs[1].dtype == "float32"
    assert twin.main.outputs[1].data.tolist() == [[1, 2, 3, 4]]


def test_a_float_op_whose_result_leaves_as_integers():
    b = Builder()
    y = b.op("CEIL", [b.input("x", [1, 4])], [1, 4], name="y")
    model = b.model(y, b.op("RELU", [y], [1, 4], name="z"))
    twin = applied(model, "int8", "int8", ranges=given(model, -3.0, 3.0))
    assert {t.name: t.dtype for t in (*twin.main.inputs, *twin.main.outputs)} == {
        "x": "float32", "y": "int8", "z": "int8",
    }  # fmt: skip
    found = run(twin, {"x": np.float32([[-1.5, 0.2, 1.1, 2.0]])})
    np.testing.assert_allclose(found["y"], [[-1, 1, 2, 2]], atol=6 / 255)
    np.testing.assert_allclose(found["z"], [[0, 1, 2, 2]], atol=12 / 255)


def test_int8_ends_around_an_int16_op():
    model = conv_net()
    sample = random_inputs(model)
    ranges = given(model, -4.0, 4.0)
    made = plan(
        model, "int8", "int8", ranges=ranges, overrides=[("conv_0", "int16x8"), ("SOFTMAX", "int16x8")]
    )
    twin = reread(apply_plan(model, made))
    assert {t.dtype for t in (*twin.main.inputs, *twin.main.outputs)} == {"int8"}
    found, wanted = run(twin, sample)["probabilities"], run(model, sample)["probabilities"]
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_a_dynamic_batch_stays_dynamic():
    model = conv_net(dynamic_batch=True)
    batch = np.random.default_rng(1).standard_normal((3, 16, 16, 3)).astype(np.float32)
    wanted = run(model, {"image": batch})["probabilities"]
    for scheme in ("int8", "int16x8"):
        twin = applied(model, scheme, ranges=given(model, -4.0, 4.0))
        first, last = twin.main.inputs[0], twin.main.outputs[0]
        assert (first.shape_signature, last.shape_signature) == ((-1, 16, 16, 3), (-1, 5))
        found = run(twin, {"image": batch})["probabilities"]
        assert found.shape == (3, 5)
        np.testing.assert_allclose(found, wanted, atol=0.05)


# -- constants -------------------------------------------------------------------------------------


def test_shared_weights_are_stored_once_and_a_shared_bias_once_a_scale():
    ranges = given(nets()["shared"], -4.0, 4.0, y=(-40.0, 40.0))
    twin = applied(nets()["shared"], "int8", ranges=ranges)
    first, second = (op for op in twin.main.ops if op.kind == "FULLY_CONNECTED")
    assert first.inputs[1].data.__array_interface__ == second.inputs[1].data.__array_interface__
    np.testing.assert_allclose(first.inputs[2].data / 10.0, second.inputs[2].data, atol=1)
    assert least_snr_db("shared", "int8", delegate=True) > 32


def test_halves_that_two_ops_share_are_unpacked_once():
    twin = twins()[key("shared", "float16")]
    assert kinds(twin) == ["DEQUANTIZE", "FULLY_CONNECTED", "FULLY_CONNECTED"]
    first, second = twin.main.ops[1:]
    assert first.inputs[1] is second.inputs[1]


def test_the_zeros_of_missing_biases_do_not_run_together():
    b = Builder()
    y = b.conv(b.conv(b.input("x", [1, 8, 8, 2]), 3), 5)
    model = b.model(y)
    for op in model.main.ops:
        drop_bias(model, op)
    twin = applied(model, "int8")
    assert [op.inputs[2].shape for op in twin.main.ops if op.kind == "CONV_2D"] == [(3,), (5,)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("scheme", ["weight8", "dynamic", "int8", "int16x8"])
def test_broken_weights_are_refused_by_op(scheme, value):
    model = twice_with_one_weight()
    model.main.find("w").data = np.full((32, 40), value, np.float32)
    with pytest.raises(
        QuantizationError, match="A constant of FULLY_CONNECTED 'fully_connected_0' has NaN or infinity"
    ):
        applied(model, scheme)


def test_halves_keep_infinity_but_not_nan():
    values = np.float32([-np.inf, -1e9, -70000, 1e-9, 1.5, 3e38, np.inf])
    halves = store(values, Storage("float16"), "here")
    np.testing.assert_array_equal(halves, np.float16([-np.inf, -65504, -65504, 0, 1.5, 65504, np.inf]))
    with pytest.raises(QuantizationError, match="A constant of here holds NaN"):
        store(np.float32([np.nan]), Storage("float16"), "here")


# -- kernels that want care ------------------------------------------------------------------------


def int16_sum(kind: str, *, table: bool) -> Model:
    """A sum whose options say that scales are powers of two, as converters write, or that has no options."""
    b = Builder()
    model = b.model(binary(b, kind, b.input("x", [1, 4]), b.input("y", [1, 4]), "z"))
    op = find_op(model, kind)
    if table:
        op.options["potScaleInt16"] = True
    else:
        op.options_type, op.options = None, {}
    return applied(model, "int16x8", ranges=given(model, -1.0, 1.0, x=(-3.0, 0.7)))


def test_int16_sums_say_that_their_scales_are_general():
    forms = [(kind, table) for kind in ("ADD", "SUB") for table in (True, False)]
    twins = {f"{kind} {table}": int16_sum(kind, table=table) for kind, table in forms}
    sample = {"x": np.float32([[-3, 0.5, 0.1, 0.7]]), "y": np.float32([[1, -0.25, 0.6, 0]])}
    for name, found in run_all(twins, dict.fromkeys(twins, sample)).items():
        kind = name.split()[0]
        assert find_op(twins[name], kind).options["potScaleInt16"] is False
        wanted = sample["x"] + (sample["y"] if kind == "ADD" else -sample["y"])
        np.testing.assert_allclose(found["z"], np.clip(wanted, -1, 1), atol=2e-4)


# -- several graphs --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_several_graphs_and_signatures_stay_callable(scheme):
    model = two_signatures_model()
    twin = reread(apply_plan(model, make_plan(model, scheme, given(model, -4.0, 4.0))))
    assert [(s.key, s.graph_index) for s in twin.signatures] == [("encode", 0), ("decode", 1)]
    assert twin.graphs[1].ops[0].inputs[1].dtype == "float32", "its 12 weights are not worth it"


@pytest.mark.parametrize("scheme", ["float16", "int8"])
def test_a_loop_runs_with_its_graphs(scheme):
    model = loop_model()
    twin = reread(apply_plan(model, make_plan(model, scheme, given(model))))
    x = np.float32([[1, 2, 3, 4]])
    found = run(twin, {"i": np.int32(0), "x": x})
    np.testing.assert_array_equal(found["x_out"], 8 * x)


# -- what must not change --------------------------------------------------------------------------


def test_the_version_of_a_custom_op_stays():
    graph = Graph()
    x, y, z = Tensor("x", (1, 4)), Tensor("y", (1, 4)), Tensor("z", (1, 4))
    op = Op("CUSTOM", [y], [z], version=7)
    op.custom_code = "Mystery"
    graph.append(Op("RELU", [x], [y], version=1))
    graph.append(op)
    graph.inputs, graph.outputs = [x], [z]
    model = Model([graph], [signature_of(graph, "serving_default")])
    twin = applied(model, "int8")
    assert next(op for op in twin.main.ops if op.kind == "CUSTOM").version == 7
    assert kinds(twin) == ["QUANTIZE", "RELU", "DEQUANTIZE", "CUSTOM"]


def test_an_op_that_became_integer_has_the_version_for_it():
    model = reread(conv_net())
    assert find_op(model, "CONV_2D").version == 1
    assert find_op(applied(model, "int8"), "CONV_2D").version == 3
    assert find_op(applied(model, "float16"), "CONV_2D").version == 1


def test_a_shape_is_read_off_integers_without_a_conversion():
    b = Builder()
    y = b.op("RELU", [b.input("x", [1, 4])], [1, 4])
    model = b.model(b.op("SHAPE", [y], [2], dtype="int32", table="ShapeOptions"))
    assert kinds(applied(model, "int8")) == ["QUANTIZE", "RELU", "SHAPE"]


def test_the_float_model_is_left_as_it_was():
    model = conv_net()
    before = bytes(serialize(model))
    applied(model, "int8", "uint8")
    assert bytes(serialize(model)) == before


def test_ops_without_inputs_are_carried_over():
    graph = Graph()
    handle, x, y = Tensor("handle", (), "resource"), Tensor("x", (1, 4)), Tensor("y", (1, 4))
    graph.append(Op("VAR_HANDLE", [], [handle], {"sharedName": b"v"}, "VarHandleOptions"))
    graph.append(Op("READ_VARIABLE", [handle], [x], {}, "ReadVariableOptions"))
    graph.append(Op("RELU", [x], [y]))
    graph.outputs = [y]
    twin = applied(Model([graph]), "int8")
    assert kinds(twin) == ["VAR_HANDLE", "READ_VARIABLE", "QUANTIZE", "RELU", "DEQUANTIZE"]


def test_a_requantized_reader_leaves_the_others_alone():
    b = Builder()
    p = b.softmax(b.dense(b.input("x", [1, 4]), 4))
    model = b.model(concat(b, p, b.dense(p, 4)), reshape(b, p, 4, 1))
    twin = applied(model, "int8")
    assert kinds(twin).count("QUANTIZE") == 2
    assert scale_of(find_op(twin, "RESHAPE").inputs[0]) == 1 / 256


# -- a plan for another model ----------------------------------------------------------------------


def test_a_plan_for_another_model_is_refused():
    made = plan(conv_net(), "int8")
    with pytest.raises(QuantizationError, match="The plan has 5 ops, the graph 'main' 4; make a plan"):
        apply_plan(two_inputs_net_of_four(), made)
    with pytest.raises(QuantizationError, match="The plan has 1 graphs, the model 3"):
        apply_plan(loop_model(), made)


def two_inputs_net_of_four() -> Model:
    b = Builder()
    x = b.input("x", [1, 4])
    return b.model(b.softmax(b.dense(b.dense(b.dense(x, 4), 4), 4)))


def test_a_plan_that_lacks_a_storage_or_stores_no_constant_is_refused():
    model = conv_net()
    made = plan(model, "int8")
    broken = dataclasses.replace(made, graphs=[dataclasses.replace(made.graphs[0], tensors={})])
    with pytest.raises(QuantizationError, match="The plan has no int8 storage for 'image'"):
        apply_plan(model, broken)
    op_plan(made, "CONV_2D").constants[0] = Storage("int8", (1.0,), (0,))
    with pytest.raises(QuantizationError, match=r"The plan stores input 0 of .*, which is not a constant"):
        apply_plan(model, made)
