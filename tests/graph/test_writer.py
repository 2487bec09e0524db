from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the tables that the writer must cover

from support import models
from support.equal import assert_equal
from support.odd_models import ODD_MODELS, packed_model, shared_model
from tightfit.errors import ModelError
from tightfit.graph.format.table_fields import enum_names, to_fields
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize, write_model
from tightfit.runtime.session import Session

PLAIN: dict[str, Callable[[], Model]] = {
    f.__name__: f
    for f in (
        models.conv_net, models.residual_net, models.two_inputs_net, models.two_signatures_model,
        models.loop_model,
    )
}  # fmt: skip
STRINGS = {"name", "callTargetName", "backendConfig", "container", "sharedName"}


def option_tables() -> list[str]:
    unions = enum_names("BuiltinOptions"), enum_names("BuiltinOptions2")
    return [name for union in unions for name in union.values() if name != "NONE"]


def one_op(options: dict[str, Any], table: str) -> Model:
    graph = Graph()
    graph.inputs, graph.outputs = [Tensor("x", [2])], [Tensor("y", [2])]
    graph.append(Op("CUSTOM", graph.inputs, graph.outputs, options, table, version=1))
    return Model([graph])


def other_value(name: str, default: Any) -> Any:
    """A value that is not the default, of the field's kind."""
    if default is None:
        return b"text" if name in STRINGS else [1, 0, 1]
    return not default if isinstance(default, bool) else default + 1


@pytest.mark.parametrize("build", [*PLAIN.values(), *ODD_MODELS.values()])
@pytest.mark.parametrize("external", [False, True])
def test_a_model_survives_writing_and_reading(build: Callable[[], Model], external: bool):
    model = build()
    assert_equal(model, read_model(serialize(model, external=external)))


@pytest.mark.parametrize("build", ODD_MODELS.values())
def test_writing_what_was_read_gives_the_same_bytes(build: Callable[[], Model]):
    once = serialize(build())
    assert serialize(read_model(once)) == once


@pytest.mark.parametrize("table", option_tables())
def test_every_options_table_survives_with_default_and_other_fields(table: str):
    defaults = to_fields(getattr(schema, table + "T")())
    others = {k: other_value(k, v) for k, v in defaults.items()}
    for options in ({}, others):
        model = one_op(dict(options), table)
        again = read_model(serialize(model))
        assert_equal(model, again)
        assert set(again.main.ops[0].options) == set(defaults)


def test_constants_are_aligned_to_16_bytes():
    for external in (False, True):
        data = serialize(models.conv_net(), external=external)
        for tensor in read_model(data).main.tensors():
            if tensor.data is not None:
                raw = np.frombuffer(data, np.uint8)
                place = tensor.data.__array_interface__["data"][0] - raw.__array_interface__["data"][0]
                assert place % 16 == 0, tensor.name


def test_shared_memory_is_stored_once_also_when_it_is_not_contiguous():
    assert len(serialize(shared_model())) < 2 * 4 * 4 * 4 + 2500
    model = shared_model()
    transposed = np.zeros((64, 64), np.float32).T
    for name in ("first", "second"):
        tensor = model.main.find(name)
        tensor.data, tensor.shape = transposed, (64, 64)
    assert len(serialize(model)) < transposed.nbytes + 2500


def test_four_bit_constants_take_half_a_byte():
    model = packed_model()
    for name in ("int4", "uint4"):
        tensor = model.main.find(name)
        tensor.data, tensor.shape = np.zeros(20_000, tensor.data.dtype), (20_000,)
    assert len(serialize(model)) < 2 * 10_000 + 3000


def test_both_places_of_constants_run_alike():
    model = models.residual_net()
    inputs = models.random_inputs(model)
    results = []
    for external in (False, True):
        with Session(serialize(model, external=external)) as session:
            results.append(session.run(inputs)["probabilities"])
    np.testing.assert_array_equal(*results)


def test_a_file_appears_whole_and_nothing_else_beside_it(tmp_path: Path):
    path = tmp_path / "deep" / "model.tflite"
    write_model(models.conv_net(), path)
    assert path.read_bytes() == serialize(models.conv_net())
    assert [p.name for p in path.parent.iterdir()] == ["model.tflite"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    broken = models.conv_net()
    broken.main.ops[0].options["noSuchOption"] = 1
    with pytest.raises(ModelError, match="Conv2DOptions has no option 'noSuchOption'"):
        write_model(broken, path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


def test_an_unwritable_place_is_named(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"Cannot write '.*file/model.tflite': Not a folder: '.*/file'\. Choose"
    ):
        write_model(models.conv_net(), tmp_path / "file" / "model.tflite")


def test_options_without_their_table_are_refused_not_lost():
    model = one_op({"axis": 1}, "PackOptions")
    model.main.ops[0].options_type = None
    with pytest.raises(ModelError, match=r"options \['axis'\], but no options type"):
        serialize(model)


def test_an_unknown_options_table_is_named():
    with pytest.raises(ModelError, match="type 'NoSuchOptions', which the schema lacks"):
        serialize(one_op({}, "NoSuchOptions"))


def test_an_inconsistent_graph_is_not_written():
    model = models.conv_net()
    model.main.ops.reverse()
    with pytest.raises(ModelError, match="before it is written"):
        serialize(model)


def test_equal_zero_points_are_stored_once():
    channels, zeros = 64, np.zeros(64, np.int64)
    model = models.conv_net()
    weights = [t for t in model.main.tensors() if t.is_constant]
    empty = len(serialize(model))
    for i, tensor in enumerate(weights, start=1):
        tensor.quantization = Quantization(np.full(channels, 0.1 * i, np.float32), zeros)
    grown = len(serialize(model)) - empty
    scales, tables = 4 * channels * len(weights), 32 * len(weights)
    assert len(weights) > 2
    assert grown < scales + 8 * channels + tables + 16
    assert_equal(model, read_model(serialize(model)))
