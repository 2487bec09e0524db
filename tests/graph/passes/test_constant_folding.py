from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graph.constant_cases import CASES, Case, f32, i32

from support.models import Builder
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.passes.constant_folding import CONSTANT_OPS, fold_constants, fold_op
from tightfit.graph.passes.constant_ops import GROWTH_BYTES
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session


@pytest.fixture(scope="module")
def litert() -> dict[str, np.ndarray]:
    """What LiteRT computes for every case, in one run of its own kernels."""
    b = Builder()
    outputs = [b.op("RELU", [b.input("x", [1])], [1])]
    for number, case in enumerate(CASES):
        outputs += b.graph.append(case.op(number)).outputs
    with Session(serialize(b.model(*outputs, signature=None)), delegate=False) as session:
        return session.run({"x": np.ones(1, np.float32)})


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{c.kind}-{i}" for i, c in enumerate(CASES)])
def test_a_folded_op_gives_the_bits_of_litert(number: int, litert: dict[str, np.ndarray]):
    graph = Graph()
    op = graph.append(CASES[number].op(number))
    assert fold_op(graph, op)
    assert graph.ops == []
    for tensor in op.outputs:
        expected = litert[tensor.name]
        assert tensor.data is not None
        assert (tensor.shape, tensor.data.shape) == (expected.shape, expected.shape)
        np.testing.assert_array_equal(tensor.data, expected, strict=True)


def test_every_row_of_the_tables_has_a_case():
    assert {case.kind for case in CASES} == set(CONSTANT_OPS)


def refuses(op: Op) -> bool:
    graph = Graph()
    graph.append(op)
    before = [t.data for t in op.outputs]
    folded = fold_op(graph, op)
    return not folded and graph.ops == [op] and [t.data for t in op.outputs] == before


BIG = GROWTH_BYTES // 4 + 1000


@pytest.mark.parametrize(
    "case",
    [
        Case("FILL", [i32([BIG]), np.float32(0)], [[BIG]]),
        Case("TILE", [f32(8), i32([BIG // 8 + 1])], [[8 * (BIG // 8 + 1)]]),
        Case("BROADCAST_TO", [f32(1), i32([BIG])], [[BIG]]),
        Case("RANGE", [i32(0), i32(2**31 - 1), i32(1)], [[2**31 - 1]], "int32"),
        Case("ADD", [f32(1000, 1), f32(1, 1000)], [[1000, 1000]], table="AddOptions"),
        Case("GATHER", [f32(1, 1000), np.zeros(400, np.int32)], [[400, 1000]]),
        Case("PAD", [f32(1), i32([[0, BIG]])], [[BIG + 1]]),
        Case("SELECT_V2", [np.ones((1000, 1), bool), f32(1, 1000), f32(1)], [[1000, 1000]]),
        Case("FILL", [i32([-1]), np.float32(0)], [[1]]),
    ],
    ids=lambda c: c.kind,
)
def test_what_would_bloat_the_file_is_left_to_the_runtime(case: Case):
    assert refuses(case.op(0))


@pytest.mark.parametrize(
    "case",
    [
        Case("DIV", [i32([1, 2]), i32([1, 0])], [[2]], "int32"),
        Case("FLOOR_DIV", [f32(2), np.zeros(2, np.float32)], [[2]]),
        Case("FLOOR_MOD", [i32([1]), i32([0])], [[1]], "int32"),
        Case("CAST", [np.array([3e9], np.float32)], [[1]], "int32"),
        Case("CAST", [np.array([np.nan], np.float32)], [[1]], "int32"),
        Case("RANGE", [i32(0), i32(5), i32(-1)], [[5]], "int32"),
        Case("GATHER", [f32(3), i32([3])], [[1]]),
        Case("GATHER", [f32(3), i32([-1])], [[1]]),
        Case("GATHER", [f32(3, 3), i32([1])], [[1]], options={"batchDims": 1}),
        Case("SLICE", [f32(3), i32([1]), i32([3])], [[3]]),
        Case("STRIDED_SLICE", [f32(3), i32([0]), i32([3]), i32([0])], [[3]]),
        Case("STRIDED_SLICE", [f32(3), i32([5]), i32([6]), i32([1])], [[]], options={"shrinkAxisMask": 1}),
        Case("MIRROR_PAD", [f32(2), i32([[2, 0]])], [[4]]),
        Case("ADD", [f32(2), f32(2)], [[2]], options={"fusedActivationFunction": 4}),
        Case("ADD", [f32(2), f32(3)], [[2]]),
        Case("SUM", [f32(2), i32([0])], [[]]),
        Case("RESHAPE", [f32(4), i32([3, -1])], [[3, 1]]),
        Case("ADD", [f32(2).astype(np.float16), f32(2).astype(np.float16)], [[2]], "float16"),
        Case("EXP", [f32(2)], [[2]]),
        Case("RESHAPE", [f32(4), i32([4])], [[2, 2]]),
    ],
    ids=lambda c: c.kind,
)
def test_what_the_kernel_would_refuse_or_round_otherwise_is_left_to_it(case: Case):
    assert refuses(case.op(0))


def quantized(name: str, scale: float, *, data: bool = True) -> Tensor:
    values = np.array([[1, 2, 3]], np.int8) if data else None
    parameters = Quantization(np.array([scale], np.float32), np.array([0], np.int64))
    return Tensor(name, [1, 3], "int8", values, parameters)


def test_a_quantized_constant_is_moved_only_when_it_means_the_same():
    order = Tensor("order", [2], "int32", i32([0, 1]))
    assert refuses(Op("TRANSPOSE", [quantized("a", 0.5), order], [quantized("b", 0.25, data=False)]))
    op = Op("TRANSPOSE", [quantized("a", 0.5), order], [quantized("b", 0.5, data=False)])
    graph = Graph()
    graph.append(op)
    assert fold_op(graph, op)
    assert op.outputs[0].is_quantized


def test_quantized_arithmetic_and_padding_are_left_to_the_kernels():
    widths = Tensor("widths", [2, 2], "int32", i32([[0, 0], [0, 0]]))
    assert refuses(Op("ADD", [quantized("a", 0.5), quantized("b", 0.5)], [quantized("c", 0.5, data=False)]))
    assert refuses(Op("PAD", [quantized("a", 0.5), widths], [quantized("c", 0.5, data=False)]))


def change_sparsity(op: Op) -> None:
    op.inputs[0].sparsity = object()


def change_variable(op: Op) -> None:
    op.inputs[0].is_variable = True


def change_absent(op: Op) -> None:
    op.inputs[0].data = None


def change_type(op: Op) -> None:
    op.outputs[0].dtype = "int32"


def change_text(op: Op) -> None:
    op.inputs[0].dtype = op.outputs[0].dtype = "string"


@pytest.mark.parametrize(
    "change", [change_sparsity, change_variable, change_absent, change_type, change_text]
)
def test_only_plain_constants_of_the_declared_type_are_folded(change: Callable[[Op], None]):
    op = Case("TRANSPOSE", [f32(2, 3), i32([1, 0])], [[3, 2]]).op(0)
    change(op)
    assert refuses(op)


# -- SHAPE and whole graphs --------------------------------------------------------------------------


def shape_model(*, dynamic_batch: bool, signature: tuple[int, ...] | None = None) -> Model:
    """x (1×2×3) → RESHAPE to (first dimension of x, 6) through SHAPE, STRIDED_SLICE and PACK."""
    b = Builder()
    x = b.input("x", [1, 2, 3], dynamic_batch=dynamic_batch)
    if signature is not None:
        x.shape_signature = signature
    shape = Tensor("shape", [3], "int32")
    b.graph.append(Op("SHAPE", [x], [shape], {"outType": 2}, "ShapeOptions"))
    begin, end, one = (b.constant(n, [v], "int32") for n, v in (("begin", 0), ("end", 1), ("one", 1)))
    batch = Tensor("batch", [], "int32")
    slicing = {"shrinkAxisMask": 1}
    b.graph.append(Op("STRIDED_SLICE", [shape, begin, end, one], [batch], slicing, "StridedSliceOptions"))
    target = Tensor("target", [2], "int32")
    parts = [batch, b.constant("six", 6, "int32")]
    b.graph.append(Op("PACK", parts, [target], {"valuesCount": 2, "axis": 0}, "PackOptions"))
    return b.model(b.op("RESHAPE", [x, target], [1, 6], name="flat", table="ReshapeOptions"))


def test_a_chain_from_a_static_shape_becomes_one_constant():
    model = shape_model(dynamic_batch=False)
    done = fold_constants(model)
    assert done == ["Computed 3 ops on constants beforehand: SHAPE, STRIDED_SLICE, PACK."]
    assert [op.kind for op in model.main.ops] == ["RESHAPE"]
    assert model.main.find("target").data.tolist() == [1, 6]
    model.validate()


@pytest.mark.parametrize("signature", [(-1, 2, 3), (1, -1, 3)])
def test_a_dynamic_dimension_stays_dynamic(signature: tuple[int, ...]):
    model = shape_model(dynamic_batch=True, signature=signature)
    assert fold_constants(model) == []
    with Session(serialize(model)) as session:
        batch = 5 if signature[0] == -1 else 1
        received = session.run({"x": np.ones((batch, 2, 3), np.float32)})
    assert received["flat"].shape == (batch, 6)


def test_a_tensor_of_unstated_dimensions_behind_a_dynamic_input_keeps_its_shape_op():
    model = shape_model(dynamic_batch=True)
    x = model.main.inputs[0]
    between = Tensor("between", x.shape)
    shape = model.main.ops[0]
    model.main.insert(0, Op("RELU", [x], [between]))
    model.main.set_input(shape, 0, between)
    assert fold_constants(model) == []
    between.shape_signature = (1, 2, 3)
    assert fold_constants(model) != []


def test_an_unknown_rank_keeps_its_shape_op():
    graph = Graph()
    op = graph.append(Op("RANK", [Tensor("x", [], has_rank=False)], [Tensor("rank", [], "int32")]))
    assert not fold_op(graph, op)
    op.inputs[0].shape = (4, 5)
    assert fold_op(graph, op)
    assert op.outputs[0].data.tolist() == 2


def test_an_output_of_the_graph_or_of_a_signature_is_not_folded():
    for in_signature in (False, True):
        b = Builder()
        total = b.add(b.constant("one", [1.0], "float32"), b.constant("two", [2.0], "float32"))
        y = b.op("MUL", [b.input("x", [1]), total], [1], table="MulOptions")
        model = b.model(*([y] if in_signature else [y, total]))
        if in_signature:
            model.signatures[0].outputs["total"] = total
        assert fold_constants(model) == []


def test_a_dynamic_result_of_known_inputs_gets_its_shape():
    graph = Graph()
    out = Tensor("out", [1], "int32", shape_signature=[-1])
    ends = [Tensor(n, [], "int32", i32(v)) for n, v in (("start", 0), ("limit", 4), ("delta", 1))]
    op = graph.append(Op("RANGE", ends, [out]))
    assert fold_op(graph, op)
    assert (out.shape, out.shape_signature, out.data.tolist()) == ((4,), None, [0, 1, 2, 3])


# -- DEQUANTIZE ------------------------------------------------------------------------------------


def dequantize_model() -> tuple[Model, list[Tensor]]:
    """Products of inputs with constants behind DEQUANTIZE: per tensor, per channel, int16, float16."""
    b = Builder()
    random = np.random.default_rng(3)
    one = Quantization(np.array([0.0173], np.float32), np.array([-7], np.int64))
    several = Quantization(random.random(4).astype(np.float32), np.zeros(4, np.int64), 1)
    wide = Quantization(np.array([3.1e-4], np.float32), np.array([0], np.int64))
    outputs = []
    for name, dtype, quantization in (
        ("tensor", "int8", one), ("channel", "int8", several),
        ("wide", "int16", wide), ("half", "float16", None),
    ):  # fmt: skip
        values = random.integers(-128, 128, (3, 4)).astype(dtype) * (200 if dtype == "int16" else 1)
        w = Tensor(name, [3, 4], dtype, values.astype(dtype), quantization)
        real = b.op("DEQUANTIZE", [w], [3, 4], table="DequantizeOptions")
        outputs.append(b.op("MUL", [b.input(f"x_{name}", [3, 4]), real], [3, 4], table="MulOptions"))
    return b.model(*outputs), outputs


def test_stored_weights_are_unpacked_only_when_asked_and_then_to_the_same_bits():
    model, outputs = dequantize_model()
    assert fold_constants(model) == []
    inputs = {t.name: np.ones(t.shape, np.float32) for t in model.main.inputs}
    with Session(serialize(model), delegate=False) as session:
        expected = session.run(inputs)
    assert fold_constants(model, dequantize=True) == [
        "Computed 4 ops on constants beforehand: DEQUANTIZE ×4."
    ]
    with Session(serialize(model), delegate=False) as session:
        received = session.run(inputs)
    largest = 0.0173 * (128 + 7)
    for name, value in expected.items():
        # LiteRT's vector code rounds scale·q − scale·zero_point twice: a unit in the last place of either.
        bound = np.spacing(np.float32(largest)) if name == outputs[0].name else 0.0
        np.testing.assert_allclose(received[name], value, rtol=0.0, atol=bound)
