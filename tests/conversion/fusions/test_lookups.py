"""Tables that are looked up: checked look-ups become plain ones, and every scheme stores their rows small."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.fusions.lookups import fuse_lookups, look_up_rows
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize, write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.runtime.session import Session

ROWS, WIDTH = 400, 32
SHARES = {"float16": 0.55, "weight8": 0.35, "dynamic": 0.35, "int8": 0.35, "int16x8": 0.35, "weight4": 0.25}


def constant(values, dtype):
    data = np.asarray(values, dtype)
    return Tensor(f"c{data.size}", data.shape, data.dtype.name, data)


def table():
    return constant(np.random.default_rng(0).normal(0, 1, (ROWS, WIDTH)), np.float32)


def checked_lookup(last=ROWS - 1, other=np.nan):
    """x → wrap negative indices → GATHER_ND → NaN outside of the table, as JAX writes it."""
    graph = Graph()
    x = Tensor("x", (1, 6), "int32")

    def op(kind, inputs, shape, dtype, **options):
        result = Tensor(f"{kind}{len(graph.ops)}", shape, dtype)
        table_of = {"ADD": "AddOptions", "REDUCE_ALL": "ReducerOptions"}.get(kind)
        graph.append(Op(kind, inputs, [result], options, table_of))
        return result

    zero, rows = constant(0, np.int32), constant(ROWS, np.int32)
    below = op("LESS", [x, zero], (1, 6), "bool")
    wrapped = op("SELECT_V2", [below, op("ADD", [x, rows], (1, 6), "int32"), x], (1, 6), "int32")
    ids = op("RESHAPE", [wrapped, constant([1, 6, 1], np.int32)], (1, 6, 1), "int32")
    low = op("GREATER_EQUAL", [ids, zero], (1, 6, 1), "bool")
    high = op("LESS_EQUAL", [ids, constant(last, np.int32)], (1, 6, 1), "bool")
    both = op("LOGICAL_AND", [low, high], (1, 6, 1), "bool")
    inside = op("REDUCE_ALL", [both, constant([2], np.int32)], (1, 6), "bool")
    inside = op("RESHAPE", [inside, constant([1, 6, 1], np.int32)], (1, 6, 1), "bool")
    found = op("GATHER_ND", [table(), ids], (1, 6, WIDTH), "float32")
    y = op("SELECT_V2", [inside, found, constant(other, np.float32)], (1, 6, WIDTH), "float32")
    graph.inputs, graph.outputs = [x], [y]
    return Model([graph], [Signature("serving_default", {"x": x}, {"y": y})])


def kinds(model):
    return [op.kind for op in model.main.ops]


def run(model, x):
    with Session(serialize(model)) as session:
        return session.run({"x": x})["y"]


def test_a_checked_lookup_is_a_lookup():
    model = checked_lookup()
    before = copy_model(model)
    assert fuse_lookups(model)
    assert look_up_rows(model)
    model.validate()
    assert kinds(model)[-3:] == ["RESHAPE", "EMBEDDING_LOOKUP", "RESHAPE"]
    x = np.asarray([[0, 1, 5, ROWS - 1, 7, 7]], np.int32)
    np.testing.assert_array_equal(run(model, x), run(before, x))


@pytest.mark.parametrize("options", [{"last": ROWS - 2}, {"other": 0.0}])
def test_a_check_of_another_kind_stays(options):
    model = checked_lookup(**options)
    fuse_lookups(model)
    assert kinds(model)[-1] == "SELECT_V2"


def gather_model(*, tied, axis=0):
    """x → GATHER from a table → MEAN → dense; the table is the dense layer's weights too when tied."""
    graph, rows = Graph(), table()
    x = Tensor("x", (1, 6), "int32")
    found, mean = Tensor("found", (1, 6, WIDTH)), Tensor("mean", (1, WIDTH))
    weights = rows if tied else constant(np.random.default_rng(1).normal(0, 1, (8, WIDTH)), np.float32)
    y = Tensor("y", (1, weights.shape[0]))
    graph.append(Op("GATHER", [rows, x], [found], {"axis": axis}, "GatherOptions"))
    graph.append(Op("MEAN", [found, constant([1], np.int32)], [mean], {}, "ReducerOptions"))
    graph.append(Op("FULLY_CONNECTED", [mean, weights, None], [y], {}, "FullyConnectedOptions"))
    graph.inputs, graph.outputs = [x], [y]
    return Model([graph], [Signature("serving_default", {"x": x}, {"y": y})])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("scheme", SHARES)
def test_every_scheme_stores_the_rows_once_and_small(scheme, tied, tmp_path):
    path = tmp_path / "float.tflite"
    write_model(gather_model(tied=tied), path)
    samples = [{"x": row[None]} for row in np.random.default_rng(2).integers(0, ROWS, (16, 6), np.int32)]
    written = quantize_file(path, scheme, tmp_path / "small.tflite", samples)
    tables = {
        (t.data.__array_interface__["data"][0], t.dtype)
        for op in read_model(written.path).main.ops
        for t in op.inputs
        if t is not None and t.data is not None and t.size == ROWS * WIDTH
    }
    assert len(tables) == 1
    ((_, dtype),) = tables
    assert dtype == {"float16": "float16", "weight4": "int4"}.get(scheme, "int8")
    assert written.snr_db > (10 if scheme == "weight4" else 25)


def test_indices_of_another_axis_stay_a_gather():
    graph = Graph()
    x, y = Tensor("x", (3,), "int32"), Tensor("y", (ROWS, 3))
    graph.append(Op("GATHER", [table(), x], [y], {"axis": 1}, "GatherOptions"))
    graph.inputs, graph.outputs = [x], [y]
    assert look_up_rows(Model([graph])) == []
