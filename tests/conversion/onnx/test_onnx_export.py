from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx: the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, which computes what is expected")
pytest.importorskip("litert_converter", reason="needs litert-converter: the extra 'keras'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - after the skip

from support.onnx_cases import FAMILIES  # noqa: E402 - after the skip
from support.quantized_onnx import qonnx_net  # noqa: E402 - after the skip
from tightfit.conversion.conversion_options import ConversionOptions  # noqa: E402 - after the skip
from tightfit.conversion.load_model import load  # noqa: E402 - after the skip
from tightfit.conversion.onnx.onnx_ops import ONNX_OPS  # noqa: E402 - after the skip
from tightfit.errors import ModelError  # noqa: E402 - after the skip

FLOAT = TensorProto.FLOAT


def model_of(nodes, inputs, outputs, initializers=(), opset=23):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs],
        [helper.make_empty_tensor_value_info(n) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def joined(cases, opset=23):
    """All cases as one model; output names tell the op."""
    nodes, inputs, outputs, constants = [], [("unused", [1])], ["pass"], []
    nodes.append(helper.make_node("Identity", ["unused"], ["pass"]))
    for i, case in enumerate(cases):
        names = []
        for j, value in enumerate(case.inputs):
            name = "" if value is None else f"in{i}_{j}"
            names.append(name)
            if isinstance(value, tuple):
                inputs.append((name, value))
            elif value is not None:
                constants.append((name, value))
        results = [f"{case.kind}_{i}_{k}" for k in range(case.outputs)]
        nodes.append(helper.make_node(case.kind, names, results, **case.attributes))
        outputs += results
    return model_of(nodes, inputs, outputs, constants, opset)


def kinds(result):
    return Counter(op.kind for op in result.model.main.ops)


def image_model(nodes, outputs, constants=(), opset=17):
    return model_of(nodes, [("x", [1, 3, 8, 8])], outputs, constants, opset)


# Swish is newer than the opset that the other cases are written in.
NEWER = {"Swish"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_computes_what_onnxruntime_computes(family):
    cases = [c for c in FAMILIES[family] if c.kind not in NEWER]
    result = load(joined(cases, 23 if family in ("layers", "attention") else 21))
    apart = {d.output: d.largest for d in result.differences if d.largest > 2e-5 * max(1.0, d.scale)}
    assert not apart
    assert len(result.differences) == 1 + sum(c.outputs for c in cases)


def test_every_row_has_a_case():
    tested = {case.kind for cases in FAMILIES.values() for case in cases}
    # Upsample and Scatter are gone since opsets 10 and 11. The roundings have tests of their own, see qdq/.
    assert set(ONNX_OPS) - tested == {"Upsample", "Scatter", "QuantizeLinear", "DequantizeLinear"}


def test_the_old_upsample_is_a_resize():
    node = helper.make_node("Upsample", ["x", "s"], ["y"], mode="nearest")
    result = load(image_model([node], ["y"], [("s", np.array([1, 1, 2, 2], np.float32))], opset=9))
    assert kinds(result)["RESIZE_NEAREST_NEIGHBOR"] == 1


def test_an_asymmetric_resize_is_one_op_of_the_old_coordinates():
    node = helper.make_node(
        "Resize", ["x", "", "s"], ["y"], mode="linear", coordinate_transformation_mode="asymmetric"
    )
    result = load(image_model([node], ["y"], [("s", np.array([1, 1, 2, 3], np.float32))]))
    (resize,) = [op for op in result.model.main.ops if op.kind == "RESIZE_BILINEAR"]
    assert not resize.options["halfPixelCenters"]
    assert not resize.options["alignCorners"]
    assert len(result.model.graphs) == 1


def loop_body(*extra):
    values = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
    ]
    state = [helper.make_tensor_value_info("v", FLOAT, [1, 4])]
    nodes = [
        helper.make_node("Tanh", ["v"], ["next"]),
        helper.make_node("Identity", ["go"], ["on"]),
        helper.make_node("Add", ["next", "shift"], ["row"]),
    ]
    results = [helper.make_tensor_value_info("on", TensorProto.BOOL, [])]
    results += [helper.make_tensor_value_info(n, FLOAT, [1, 4]) for n in ("next", "row")]
    return helper.make_graph(nodes, "body", [*values, *state, *extra], results)


def test_a_loop_of_known_length_is_written_out():
    node = helper.make_node("Loop", ["count", "", "x"], ["last", "rows"], body=loop_body())
    constants = [("count", np.int64(3)), ("shift", np.float32(0.5))]
    result = load(model_of([node], [("x", [1, 4])], ["last", "rows"], constants))
    assert kinds(result)["TANH"] == 3
    assert {d.output for d in result.differences} == {"last", "rows"}


def test_a_scan_is_written_out():
    inputs = [helper.make_tensor_value_info(n, FLOAT, [3]) for n in ("total", "row")]
    nodes = [
        helper.make_node("Add", ["total", "row"], ["sum"]),
        helper.make_node("Identity", ["sum"], ["kept"]),
    ]
    outputs = [helper.make_tensor_value_info(n, FLOAT, [3]) for n in ("sum", "kept")]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    node = helper.make_node("Scan", ["zero", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    result = load(model_of([node], [("x", [4, 3])], ["last", "all"], [("zero", np.zeros(3, np.float32))]))
    assert max(d.largest for d in result.differences) < 1e-6


def test_lists_of_tensors_are_resolved():
    nodes = [
        helper.make_node("SplitToSequence", ["x", "size"], ["parts"], axis=1),
        helper.make_node("SequenceAt", ["parts", "last"], ["part"]),
        helper.make_node("SequenceConstruct", ["part", "part"], ["two"]),
        helper.make_node("ConcatFromSequence", ["two"], ["y"], axis=1),
    ]
    result = load(
        model_of(nodes, [("x", [1, 6])], ["y"], [("size", np.int64(2)), ("last", np.int64(-1))], 17)
    )
    assert kinds(result) == {"SLICE": 1, "CONCATENATION": 1}


def test_ops_on_constants_alone_need_no_row():
    nodes = [helper.make_node("HannWindow", ["n"], ["h"]), helper.make_node("Mul", ["x", "h"], ["y"])]
    result = load(model_of(nodes, [("x", [1, 8])], ["y"], [("n", np.int64(8))], 17))
    assert kinds(result) == {"MUL": 1}


def test_functions_of_the_file_are_inlined():
    inner = helper.make_function(
        "acme",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="acme")],
        "graph",
        [helper.make_tensor_value_info("x", FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", FLOAT, [1, 4])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[inner], ir_version=9)
    assert sum(kinds(load(model)).values()) == 1


def network():
    """Convolution, batch norm, ReLU6, depthwise, pool, dense, as an exporter writes it."""
    rng = np.random.default_rng(0)
    constants = [
        ("w", rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)),
        *[(n, np.abs(rng.normal(1, 0.1, 4)).astype(np.float32)) for n in ("scale", "bias", "mean", "var")],
        ("low", np.float32(0)),
        ("high", np.float32(6)),
        ("d", rng.normal(0, 0.3, (4, 1, 3, 3)).astype(np.float32)),
        ("dense", rng.normal(0, 0.3, (4, 3)).astype(np.float32)),
        ("offset", rng.normal(0, 0.3, 3).astype(np.float32)),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[0, 0, 1, 1], strides=[2, 2], name="stem"),
        helper.make_node("BatchNormalization", ["a", "scale", "bias", "mean", "var"], ["b"]),
        helper.make_node("Clip", ["b", "low", "high"], ["c"]),
        helper.make_node("Conv", ["c", "d"], ["e"], pads=[1, 1, 1, 1], group=4, name="depth"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("Gemm", ["g", "dense", "offset"], ["scores"]),
    ]
    return image_model(nodes, ["scores"], constants)


def test_a_channel_first_network_becomes_channel_last_with_one_transpose():
    expected = {"TRANSPOSE": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    result = load(network())
    assert kinds(result) == expected
    assert result.largest_difference < 1e-5


def test_channel_last_inputs_on_request_need_no_transpose():
    result = load(network(), options=ConversionOptions(channel_last=True))
    assert kinds(result) == {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert result.model.main.inputs[0].shape == (1, 8, 8, 3)
    assert [op.name for op in result.model.main.ops[:2]] == ["stem", "depth"]


def test_an_image_as_output_is_channel_last_like_the_inputs_and_compared_so():
    w = np.random.default_rng(1).normal(0, 0.3, (5, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["mask"]),
        helper.make_node("ReduceMean", ["mask"], ["mean"], axes=[2, 3], keepdims=0),
    ]
    options = ConversionOptions(channel_last=True)
    result = load(image_model(nodes, ["mask", "mean"], [("w", w)]), options=options)
    assert [o.shape for o in result.model.main.outputs] == [(1, 8, 8, 5), (1, 5)]
    assert result.largest_difference < 1e-5
    assert "Channel-last like the inputs: output 'mask'." in result.notes


def test_elementwise_concat_and_slices_stay_channel_last():
    w = np.random.default_rng(1).normal(0, 0.3, (4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "channel"], ["b"]),
        helper.make_node("Split", ["b"], ["c", "d"], axis=1),
        helper.make_node("Concat", ["d", "c"], ["e"], axis=1),
        helper.make_node("ReduceMean", ["e"], ["f"], axes=[2, 3], keepdims=0),
    ]
    constants = [("w", w), ("channel", np.ones((4, 1, 1), np.float32))]
    result = load(image_model(nodes, ["f"], constants), options=ConversionOptions(channel_last=True))
    assert kinds(result)["TRANSPOSE"] == 0
    assert result.largest_difference < 1e-5


def test_unknown_ops_are_refused_by_name_all_at_once():
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"]),
        helper.make_node("Sparkle", ["x"], ["b"], domain="com.acme"),
    ]
    model = image_model(nodes[:1], ["a"])
    model.graph.node.append(nodes[1])
    with pytest.raises(ModelError, match=r"not translated: 1 NonZero, 1 com.acme.Sparkle"):
        load(model)


def test_weights_in_another_file_that_is_missing_are_named(tmp_path):
    model = network()
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"keeps the weight 'w' in 'weights.bin', which does not exist"):
        load(path)


def test_weights_in_another_file_are_read(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert load(path).largest_difference < 1e-5


def test_weights_outside_of_the_folder_are_refused(tmp_path):
    model = network()
    inner = tmp_path / "inner"
    inner.mkdir()
    path = inner / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (inner / "weights.bin").rename(tmp_path / "weights.bin")
    raw = onnx.load(path, load_external_data=False)
    for tensor in raw.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../weights.bin"
    onnx.save(raw, path)
    with pytest.raises(ModelError, match=r"keeps the weight 'w' in '../weights.bin', outside of its folder"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not an onnx file", b"\x08\x07\x12"])
def test_damaged_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"'damaged.onnx' is not"):
        load(path)


def test_free_dimensions_ask_for_a_shape():
    node = helper.make_node("Relu", ["x"], ["y"])
    model = model_of([node], [("x", ["n", 3, "height", 4])], ["y"])
    with pytest.raises(ModelError, match=r"input_shape=\{'x': \(\?, 3, \?, 4\)\}"):
        load(model)
    result = load(model, options=ConversionOptions(shapes={"x": (1, 3, 5, 4)}))
    assert result.model.main.inputs[0].shape == (1, 3, 5, 4)


def branching():
    one, two = (
        helper.make_graph(
            [helper.make_node(kind, ["x"], [f"{kind}_y"])],
            kind,
            [],
            [helper.make_empty_tensor_value_info(f"{kind}_y")],
        )
        for kind in ("Relu", "Neg")
    )
    nodes = [
        helper.make_node("Greater", ["rate", "limit"], ["fast"]),
        helper.make_node("If", ["fast"], ["y"], then_branch=one, else_branch=two),
    ]
    return model_of(nodes, [("x", [1, 3]), ("rate", [])], ["y"], [("limit", np.float32(8))], opset=17)


def test_a_branch_needs_its_input_held():
    with pytest.raises(ModelError, match=r"If .*hold=\{'NAME': NUMBER\}"):
        load(branching())
    result = load(branching(), options=ConversionOptions(held={"rate": 16}))
    assert kinds(result) == {"RELU": 1}
    assert [t.name for t in result.model.main.inputs] == ["x"]
    with pytest.raises(ModelError, match=r"Unknown input 'rat'.*Did you mean 'rate'"):
        load(branching(), options=ConversionOptions(held={"rat": 16}))


def test_a_top_k_whose_positions_nobody_reads_is_still_a_top_k():
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"])
    result = load(model_of([node], [("x", [1, 8])], ["y"], [("k", np.array([3]))]))
    assert [op.kind for op in result.model.main.ops] == ["TOPK_V2"]
    assert len(result.model.graphs) == 1


@pytest.mark.parametrize("ir_version", [3, 10])
def test_weights_that_are_also_inputs_are_constants(tmp_path, ir_version):
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", [1, 4]), ("w", [4, 3])],
        ["y"],
        [("w", weight)],
        9,
    )
    model.ir_version = ir_version
    result = load(model, tmp_path / "m.tflite")
    assert [t.name for t in result.model.main.inputs] == ["x"]
    assert len(model.graph.input) == 2  # the caller's model stays as it was


def test_quantized_weights_that_are_also_inputs_are_constants(tmp_path):
    model = qonnx_net()
    inputs = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer]
    model.graph.input.extend(inputs)
    result = load(model, tmp_path / "q.tflite")
    assert [t.name for t in result.model.main.inputs] == ["x"]


@pytest.mark.parametrize("kind", ["GRU", "RNN"])
def test_a_long_recurrent_layer_is_loops(kind):
    """Both directions, both forms of a GRU, given states: the source's answers are compared by load."""
    draw, rows = np.random.default_rng(0), 12 if kind == "GRU" else 4
    shapes = {"w": (2, rows, 3), "r": (2, rows, 4), "b": (2, 2 * rows), "h": (2, 1, 4)}
    constants = [(n, (draw.normal(size=s) / 3).astype(np.float32)) for n, s in shapes.items()]
    given = ["x", "w", "r", "b", "", "h"]
    options = {"hidden_size": 4, "direction": "bidirectional"}
    ways = (
        [{"linear_before_reset": v} for v in (0, 1)] if kind == "GRU" else [{"activations": ["Relu", "Relu"]}]
    )
    nodes = [helper.make_node(kind, given, [f"y{i}", f"last{i}"], **options, **w) for i, w in enumerate(ways)]
    outputs = [name for node in nodes for name in node.output]
    result = load(model_of(nodes, [("x", [130, 1, 3])], outputs, constants))
    assert (
        len({op.options["bodySubgraphIndex"] for op in result.model.main.ops if op.kind == "WHILE"})
        == 2 * len(ways) * 2
    )
    assert result.largest_difference < 1e-5


def test_sequences_that_end_early_are_refused():
    w = np.zeros((1, 4, 3), np.float32)
    constants = [("w", w), ("r", np.zeros((1, 4, 4), np.float32)), ("n", np.array([2], np.int32))]
    node = helper.make_node("RNN", ["x", "w", "r", "", "n"], ["y"], hidden_size=4)
    with pytest.raises(ModelError, match="before the last of 3 steps"):
        load(model_of([node], [("x", [3, 1, 3])], ["y"], constants))
