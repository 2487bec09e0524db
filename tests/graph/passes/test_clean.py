from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support import models
from support.models import Builder
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.passes.clean import (
    called_graphs,
    clean,
    remove_dead_ops,
    remove_identities,
    restore_float16,
)
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


# -- float16 constants -----------------------------------------------------------------------------


def half(b: Builder, source: Tensor) -> Tensor:
    return b.op(
        "DEQUANTIZE", [source], source.shape, name=f"{source.name}_dequantize", table="DequantizeOptions"
    )


def float16_model() -> Model:
    """x·w·w·v, where w is unpacked twice and v shares w's memory."""
    b = Builder()
    w = b.constant("w", b.random.standard_normal((2, 4)), "float16")
    v = Tensor("v", [2, 4], "float16", w.data)
    x = b.input("x", [2, 4])
    for source in (w, w, v):
        x = b.op("MUL", [x, half(b, source)], [2, 4], table="MulOptions")
    return b.model(x)


def test_float16_constants_become_float32_and_shared_ones_stay_shared():
    model = float16_model()
    expected = model.main.find("w").data.astype(np.float32)
    assert restore_float16(model) == ["Restored 2 float16 constants to float32."]
    assert kinds(model) == ["MUL", "MUL", "MUL"]
    factors = [op.inputs[1] for op in model.main.ops]
    assert [t.name for t in factors] == ["w", "w", "v"]
    assert factors[0] is factors[1]
    assert factors[0].dtype == "float32"
    np.testing.assert_array_equal(factors[0].data, expected)
    assert np.shares_memory(factors[0].data, factors[2].data)
    assert restore_float16(model) == []
    model.validate()


def test_views_of_one_memory_in_another_order_are_not_mixed_up():
    b = Builder()
    values = np.arange(16, dtype=np.float16).reshape(4, 4)
    x = b.input("x", [4, 4])
    for data in (values, values.T):
        x = b.op("MUL", [x, half(b, Tensor("w", [4, 4], "float16", data))], [4, 4], table="MulOptions")
    model = b.model(x)
    restore_float16(model)
    straight, turned = (op.inputs[1].data for op in model.main.ops)
    np.testing.assert_array_equal(straight, turned.T)


def test_a_float16_constant_that_is_an_output_stays():
    b = Builder()
    model = b.model(half(b, b.constant("w", [1.0], "float16")))
    assert restore_float16(model) == []


def test_other_stored_weights_stay_behind_dequantize():
    b = Builder()
    parameters = Quantization(np.array([0.5], np.float32), np.array([0], np.int64))
    w = Tensor("w", [2], "int8", np.array([1, 2], np.int8), parameters)
    sparse = b.constant("s", [1.0, 2.0], "float16")
    sparse.sparsity = object()
    x = b.op("MUL", [b.input("x", [2]), half(b, w)], [2], table="MulOptions")
    model = b.model(b.op("MUL", [x, half(b, sparse)], [2], table="MulOptions"))
    assert clean(model) == []
    assert kinds(model) == ["DEQUANTIZE", "MUL", "DEQUANTIZE", "MUL"]


# -- identities ------------------------------------------------------------------------------------


def identity(kind: str, b: Builder, x: Tensor) -> Tensor:
    shape = list(x.shape)
    if kind == "RESHAPE":
        return b.op(kind, [x, b.constant("shape", shape, "int32")], shape, table="ReshapeOptions")
    if kind == "TRANSPOSE":
        order = b.constant("order", range(len(shape)), "int32")
        return b.op(kind, [x, order], shape, table="TransposeOptions")
    if kind in ("CAST", "DEQUANTIZE"):
        return b.op(kind, [x], shape, table=f"{kind.title()}Options")
    widths = b.constant("widths", np.zeros((len(shape), 2)), "int32")
    more = [b.constant("value", 3, "float32")] if kind == "PADV2" else []
    tables = {"PAD": "PadOptions", "PADV2": "PadV2Options", "MIRROR_PAD": "MirrorPadOptions"}
    return b.op(kind, [x, widths, *more], shape, table=tables[kind])


IDENTITY_KINDS = ["RESHAPE", "TRANSPOSE", "CAST", "DEQUANTIZE", "PAD", "PADV2", "MIRROR_PAD"]


@pytest.mark.parametrize("kind", IDENTITY_KINDS)
def test_an_op_that_changes_nothing_goes(kind: str):
    b = Builder()
    x = b.op("RELU", [b.input("x", [2, 3])], [2, 3])
    model = b.model(b.op("TANH", [identity(kind, b, x)], [2, 3]))
    assert remove_identities(model) == [f"Removed 1 op that changed nothing: {kind}."]
    assert kinds(model) == ["RELU", "TANH"]
    assert model.main.ops[1].inputs == [x]
    model.validate()


@pytest.mark.parametrize("kind", IDENTITY_KINDS)
def test_a_removed_output_hands_its_name_to_the_producer(kind: str):
    b = Builder()
    x = b.op("RELU", [b.input("x", [2, 3])], [2, 3])
    y = identity(kind, b, x)
    model = b.model(y, b.op("TANH", [x], [2, 3]))
    remove_identities(model)
    assert kinds(model) == ["RELU", "TANH"]
    assert model.main.outputs[0] is y
    assert model.signatures[0].outputs[y.name] is y
    assert y.producer is model.main.ops[0]
    assert model.main.ops[1].inputs == [y]
    model.validate()


def test_an_op_between_an_input_and_an_output_stays():
    b = Builder()
    model = b.model(identity("RESHAPE", b, b.input("x", [2, 3])))
    assert remove_identities(model) == []


def test_an_op_between_two_outputs_stays():
    b = Builder()
    x = b.op("RELU", [b.input("x", [2, 3])], [2, 3])
    model = b.model(x, identity("CAST", b, x))
    assert remove_identities(model) == []


def changed(kind: str) -> Model:
    """The identity of a kind with the one change that makes it work."""
    b = Builder()
    x = b.op("RELU", [b.input("x", [2, 2])], [2, 2])
    y = identity(kind, b, x)
    op = b.graph.ops[-1]
    if kind == "TRANSPOSE":
        op.inputs[1].data = np.array([1, 0], np.int32)
    elif kind in ("CAST", "DEQUANTIZE"):
        x.dtype = "float16"
    elif kind == "RESHAPE":
        y.shape = (4,)
    else:
        op.inputs[1].data = np.array([[1, 0], [0, 0]], np.int32)
    return b.model(b.op("TANH", [y], y.shape))


@pytest.mark.parametrize("kind", IDENTITY_KINDS)
def test_an_op_that_changes_something_stays(kind: str):
    model = changed(kind)
    assert remove_identities(model) == []
    assert kinds(model) == ["RELU", kind, "TANH"]


def test_a_reshape_of_a_dynamic_shape_stays():
    b = Builder()
    x = b.op("RELU", [b.input("x", [1, 3], dynamic_batch=True)], [1, 3])
    model = b.model(b.op("TANH", [identity("RESHAPE", b, x)], [1, 3]))
    assert remove_identities(model) == []


def test_an_op_that_gives_integers_another_meaning_stays():
    b = Builder()
    x = b.op("RELU", [b.input("x", [2])], [2])
    y = identity("RESHAPE", b, x)
    x.dtype = y.dtype = "int8"
    one, other = (Quantization(np.array([s], np.float32), np.array([0], np.int64)) for s in (0.5, 0.25))
    x.quantization, y.quantization = one, other
    model = b.model(b.op("TANH", [y], [2]))
    assert remove_identities(model) == []
    y.quantization = Quantization(one.scale.copy(), one.zero_point.copy())
    assert remove_identities(model) != []


def test_an_op_that_reads_a_variable_stays():
    b = Builder()
    state = Tensor("state", [2], is_variable=True)
    model = b.model(b.add(b.input("x", [2]), identity("CAST", b, state)))
    assert remove_identities(model) == []


def test_a_fake_quantization_pair_stays():
    b = Builder()
    x = b.op("QUANTIZE", [b.input("x", [2])], [2], dtype="int8", table="QuantizeOptions")
    x.quantization = Quantization(np.array([0.5], np.float32), np.array([0], np.int64))
    y = b.op("DEQUANTIZE", [x], [2], table="DequantizeOptions")
    model = b.model(b.op("TANH", [y], [2]))
    assert clean(model) == []
    assert kinds(model) == ["QUANTIZE", "DEQUANTIZE", "TANH"]


# -- dead code -------------------------------------------------------------------------------------


def test_ops_whose_results_nothing_reads_go_with_what_only_they_read():
    model = models.residual_net()
    x = model.main.ops[0].outputs[0]
    dead = Tensor("dead", x.shape)
    model.main.append(Op("TANH", [x], [dead]))
    model.main.append(Op("ABS", [dead], [Tensor("deader", x.shape)]))
    before = len(model.main.ops)
    assert remove_dead_ops(model) == ["Removed 2 ops whose results nothing reads: ABS, TANH."]
    assert len(model.main.ops) == before - 2
    assert dead not in model.main.tensors()
    model.validate()


def test_loose_tensors_go_unless_a_signature_names_them():
    model = models.conv_net()
    named = Tensor("named", [1])
    model.main.loose = [Tensor("left over", [1]), named]
    model.signatures[0].inputs["named"] = named
    remove_dead_ops(model)
    assert model.main.loose == [named]
    model.validate()


def test_an_input_that_nothing_reads_stays():
    model = models.conv_net()
    unread = Tensor("unread", [1])
    model.main.inputs.append(unread)
    clean(model)
    assert unread in model.main.inputs


def test_one_read_output_keeps_the_op():
    b = Builder()
    b.graph.append(Op("UNPACK", [b.input("x", [2, 3])], [Tensor("first", [3]), Tensor("second", [3])]))
    model = b.model(b.graph.ops[0].outputs[1])
    assert remove_dead_ops(model) == []


def effect_assign(_: Builder, x: Tensor) -> Op:
    return Op("ASSIGN_VARIABLE", [Tensor("handle", [], "resource"), x], [])


def effect_call_once(_: Builder, __: Tensor) -> Op:
    return Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}, "CallOnceOptions")


def effect_custom(_: Builder, x: Tensor) -> Op:
    return Op("CUSTOM", [x], [])


def effect_variable(_: Builder, x: Tensor) -> Op:
    return Op("SVDF", [x, Tensor("state", [2], is_variable=True)], [Tensor("unread", [2])])


def effect_loop(_: Builder, x: Tensor) -> Op:
    return Op("WHILE", [x], [Tensor("unread", [2])], {"condSubgraphIndex": 1, "bodySubgraphIndex": 2})


@pytest.mark.parametrize(
    "effect", [effect_assign, effect_call_once, effect_custom, effect_variable, effect_loop]
)
def test_an_op_with_an_effect_stays(effect):
    b, inner, assigning = Builder(), Builder("inner"), Builder("assigning")
    x = b.input("x", [2])
    op = b.graph.append(effect(b, x))
    model = b.model(b.op("RELU", [x], [2]))
    assigning.graph.append(effect_assign(assigning, assigning.input("x", [2])))
    model.graphs += [inner.graph, assigning.graph]
    assert remove_dead_ops(model) == []
    assert op in model.main.ops


def test_a_loop_without_effect_goes():
    model = models.loop_model()
    x = model.main.inputs[1]
    model.main.outputs = [x]
    model.signatures = []
    assert remove_dead_ops(model) == ["Removed 1 op whose results nothing reads: WHILE."]


def test_graphs_that_call_each_other_in_circles_end():
    b = Builder()
    x = b.input("x", [2])
    b.graph.append(Op("IF", [x], [Tensor("y", [2])], {"thenSubgraphIndex": 0, "elseSubgraphIndex": 99}))
    model = b.model(b.op("RELU", [x], [2]))
    assert remove_dead_ops(model) == ["Removed 1 op whose results nothing reads: IF."]


def test_called_graphs_are_found_under_every_name():
    assert called_graphs(Op("STABLEHLO_CASE", [], [], {"branchSubgraphIndices": np.array([3, 4])})) == {3, 4}
    assert called_graphs(Op("CALL", [], [], {"subgraph": 5})) == {5}
    assert called_graphs(Op("STABLEHLO_COMPOSITE", [], [], {"decompositionSubgraphIndex": 6})) == {6}


def test_ops_of_a_damaged_file_without_outputs_are_left_alone():
    model = models.conv_net()
    constant = Tensor("half", [2], "float16", np.ones(2, np.float16))
    for kind in (*IDENTITY_KINDS, "SHAPE", "RANK", "ADD"):
        model.main.append(Op(kind, [constant, constant], []))
    assert clean(model) == []


# -- all passes ------------------------------------------------------------------------------------


def cluttered_model() -> Model:
    """A residual net with float16 weights and something for each pass to do."""
    model = models.residual_net()
    graph = model.main
    for op in list(graph.ops):
        weights = op.input(1)
        if op.kind == "CONV_2D" and weights is not None and weights.data is not None:
            stored = Tensor(weights.name, weights.shape, "float16", weights.data.astype(np.float16))
            real = Tensor("unpacked", weights.shape)
            graph.insert_before(op, Op("DEQUANTIZE", [stored], [real], {}, "DequantizeOptions"))
            graph.set_input(op, 1, real)
    last = graph.ops[-1]
    scores = last.inputs[0]
    scaled, factor = Tensor("scaled", scores.shape), Tensor("factor", [1])
    halves = [Tensor("half", [1], data=np.array([0.5], np.float32)) for _ in range(2)]
    plain = {"fusedActivationFunction": 0}
    graph.insert_before(last, Op("ADD", list(halves), [factor], dict(plain), "AddOptions"))
    graph.insert_before(last, Op("MUL", [scores, factor], [scaled], dict(plain), "MulOptions"))
    same = Tensor("same", scores.shape)
    shape = Tensor("shape", [2], "int32", np.array(scores.shape, np.int32))
    graph.insert_before(last, Op("RESHAPE", [scaled, shape], [same], {}, "ReshapeOptions"))
    graph.set_input(last, 0, same)
    graph.append(Op("TANH", [scores], [Tensor("unread", scores.shape)]))
    return model


def test_a_clean_model_computes_the_same_bits():
    model = cluttered_model()
    inputs = models.random_inputs(model)
    with Session(serialize(model)) as session:
        expected = session.run(inputs)
    assert clean(model) == [
        "Restored 3 float16 constants to float32.",
        "Computed 1 op on constants beforehand: ADD.",
        "Removed 1 op that changed nothing: RESHAPE.",
        "Removed 1 op whose results nothing reads: TANH.",
    ]
    with Session(serialize(model)) as session:
        received = session.run(inputs)
    np.testing.assert_array_equal(expected["probabilities"], received["probabilities"])


def test_a_clean_model_is_left_as_it_is():
    for build in (models.conv_net, models.two_signatures_model, models.loop_model):
        model = build()
        before = serialize(model)
        assert clean(model) == []
        assert serialize(model) == before


def test_every_graph_is_cleaned():
    model = models.loop_model()
    for graph in model.graphs:
        graph.append(Op("ABS", [graph.inputs[1]], [Tensor("unread", [1, 4])]))
    assert clean(model) == ["Removed 3 ops whose results nothing reads: ABS ×3."]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="../shared/models is absent")
def test_cleaning_a_real_model_with_much_to_fold_keeps_its_bits():
    """The note detector, with its weights stored as float16."""
    model = read_model(SHARED / "nmp.tflite")
    store_float16(model.main)
    inputs = models.random_inputs(model)
    with Session(serialize(model)) as session:
        expected = session.run(inputs)
    done = clean(model)
    assert done[0].startswith("Restored ")
    with Session(serialize(model)) as session:
        received = session.run(inputs)
    for name, value in expected.items():
        np.testing.assert_array_equal(value, received[name])


def store_float16(graph: Graph) -> None:
    for tensor in graph.tensors():
        if tensor.data is not None and tensor.dtype == "float32" and tensor.size > 16:
            stored = Tensor(tensor.name, tensor.shape, "float16", tensor.data.astype(np.float16))
            real = Tensor("unpacked", tensor.shape)
            graph.replace_uses(tensor, real)
            graph.insert(0, Op("DEQUANTIZE", [stored], [real], {}, "DequantizeOptions"))
