"""Versions of ops follow from how they are used; files of other converters are the yardstick."""

from __future__ import annotations

import numpy as np
import pytest

from support import places
from tightfit.graph.format.table_fields import enum_names
from tightfit.graph.ir import Graph, Model, Op, Quantization, Sparsity, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.versions.op_version import min_runtime_version, op_version, runtime_version
from tightfit.graph.versions.runtime_releases import RUNTIME_VERSIONS
from tightfit.graph.versions.version_rules import VERSION_RULES

SHARED = places.SHARED / "models"
FILES = sorted(SHARED.glob("*.tflite"))
BUILTINS = set(enum_names("BuiltinOperator").values())


def tensor(dtype, shape=(1, 4), scales=0, axis=0):
    quantization = None
    if scales:
        quantization = Quantization(np.full(scales, 0.5, np.float32), np.zeros(scales, np.int64), axis)
    return Tensor("t", shape, dtype, quantization=quantization)


def version(kind, inputs, output="float32", **options):
    outputs = [output if isinstance(output, Tensor) else tensor(output)]
    return op_version(Op(kind, [tensor(t) if isinstance(t, str) else t for t in inputs], outputs, options))


WEIGHTS = {scales: tensor("int8", (6, 1, 1, 4), scales) for scales in (1, 6)}
DENSE = {scales: tensor("int8", (6, 4), scales) for scales in (1, 6)}
INT4 = tensor("int4", (6, 4), 6)


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "options", "expected"),
    [
        ("ADD", ["float32", "float32"], "float32", {}, 1),
        ("ADD", ["int8", "int8"], "int8", {}, 2),
        ("ADD", [tensor("int16", scales=1), "int16"], "int16", {"potScaleInt16": False}, 3),
        ("ADD", ["int64", "int64"], "int64", {}, 4),
        ("ADD", ["int16", "int16"], "int16", {}, 5),
        ("BROADCAST_TO", ["float32", "int32"], "float32", {}, 2),
        ("CONV_2D", [tensor("int8", (1, 2, 2, 4)), WEIGHTS[6]], "int8", {}, 3),
        ("CONV_2D", [tensor("float32", (1, 2, 2, 4)), WEIGHTS[1]], "float32", {}, 2),
        ("CONV_2D", [tensor("float32", (1, 2, 2, 4)), WEIGHTS[6]], "float32", {}, 5),
        ("CONV_2D", [tensor("int8", (1, 2, 2, 8)), WEIGHTS[6]], "int8", {}, 6),
        ("CONV_2D", [tensor("int16", (1, 2, 2, 4)), WEIGHTS[6]], "int16", {}, 4),
        ("CONV_2D", [tensor("int16", (1, 2, 2, 4)), WEIGHTS[6]], "int16", {"quantizedBiasType": 2}, 8),
        ("DEPTHWISE_CONV_2D", ["float32", "float32"], "float32", {"dilationWFactor": 2}, 2),
        ("FULLY_CONNECTED", ["float32", "float32", "float32"], "float32", {}, 1),
        ("FULLY_CONNECTED", ["float32", "float32"], "float32", {}, 6),
        ("FULLY_CONNECTED", ["float32", "float32", None], "float32", {"keepNumDims": True}, 5),
        ("FULLY_CONNECTED", ["int8", DENSE[6], "int32"], "int8", {}, 4),
        ("FULLY_CONNECTED", ["int8", INT4, None], "int8", {}, 10),
        ("FULLY_CONNECTED", ["float32", DENSE[1], None], "float32", {}, 3),
        ("FULLY_CONNECTED", ["float32", DENSE[1], None], "float32", {"asymmetricQuantizeInputs": True}, 9),
        ("FULLY_CONNECTED", ["float32", DENSE[6], None], "float32", {}, 12),
        ("FULLY_CONNECTED", ["int16", DENSE[6], None], "int16", {"quantizedBiasType": 2}, 11),
        ("MUL", [tensor("int8", scales=1)] * 2, tensor("int8", scales=1), {}, 2),
        ("QUANTIZE", ["float32"], "int8", {}, 1),
        ("QUANTIZE", ["float32"], tensor("int8", scales=4), {}, 3),
        ("QUANTIZE", ["float32"], "int16", {}, 2),
        ("DEQUANTIZE", ["float16"], "float32", {}, 3),
        ("DEQUANTIZE", [tensor("int8", scales=4)], "float32", {}, 5),
        ("RESIZE_BILINEAR", ["float32", "int32"], "float32", {"halfPixelCenters": True}, 3),
        ("SELECT", ["bool", "int8", "int8"], "int8", {}, 2),
        ("SUB", [tensor("float32", (1, 2, 3, 4, 5)), "float32"], "float32", {}, 3),
        ("TRANSPOSE", [tensor("float32", (1, 2, 3, 4, 5)), "int32"], "float32", {}, 4),
        ("TRANSPOSE_CONV", ["int32", "float32", "float32"], "float32", {}, 1),
        ("TRANSPOSE_CONV", ["int32", "float32", "float32", "float32"], "float32", {}, 3),
        ("UNPACK", ["int16"], "int16", {}, 4),
        ("COS", ["float32"], "float32", {}, 1),
    ],
)
def test_the_version_follows_from_the_use(kind, inputs, output, options, expected):
    assert version(kind, inputs, output, **options) == expected


def test_sparse_weights_of_a_dense_layer_ask_for_version_8():
    weights = tensor("float32", (6, 4))
    weights.sparsity = Sparsity((0, 1), (), (("dense", 6), ("dense", 4)))
    assert version("FULLY_CONNECTED", ["float32", weights, None]) == 8


def test_a_product_that_is_not_scaled_down_asks_for_version_3():
    def scaled(value):
        return Tensor(
            "t", (4,), "int8", quantization=Quantization(np.array([value], np.float32), np.array([0]))
        )

    assert version("MUL", [scaled(0.5), scaled(0.5)], scaled(0.25)) == 3
    assert version("MUL", [scaled(0.5), scaled(0.5)], scaled(0.5)) == 2


def test_only_builtin_ops_have_versions():
    assert set(VERSION_RULES) <= BUILTINS
    assert set(RUNTIME_VERSIONS) <= BUILTINS


def test_every_version_that_a_rule_gives_has_a_release():
    missing = {
        (kind, v)
        for kind, rules in VERSION_RULES.items()
        for v, _ in rules
        if runtime_version(kind, v) is None
    }
    assert missing == set()


def test_releases_of_later_versions_are_not_earlier():
    for kind, releases in RUNTIME_VERSIONS.items():
        known = [tuple(map(int, r.split("."))) for r in releases.split() if r != "-"]
        assert known == sorted(known), kind


def chain(*kinds):
    graph = Graph()
    tensors = [Tensor(f"t{i}", (1, 4)) for i in range(len(kinds) + 1)]
    for kind, source, target in zip(kinds, tensors, tensors[1:], strict=False):
        graph.append(Op(kind, [source], [target]))
    graph.inputs, graph.outputs = tensors[:1], tensors[-1:]
    return Model([graph])


def test_the_runtime_of_a_model_is_that_of_its_most_demanding_op():
    assert min_runtime_version(chain("RELU", "GELU", "RELU")) == "2.9.0"


def test_releases_are_compared_as_numbers():
    assert runtime_version("RELU_0_TO_1", 1) == "2.10.0"
    assert min_runtime_version(chain("GELU", "RELU_0_TO_1")) == "2.10.0"


def test_ops_that_no_release_is_known_for_do_not_count():
    model = chain("RELU", "CUSTOM")
    assert min_runtime_version(model) == "1.5.0"
    model.main.ops[0].version = 99
    assert min_runtime_version(model) == ""


@pytest.mark.shared
@pytest.mark.skipif(not FILES, reason="the models of ../shared are absent")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_float_files_of_other_converters_have_just_our_versions(path):
    model = read_model(path)
    for graph in model.graphs:
        for op in graph.ops:
            assert op_version(op) <= op.version or op.kind == "CUSTOM", op
    written = model.metadata.get("min_runtime_version", b"").rstrip(b"\0").decode()
    for graph in model.graphs:
        for op in graph.ops:
            op.version = 0
    if written:
        assert min_runtime_version(model) == written
