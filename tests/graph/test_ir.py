from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import models
from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize


def chain() -> tuple[Graph, list[Tensor], list[Op]]:
    """x → RELU → a → TANH → b, and b + a → c."""
    x, a, b, c = tensors = [Tensor(n, [2]) for n in "xabc"]
    graph = Graph()
    graph.inputs, graph.outputs = [x], [c]
    ops = [graph.append(Op(*op)) for op in (("RELU", [x], [a]), ("TANH", [a], [b]), ("ADD", [b, a], [c]))]
    return graph, tensors, ops


def links(tensor: Tensor) -> list[tuple[str, int]]:
    return [(op.kind, position) for op, position in tensor.consumers]


def test_appending_links_both_directions():
    graph, (x, a, b, c), (relu, tanh, add) = chain()
    assert (x.producer, a.producer, b.producer, c.producer) == (None, relu, tanh, add)
    assert links(a) == [("TANH", 0), ("ADD", 1)]
    assert relu.graph is graph
    graph.validate()


def test_removing_unlinks_and_leaves_the_tensors_usable():
    graph, (_, a, b, _), (relu, tanh, add) = chain()
    graph.remove(tanh)
    assert (b.producer, tanh.graph, links(a)) == (None, None, [("ADD", 1)])
    assert graph.ops == [relu, add]
    graph.insert_before(add, Op("LOGISTIC", [a], [b]))
    graph.validate()


def test_replacing_uses_moves_every_reader_and_the_outputs():
    graph, (x, a, _, c), _ = chain()
    graph.outputs = [a, c]
    graph.replace_uses(a, x)
    assert (links(a), links(x)) == ([], [("RELU", 0), ("TANH", 0), ("ADD", 1)])
    assert graph.outputs == [x, c]
    graph.replace_uses(c, x, outputs=False)
    assert graph.outputs == [x, c]
    graph.validate()


def test_an_op_that_reads_a_tensor_twice_is_linked_twice():
    graph, (_, a, b, _), (_, _, add) = chain()
    graph.set_input(add, 0, a)
    assert links(a) == [("TANH", 0), ("ADD", 1), ("ADD", 0)]
    graph.set_input(add, 1, b)
    assert links(a) == [("TANH", 0), ("ADD", 0)]
    graph.validate()


def test_setting_an_input_beyond_the_end_leaves_absent_ones_between():
    graph, (x, *_), (relu, *_) = chain()
    graph.set_input(relu, 2, x)
    assert relu.inputs == [x, None, x]
    graph.set_input(relu, 2, None)
    assert (relu.input(2), relu.input(7), links(x)) == (None, None, [("RELU", 0)])


def test_setting_an_output_frees_the_old_tensor():
    graph, (_, a, _, _), (relu, *_) = chain()
    new = Tensor("new", [2])
    graph.set_output(relu, 0, new)
    assert (new.producer, a.producer) == (relu, None)
    with pytest.raises(ModelError, match="Tensor 'b' already has a producer <TANH 'b'>"):
        graph.set_output(relu, 0, graph.find("b"))


def test_an_op_cannot_write_what_another_writes():
    graph, (x, a, *_), _ = chain()
    with pytest.raises(ModelError, match="Tensor 'a' already has a producer <RELU 'a'>"):
        graph.append(Op("ABS", [x], [a]))
    assert len(graph.ops) == 3


def test_keys_are_unique_and_stable_after_writing():
    model = models.two_inputs_net()
    for tensor in model.main.tensors()[:3]:
        tensor.name = "same"
    keys = list(model.main.keys().values())
    assert keys[:3] == ["same", "same#2", "same#3"]
    assert len(set(keys)) == len(keys)
    assert list(read_model(serialize(model)).main.keys().values()) == keys


def test_find_gives_the_first_of_a_name_or_names_the_graph():
    graph, (_, a, *_), _ = chain()
    assert graph.find("a") is a
    with pytest.raises(ModelError, match="graph 'main' has no tensor named 'z'"):
        graph.find("z")


def test_the_size_of_a_huge_shape_does_not_overflow():
    assert Tensor("t", [2**31 - 1] * 4).size == (2**31 - 1) ** 4
    assert Tensor("scalar", []).size == 1


def test_constants_are_those_with_data():
    names = {t.name for t in models.conv_net().main.tensors() if t.is_constant}
    assert {"conv_0/filter", "dense_3/bias", "spatial axes"} <= names
    assert "image" not in names


def test_dropping_loose_tensors_forgets_them():
    graph, *_ = chain()
    graph.loose = [Tensor("left over", [1])]
    assert len(graph.tensors()) == 5
    graph.drop_loose()
    assert len(graph.tensors()) == 4


def break_order(graph: Graph, _: list[Op]) -> None:
    graph.ops.reverse()


def break_consumers(graph: Graph, _: list[Op]) -> None:
    graph.find("a").consumers.pop()


def break_reader(graph: Graph, ops: list[Op]) -> None:
    ops[1].inputs[0] = graph.find("x")


def break_producer(graph: Graph, ops: list[Op]) -> None:
    graph.find("b").producer = ops[0]


def break_membership(graph: Graph, ops: list[Op]) -> None:
    graph.ops.remove(ops[0])


def break_output(graph: Graph, _: list[Op]) -> None:
    graph.outputs.append(Tensor("nowhere", [1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_order, "before it is written"),
        (break_consumers, "does not list it as a consumer"),
        (break_reader, "which does not read it"),
        (break_producer, "whose producer is <RELU 'a'>"),
        (break_membership, "as a consumer, which does not read it"),
        (break_output, "Output 'nowhere' of graph 'main' is never written"),
    ],
)
def test_validate_names_a_broken_rule(damage: Any, message: str):
    graph, _, ops = chain()
    damage(graph, ops)
    with pytest.raises(ModelError, match=message):
        graph.validate()


def test_validate_names_a_signature_of_foreign_tensors():
    graph, *_ = chain()
    signature = Signature("serve", {"x": Tensor("x", [2])}, {})
    with pytest.raises(ModelError, match="Signature 'serve' maps 'x' to a foreign tensor"):
        Model([graph], [signature]).validate()


edits = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=25)


@settings(max_examples=30, deadline=None)
@given(edits)
def test_any_row_of_edits_keeps_the_links(steps: list[tuple[int, int, int]]):
    """Each edit is a verb of the graph, applied where it keeps the order of execution."""
    graph = models.residual_net().main
    for verb, first, second in steps:
        op = graph.ops[first % len(graph.ops)]
        position = graph.ops.index(op)
        earlier = [*graph.inputs, *(t for o in graph.ops[:position] for t in o.outputs)]
        source = earlier[second % len(earlier)]
        if verb == 0:
            graph.set_input(op, second % len(op.inputs), source)
        elif verb == 1:
            graph.insert_before(op, Op("ABS", [source], [Tensor("new", source.shape)]))
        elif verb == 2:
            graph.insert_after(op, Op("ADD", [source, op.outputs[0]], [Tensor("new", source.shape)]))
        elif verb == 3 and len(graph.ops) > 1:
            graph.replace_uses(op.outputs[0], source)
            graph.remove(op)
        elif verb == 4:
            old = op.outputs[0]
            graph.set_output(op, 0, Tensor("new", old.shape))
            graph.replace_uses(old, op.outputs[0])
        else:
            graph.set_input(op, len(op.inputs), None)
        graph.validate()
    assert [op for op in graph.ops if op.graph is not graph] == []
    again = read_model(serialize(Model([graph]))).main
    assert [op.kind for op in again.ops] == [op.kind for op in graph.ops]
