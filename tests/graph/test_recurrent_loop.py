"""Recurrent layers as loops, and loops written out turn by turn."""

from __future__ import annotations

import numpy as np
import pytest

from support.recurrent_models import looped_layer, looped_states
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.loop_turns import graph_runs
from tightfit.graph.passes.unrolled_loops import countable_loops, unroll_loops
from tightfit.graph.passes.unrolled_lstm import LONGEST
from tightfit.graph.summary import summary
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session

LAYERS = {
    "GRU": {"resets_after": True, "activation": None},
    "GRU that resets before": {"resets_after": False, "activation": None},
    "RNN": {"resets_after": True, "activation": "TANH"},
    "RNN of RELU": {"resets_after": True, "activation": "RELU"},
    "RNN without activation": {"resets_after": True, "activation": None},
}
FUNCTIONS = {"TANH": np.tanh, "RELU": lambda v: np.maximum(v, 0), None: lambda v: v}


def answers(model, place, x):
    write_model(model, place)
    with Session(place) as session:
        return next(iter(session.run(x).values()))


@pytest.mark.parametrize("name", LAYERS)
def test_loops_compute_the_layer_and_their_written_out_twin_gives_the_same_bits(name, tmp_path):
    kind, cell = name[:3], LAYERS[name]
    model = looped_layer(kind, 67, batch=2, **cell)
    x = np.random.default_rng(0).normal(size=model.main.inputs[0].shape).astype(np.float32)
    found = answers(model, tmp_path / "loops.tflite", {"x": x})
    wanted = looped_states(
        model, x, kind=kind, resets_after=cell["resets_after"], activation=FUNCTIONS[cell["activation"]]
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    twin = copy_model(model)
    assert unroll_loops(twin)
    assert len(twin.graphs) == 1
    twin.main.validate()
    assert "WHILE" not in {op.kind for op in twin.main.ops}
    np.testing.assert_array_equal(answers(twin, tmp_path / "steps.tflite", {"x": x}), found)


def test_multiply_accumulates_count_every_turn():
    model, units = looped_layer("GRU", 67), 4
    assert summary(model)["macs"] == 67 * 3 * units * units
    twin = copy_model(model)
    unroll_loops(twin)
    assert summary(twin)["macs"] == 67 * 3 * units * units


def test_more_turns_than_the_limit_stay_loops():
    model = looped_layer("RNN", LONGEST + 64, activation="TANH")
    assert not countable_loops(model)
    assert unroll_loops(model) == []
    assert sum(op.kind == "WHILE" for op in model.main.ops) == 9


def numbers(name, values):
    data = np.array(values, np.int32)
    return Tensor(name, data.shape, "int32", data)


def counted(turns, *, end=None, rows=3):
    """A loop as TensorFlow writes it: each turn puts x + turn into a row by SLICE and CONCATENATION."""

    def carried(prefix):
        return [
            Tensor(f"{prefix}step", (), "int32"),
            Tensor(f"{prefix}rows", (rows, 2)),
            Tensor(f"{prefix}x", (1, 2)),
        ]

    condition, body, main = Graph("condition"), Graph("body"), Graph()
    condition.inputs = carried("c/")
    bound = numbers("end", turns)
    if end is not None:
        condition.inputs.append(bound := Tensor("c/end", (), "int32"))
    condition.outputs = [Tensor("goes on", (), "bool")]
    condition.append(Op("LESS", [condition.inputs[0], bound], condition.outputs, {}, "LessOptions"))
    body.inputs = carried("b/") + ([Tensor("b/end", (), "int32")] if end is not None else [])
    step, held, x = body.inputs[:3]
    plain, joined = {"fusedActivationFunction": 0}, {"axis": 0, "fusedActivationFunction": 0}
    one, following = Tensor("as list", (1,), "int32"), Tensor("next", (), "int32")
    body.append(Op("RESHAPE", [step, numbers("one", [1])], [one], {"newShape": [1]}, "ReshapeOptions"))
    body.append(Op("ADD", [step, numbers("1", 1)], [following], plain, "AddOptions"))
    size, begin = Tensor("size", (2,), "int32"), Tensor("begin", (2,), "int32")
    body.append(Op("CONCATENATION", [one, numbers("all", [-1])], [size], joined, "ConcatenationOptions"))
    after = Tensor("after", (1,), "int32")
    body.append(Op("ADD", [one, numbers("1b", [1])], [after], plain, "AddOptions"))
    body.append(Op("CONCATENATION", [after, numbers("first", [0])], [begin], joined, "ConcatenationOptions"))
    free = {"shape_signature": (-1, 2)}
    above, below, written = (
        Tensor("above", (1, 2), **free),
        Tensor("below", (1, 2), **free),
        Tensor("new rows", (rows, 2)),
    )
    body.append(Op("SLICE", [held, numbers("zero", [0, 0]), size], [above], {}, "SliceOptions"))
    body.append(Op("SLICE", [held, begin, numbers("rest", [-1, -1])], [below], {}, "SliceOptions"))
    real, value = Tensor("real", ()), Tensor("value", (1, 2))
    body.append(Op("CAST", [step], [real], {"inDataType": 2, "outDataType": 0}, "CastOptions"))
    body.append(Op("ADD", [x, real], [value], plain, "AddOptions"))
    body.append(Op("CONCATENATION", [above, value, below], [written], joined, "ConcatenationOptions"))
    body.outputs = [following, written, x, *body.inputs[3:]]
    main.inputs = [Tensor("x", (1, 2)), *([Tensor("end", (), "int32")] if end is not None else [])]
    results = carried("r/") + ([Tensor("r/end", (), "int32")] if end is not None else [])
    blank = Tensor("blank", (rows, 2), data=np.full((rows, 2), 7, np.float32))
    options = {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    main.append(Op("WHILE", [numbers("zero", 0), blank, *main.inputs], results, options, "WhileOptions"))
    main.outputs = [results[1]]
    return Model([main, condition, body])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rows_that_tensorflow_writes_become_one_concatenation(turns, tmp_path):
    model = counted(turns)
    x = {"x": np.array([[0.5, -1.0]], np.float32)}
    before = answers(copy_model(model), tmp_path / "a.tflite", x)
    assert graph_runs(model) == [1, turns, turns]
    assert unroll_loops(model)
    assert [op.kind for op in model.main.ops if op.kind == "SLICE"] == []
    np.testing.assert_array_equal(answers(model, tmp_path / "b.tflite", x), before)
    assert model.main.outputs[0].name == "r/rows"


def test_a_loop_whose_end_is_an_input_stays():
    model = counted(3, end=True)
    assert unroll_loops(model) == []
    assert graph_runs(model) == [1, 1, 1]


DAMAGED = {
    "a graph that is not there": lambda m: loop_of(m).options.update(bodySubgraphIndex=77),
    "no index": lambda m: loop_of(m).options.clear(),
    "itself": lambda m: loop_of(m).options.update(bodySubgraphIndex=0),
    "an output too few": lambda m: m.graphs[2].outputs.pop(),
    "no condition": lambda m: m.graphs[1].outputs.clear(),
    "a condition of three values": lambda m: m.graphs[1].outputs.__setitem__(0, numbers("three", [1, 0, 1])),
    "a condition of none": lambda m: m.graphs[1].outputs.__setitem__(0, numbers("none", [])),
    "no end": lambda m: m.graphs[2].outputs.__setitem__(0, m.graphs[2].inputs[0]),
    "an absent input": lambda m: m.main.set_input(loop_of(m), 0, None),
}


def loop_of(model):
    return next(op for op in model.main.ops if op.kind == "WHILE")


@pytest.mark.parametrize("name", DAMAGED)
def test_a_loop_that_does_not_fit_its_graphs_counts_once_and_stays(name):
    model = looped_layer("GRU", 5)
    DAMAGED[name](model)
    assert set(graph_runs(model)) == {1}
    assert unroll_loops(model) == []


def test_graphs_that_call_each_other_end():
    model = counted(3)
    options = {"condSubgraphIndex": 1, "bodySubgraphIndex": 0}
    results = [Tensor(f"again{i}", t.shape, t.dtype) for i, t in enumerate(model.graphs[2].outputs)]
    model.graphs[2].append(Op("WHILE", list(model.graphs[2].outputs), results, options, "WhileOptions"))
    assert graph_runs(model)[0] >= 1
