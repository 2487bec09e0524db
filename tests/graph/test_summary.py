from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from support import models
from support.models import Builder
from support.odd_models import ODD_MODELS
from tightfit.graph.ir import Model, Op, Quantization, Sparsity, Tensor
from tightfit.graph.ops.macs import WEIGHTS
from tightfit.graph.summary import describe_scheme, macs, stored_bytes, summary, unique_values, zeros


def op(kind: str, inputs: list[list[int] | None], output: list[int], **options: int) -> Op:
    tensors = [None if s is None else Tensor(f"in{i}", s) for i, s in enumerate(inputs)]
    return Op(kind, tensors, [Tensor("out", output)], dict(options))


@pytest.mark.parametrize(
    ("made", "count"),
    [
        (op("CONV_2D", [[2, 8, 8, 3], [16, 3, 3, 3]], [2, 4, 4, 16]), 2 * 4 * 4 * 16 * 3 * 3 * 3),
        (op("CONV_2D", [[1, 8, 8, 6], [4, 3, 3, 3]], [1, 8, 8, 4]), 8 * 8 * 4 * 3 * 3 * 3),  # two groups
        (op("DEPTHWISE_CONV_2D", [[1, 8, 8, 6], [1, 3, 3, 12]], [1, 8, 8, 12]), 8 * 8 * 12 * 9),
        (op("TRANSPOSE_CONV", [[4], [5, 3, 3, 2], [1, 4, 4, 2]], [1, 8, 8, 5]), 4 * 4 * 2 * 5 * 3 * 3),
        (op("FULLY_CONNECTED", [[7, 20], [10, 20]], [7, 10]), 7 * 20 * 10),
        (op("BATCH_MATMUL", [[2, 5, 6], [2, 6, 7]], [2, 5, 7]), 2 * 5 * 6 * 7),
        (op("BATCH_MATMUL", [[2, 5, 6], [2, 7, 6]], [2, 5, 7], adjY=True), 2 * 5 * 6 * 7),
        (op("CONV_3D", [[1, 4, 4, 4, 2], [3, 3, 3, 2, 8]], [1, 4, 4, 4, 8]), 4**3 * 8 * 27 * 2),
        (op("CONV_3D_TRANSPOSE", [[5], [2, 2, 2, 8, 3], [1, 4, 4, 4, 3]], [1, 8, 8, 8, 8]), 4**3 * 3 * 8 * 8),
        (op("SVDF", [[2, 10], [6, 10], [6, 4], None, [2, 24]], [2, 3]), 2 * (6 * 10 + 6 * 4)),
        (op("RNN", [[2, 5], [4, 5], [4, 4], [4], [2, 4]], [2, 4]), 2 * (4 * 5 + 4 * 4)),
        (
            op("UNIDIRECTIONAL_SEQUENCE_LSTM", [[2, 7, 5], *[[4, 5]] * 4, *[[4, 4]] * 4], [2, 7, 4]),
            2 * 7 * 4 * (4 * 5 + 4 * 4),
        ),
        (
            op("LSTM", [[1, 5], [1, 4], [16, 9], [16], [1, 4]], [1, 4], kernelType=1),
            16 * 9,
        ),
        (op("ADD", [[1, 5], [1, 5]], [1, 5]), 0),
        (op("CONV_2D", [[1, 8, 8, 3], []], [1, 4, 4, 16]), 0),
        (op("FULLY_CONNECTED", [[1, 4]], [1, 4]), 0),
    ],
    ids=lambda v: v.kind if isinstance(v, Op) else "",
)
def test_multiply_accumulates_follow_from_the_shapes(made: Op, count: int):
    assert macs(made) == count


def test_every_op_with_weights_has_a_count():
    for kind, positions in WEIGHTS.items():
        inputs: list[list[int] | None] = [[2, 2, 2, 2, 2]] * (max(positions) + 2)
        assert macs(op(kind, inputs, [2, 2, 2, 2, 2])) > 0, kind


def test_a_summary_tells_what_is_in_the_file():
    model = models.residual_net()
    model.metadata = {"min_runtime_version": b"1.5.0"}
    facts = summary(model)
    assert facts["inputs"][0]["name"] == "image"
    assert facts["inputs"][0]["shape"] == [1, 16, 16, 3]
    assert facts["outputs"][0]["size_bytes"] == 4 * 4
    assert facts["signatures"][0]["key"] == "serving_default"
    assert list(facts["signatures"][0]["outputs"]) == ["probabilities"]
    assert facts["op_counts"]["CONV_2D"] == 3
    stem, expand, depthwise, project, head = 8 * 27, 8 * 24, 24 * 9, 24 * 8, 8 * 4
    assert facts["parameters"] == stem + expand + depthwise + project + head + 8 + 24 + 24 + 8 + 4
    assert facts["macs"] == 64 * (stem + expand + depthwise + project) + head
    assert facts["weight_bytes"] == {"float32": 4 * facts["parameters"]}
    assert facts["sparsity"] == 0.0
    assert facts["scheme"] == "float32"
    assert facts["metadata"] == ["min_runtime_version"]
    assert facts["min_runtime_version"].count(".") == 2
    assert facts["largest_constants"][0]["name"] in ("conv_0/filter", "depthwise_2/filter")
    assert facts["largest_activations"][0]["shape"] == [1, 8, 8, 24]


@pytest.mark.parametrize("build", [*ODD_MODELS.values(), models.loop_model, models.two_signatures_model])
def test_any_model_has_a_summary_that_json_can_hold(build: Callable[[], Model]):
    facts = summary(build())
    assert set(json.loads(json.dumps(facts))) == set(facts)


def test_a_dynamic_dimension_is_shown_as_minus_one():
    assert summary(models.conv_net(dynamic_batch=True))["inputs"][0]["shape"] == [-1, 16, 16, 3]


def test_shared_weights_count_once():
    facts = summary(models.two_signatures_model())
    assert facts["parameters"] == 3 * 4 + 3 + 3
    assert facts["weight_bytes"] == {"float32": 4 * 18}


def test_custom_ops_are_counted_by_their_code():
    assert summary(ODD_MODELS["custom_op_model"]())["op_counts"] == {"CUSTOM Vendor.Öp": 1}


def test_zeros_are_what_stands_for_zero():
    data = np.array([[0, 3], [5, 3]], np.int8)
    one = Quantization(np.ones(1, np.float32), np.array([3]))
    each = Quantization(np.ones(2, np.float32), np.array([0, 3]), 1)
    assert zeros(Tensor("plain", [2, 2], "int8", data)) == 1
    assert zeros(Tensor("shifted", [2, 2], "int8", data, one)) == 2
    assert zeros(Tensor("channels", [2, 2], "int8", data, each)) == 3
    sparse = Sparsity((0, 1), (), (("dense", 2), ("csr", np.array([0, 1, 2]), np.array([1, 2]))))
    assert zeros(Tensor("sparse", [2, 3], data=np.array([1, 0], np.float32), sparsity=sparse)) == 5
    assert zeros(Tensor("activation", [2, 3])) == 0
    # A damaged file may have more scales than channels: the first zero point stands for all.
    odd = Quantization(np.ones(3, np.float32), np.array([3, 0, 0]), 1)
    assert zeros(Tensor("damaged", [2, 2], "int8", data, odd)) == 2


def test_stored_bytes_are_those_of_the_file():
    assert stored_bytes(Tensor("a", [5], "int4", np.zeros(5, np.int8))) == 3
    assert stored_bytes(Tensor("b", [5], "int2", np.zeros(5, np.int8))) == 2
    assert stored_bytes(Tensor("c", [5], "float16")) == 10
    assert stored_bytes(Tensor("d", [1], "string", np.zeros(17, np.uint8))) == 17
    sparse = Sparsity((0,), (), (("csr", np.array([0, 2]), np.array([1, 2])),))
    assert stored_bytes(Tensor("e", [100], data=np.ones(2, np.float32), sparsity=sparse)) == 8


def test_few_distinct_values_are_counted_exactly_many_are_not():
    clustered = np.repeat(np.arange(16, dtype=np.float32), 1000)
    assert unique_values(clustered) == 16
    assert unique_values(np.arange(257)) is None
    late = np.zeros(10_000)
    late[5000:] = np.arange(5000)
    assert unique_values(late) is None  # the sample at the start has few, the whole has many


# -- schemes ---------------------------------------------------------------------------------------


def dense(data: str, weights: str, *, unpacked: bool = False, island: str | None = None) -> Model:
    """One dense layer: its data and weights of these types, the weights perhaps behind DEQUANTIZE."""
    b = Builder()
    x = b.input("x", [1, 64], island or data)
    if island is not None:
        x = b.op("DEQUANTIZE", [x], [1, 64])
    numpy_type = {"int4": "int8", "int2": "int8", "bfloat16": "uint16"}.get(weights, weights)
    w = Tensor("w", [32, 64], weights, np.ones((32, 64), numpy_type))
    if unpacked:
        w = b.op("DEQUANTIZE", [w], [32, 64])
    return b.model(b.op("FULLY_CONNECTED", [x, w], [1, 32]))


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        (dense("float32", "float32"), "float32"),
        (dense("float32", "float16", unpacked=True), "float16"),
        (dense("float32", "int8", unpacked=True), "weight8"),
        (dense("float32", "int4", unpacked=True), "weight4"),
        (dense("float32", "int8"), "dynamic"),
        (dense("float32", "int4"), "weight4"),
        (dense("int8", "int8"), "int8"),
        (dense("uint8", "uint8"), "int8"),
        (dense("int8", "int4"), "int8x4"),
        (dense("int16", "int8"), "int16x8"),
        (dense("float32", "int8", unpacked=True, island="int16"), "int16x8"),
        (dense("float32", "bfloat16"), "bfloat16"),
    ],
)
def test_a_scheme_is_seen_from_the_weights(model: Model, scheme: str):
    assert describe_scheme(model) == scheme


def test_small_float_tensors_do_not_change_the_name_large_ones_do():
    for size, scheme in ((16, "dynamic"), (2000, "mixed")):
        model = dense("float32", "int8")
        x, w = (
            model.main.inputs[0],
            Tensor("extra", [size // 16, 64], data=np.ones((size // 16, 64), np.float32)),
        )
        model.main.append(Op("FULLY_CONNECTED", [x, w], [Tensor("y", [1, size // 16])]))
        assert describe_scheme(model) == scheme


@pytest.mark.parametrize(("rows", "scheme"), [(24, "int8x4"), (40, "mixed")])
def test_a_4_bit_scheme_stores_small_weights_wider(rows: int, scheme: str):
    model = dense("int8", "int4")
    x, w = model.main.inputs[0], Tensor("wide", [rows, 64], "int8", np.ones((rows, 64), np.int8))
    model.main.append(Op("FULLY_CONNECTED", [x, w], [Tensor("y", [1, rows], "int8")]))
    assert describe_scheme(model) == scheme


def test_a_model_without_weights_is_named_by_its_activations():
    b = Builder()
    y = b.op("RELU", [b.input("x", [4], "int8")], [4], dtype="int8")
    model = b.model(y)
    assert describe_scheme(model) == "float32"
    y.quantization = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    assert describe_scheme(model) == "int8"


def test_weights_behind_densify_and_transpose_are_found():
    model = dense("float32", "int8", unpacked=True)
    graph = model.main
    constant, unpack = graph.find("w"), graph.ops[0]
    densified = Tensor("densified", constant.shape, "int8")
    graph.insert_before(unpack, Op("DENSIFY", [constant], [densified]))
    graph.set_input(unpack, 0, densified)
    assert describe_scheme(model) == "weight8"


def test_integer_weights_behind_densify_alone_are_not_unpacked():
    model = dense("float32", "int8")
    layer = model.main.ops[0]
    densified = Tensor("densified", layer.inputs[1].shape, "int8")
    model.main.insert_before(layer, Op("DENSIFY", [layer.inputs[1]], [densified]))
    model.main.set_input(layer, 1, densified)
    assert describe_scheme(model) == "dynamic"
