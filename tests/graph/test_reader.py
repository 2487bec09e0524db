from __future__ import annotations

import tracemalloc
from pathlib import Path

import flatbuffers  # noqa: TID251 - files that the writer would not write
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - likewise

from support import models
from support.equal import assert_equal
from support.odd_models import loose_model
from support.places import ROOT
from tightfit.errors import ModelError
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize, write_model
from tightfit.runtime.session import Session

SHARED = sorted((ROOT.parent / "shared" / "models").glob("*.tflite"))
DEMO = ROOT / "src" / "tightfit" / "demo" / "model.tflite"
REAL = [pytest.param(p, marks=pytest.mark.shared, id=p.stem) for p in SHARED] or [
    pytest.param(None, marks=[pytest.mark.shared, pytest.mark.skip("../shared/models is absent")])
]
if DEMO.exists():
    REAL.append(pytest.param(DEMO, id="demo"))


def packed(model: Model) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(serialize(model), 0)


def pack(table: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(table.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("path", REAL)
def test_a_real_model_survives_reading_and_writing(path: Path):
    model = read_model(path)
    again = read_model(serialize(model))
    assert_equal(model, again)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="../shared/models is absent")
@pytest.mark.parametrize("name", ["embedding_model", "face_landmark", "nmp"])
def test_a_rewritten_real_model_gives_the_same_bits(name: str):
    path = next(p for p in SHARED if p.stem == name)
    inputs = models.random_inputs(read_model(path))
    with Session(path) as session:
        expected = session.run(inputs)
    with Session(serialize(read_model(path))) as session:
        received = session.run(inputs)
    assert expected.keys() == received.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(value, received[key])


def test_constants_are_read_only_views_of_the_bytes():
    data = serialize(models.residual_net())
    raw = np.frombuffer(data, np.uint8)
    constants = [t.data for t in read_model(data).main.tensors() if t.data is not None]
    assert constants
    for array in constants:
        assert np.shares_memory(array, raw)
        assert not array.flags.writeable


def test_a_large_file_costs_no_memory_until_it_is_changed(tmp_path: Path):
    model = models.conv_net()
    big = Tensor("big", [64, 2**18], data=np.zeros((64, 2**18), np.float32))
    model.main.loose = [big]
    write_model(model, tmp_path / "big.tflite")
    tracemalloc.start()
    again = read_model(tmp_path / "big.tflite")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again.main.find("big").size == 2**24
    assert peak < 2**24 * 4 / 16  # a copy would take 64 MB


def test_tensors_that_nothing_refers_to_are_kept():
    again = read_model(serialize(loose_model()))
    assert [t.name for t in again.main.loose] == ["left over", "never used"]


def test_links_run_in_both_directions():
    graph = read_model(serialize(models.residual_net())).main
    for op in graph.ops:
        assert op.graph is graph
        assert all(t.producer is op for t in op.outputs)
        assert all(t is None or (op, i) in t.consumers for i, t in enumerate(op.inputs))


def test_old_files_with_the_short_operator_code_are_read():
    table = packed(models.conv_net())
    for code in table.operatorCodes:
        code.builtinCode = 0
    assert [op.kind for op in read_model(pack(table)).main.ops][:2] == ["CONV_2D", "CONV_2D"]


def test_zero_points_that_a_file_leaves_out_are_zeros():
    table = packed(models.conv_net())
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.array([0.5, 0.25], np.float32)
    table.subgraphs[0].tensors[0].quantization = quantization
    read = read_model(pack(table)).main.tensors()[0].quantization
    assert read is not None
    assert read.zero_point.tolist() == [0, 0]
    quantization.zeroPoint = np.array([7], np.int64)
    read = read_model(pack(table)).main.tensors()[0].quantization
    assert read is not None
    assert read.zero_point.tolist() == [7, 7]


def test_a_constant_of_the_wrong_size_is_named_with_both_sizes():
    table = packed(models.conv_net())
    tensor = next(t for t in table.subgraphs[0].tensors if t.name == b"dense_3/bias")
    tensor.shape = np.array([7], np.int32)
    with pytest.raises(ModelError, match=r"'dense_3/bias' holds 5 values, but its shape \[7\] has 7"):
        read_model(pack(table))


def test_a_constant_in_another_file_is_refused_by_name():
    table = packed(models.conv_net())
    table.subgraphs[0].tensors[1].externalBuffer = 1
    with pytest.raises(ModelError, match="is in another file; merge it"):
        read_model(pack(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t, "version", 2), "the schema version is 2, expected 3"),
        (lambda t: setattr(t, "subgraphs", []), "it has no subgraph; expected at least one"),
        (lambda t: setattr(t.operatorCodes[0], "builtinCode", 999), "999, which this version does not know"),
        (lambda t: setattr(t.subgraphs[0].operators[0], "opcodeIndex", 99), "operator code 99 of"),
        (lambda t: setattr(t.subgraphs[0].operators[0], "inputs", [99]), "names tensor 99, but the subgraph"),
        (lambda t: setattr(t.subgraphs[0], "outputs", [-1]), "an output names tensor -1"),
        (lambda t: setattr(t.subgraphs[0].tensors[0], "buffer", 999), "uses buffer 999, but the file has"),
        (
            lambda t: setattr(t.subgraphs[0].tensors[0], "shape", [-4]),
            r"the shape \[-4\]; dimensions must be",
        ),
        (lambda t: setattr(t.signatureDefs[0], "subgraphIndex", 3), "a signature names subgraph 3 of 1"),
        (lambda t: t.subgraphs[0].operators.reverse(), "before it is written"),
        (lambda t: t.subgraphs[0].operators.append(t.subgraphs[0].operators[0]), "already has a producer"),
        (lambda t: setattr(t.buffers[3], "offset", 10**9), r"ends at byte 1000000000, but the file has"),
    ],
)
def test_an_inconsistent_file_is_refused_with_what_is_wrong(change, message: str):
    table = packed(models.conv_net())
    change(table)
    with pytest.raises(ModelError, match=message):
        read_model(pack(table))


def test_a_missing_file_an_empty_one_and_a_folder_are_told_apart(tmp_path: Path):
    (tmp_path / "empty.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match=r"Cannot read the model '.*no.tflite': No such file"):
        read_model(tmp_path / "no.tflite")
    with pytest.raises(ModelError, match=r"'.*empty.tflite' is empty; expected a .tflite model"):
        read_model(tmp_path / "empty.tflite")
    with pytest.raises(ModelError, match=r"' is a folder; expected a .tflite file"):
        read_model(tmp_path)
