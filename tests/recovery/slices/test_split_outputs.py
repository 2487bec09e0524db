"""An output in pieces: exact in float, named so that it can be put together, and measured as the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest

from support.head_models import HeadPart, head_model, images
from support.models import NONE, RELU, Builder
from tightfit.api.parameters.model_inputs import model_inputs
from tightfit.data.sources import open_data
from tightfit.evaluation.accuracy import evaluate
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import output_names
from tightfit.graph.split_outputs import KEY, Piece, join_values, pieces_of
from tightfit.graph.writer import serialize, write_model
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder as FileBuilder
from tightfit.pipeline.source import open_source
from tightfit.quantization.scheme import find_scheme
from tightfit.recovery.slices import output_remedies, remedy, remedy_state, slice_trials
from tightfit.recovery.slices.divided_outputs import Spread, find_pieces, split_outputs
from tightfit.runtime.session import Session
from tightfit.streaming.slice_axes import Axis, Part
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.target_planning import scheme_for

BOXES = [HeadPart(4, scale=640.0), HeadPart(3)]


def answer(model, sample):
    file = model if isinstance(model, (str, bytes)) or hasattr(model, "parts") else bytes(serialize(model))
    with Session(file) as session:
        return session.run({session.inputs[0].name: sample})


def packed() -> Model:
    """Three statistics of each step, stacked, of different units; the middle one behind a function."""
    b = Builder(seed=2)
    x = b.dense(b.input("image", [1, 16, 16, 3]), 6)
    y = b.op("RESHAPE", [x, b.constant("s", [1, 256, 6], "int32")], [1, 256, 6], table="ReshapeOptions",
             options={"newShape": [1, 256, 6]})  # fmt: skip
    large = b.op("MUL", [y, b.constant("f", 500.0, "float32")], y.shape, table="MulOptions",
                 options={"fusedActivationFunction": NONE})  # fmt: skip
    middle = b.op("TANH", [y], y.shape)
    return b.model(
        b.op(
            "PACK",
            [large, middle, y],
            [1, 256, 6, 3],
            table="PackOptions",
            options={"valuesCount": 3, "axis": 3},
        )
    )


def rows() -> Model:
    """One dense layer whose rows have three sizes, in turn."""
    b = Builder(seed=3)
    y = b.dense(b.mean(b.conv(b.input("image", [1, 16, 16, 3]), 8)), 6)
    weights = y.producer.inputs[1]
    weights.data = np.asarray(weights.data * np.tile([1.0, 300.0, 0.001], 2)[:, None], np.float32)
    return b.model(y)


CASES = [
    (lambda: head_model(BOXES), 2, 7, [(0, 1, 2, 3), (4, 5, 6)]),
    (lambda: head_model(BOXES, axis=1), 1, 7, [(0, 1, 2, 3), (4, 5, 6)]),
    (packed, 3, 3, [(0,), (1, 2)]),
    (rows, 1, 6, [(0, 3), (1, 4), (2, 5)]),
]


@pytest.mark.parametrize(
    ("make", "axis", "size", "wanted"), CASES, ids=["joined", "turned", "packed", "rows"]
)
def test_a_split_model_answers_the_same_in_pieces(make, axis, size, wanted):
    model = make()
    ((name, _),) = output_names(model).items()
    samples = [next(iter(s.values())) for s in images(6)()]
    answers = {name: [answer(model, s)[name] for s in samples]}
    parts = (Part(0, size, "y"),) if make is rows else tuple(Part(i, i + 1, str(i)) for i in range(size))
    twin, splits = split_outputs(model, {name: Axis(axis, parts)}, answers, 20.0)
    assert [p.entries for p in splits[name]] == wanted
    assert list(output_names(twin)) == [p.name for p in splits[name]]
    found = answer(twin, samples[0])
    assert len(found) == len(wanted)
    joined = join_values(found)[name]
    np.testing.assert_allclose(joined, answers[name][0], rtol=2e-6, atol=1e-6 * np.abs(joined).max())


@pytest.mark.parametrize("options", [{}, {"recovery": ("slices",), "mend": False}])
def test_the_file_for_integers_only_gives_pieces_and_is_measured_as_the_whole(tmp_path, options):
    model = head_model(BOXES)
    write_model(model, tmp_path / "m.tflite")
    target = find_target("edge-tpu")
    spec = BuildSpec(scheme_for(target, "int8"), target=target, layout=target.family.layout, **options)
    made = FileBuilder(open_source(tmp_path / "m.tflite"), images()).build(spec, tmp_path / "o.tflite")
    assert any("given in pieces" in note for note in made.notes), made.notes
    ((name, _),) = output_names(model).items()
    assert [o.name for o in made.outputs] == [name]
    assert made.outputs[0].worst_slice.snr_db > 20
    written = read_model(tmp_path / "o.tflite")
    assert set(output_names(written)) == {f"{name}[2:0-4]", f"{name}[2:4-7]"}
    assert {t.dtype for t in output_names(written).values()} == {"int8"}
    assert check(written, target).accelerated_share == 1
    (entry,) = json.loads(written.metadata[KEY])
    assert entry["output"] == name
    assert [p["entries"] for p in entry["pieces"]] == [[[0, 4]], [[4, 7]]]
    x = np.concatenate([next(iter(s.values())) for s in images(12, seed=5)()])
    np.savez(tmp_path / "x.npz", x=x)
    data = open_data(str(tmp_path / "x.npz"), inputs=model_inputs(tmp_path / "m.tflite"))
    _, found = evaluate([tmp_path / "m.tflite", tmp_path / "o.tflite"], data)
    assert found.failure is None
    assert found.outputs[0].worst_slice.snr_db > 20
    assert found.cosine > 0.999


def test_more_layers_leave_int8_where_pieces_stay_below_the_aim(tmp_path, monkeypatch):
    for module in (remedy, remedy_state, output_remedies, slice_trials):
        monkeypatch.setattr(module, "AIM_DB", 60.0)
    write_model(head_model(BOXES), tmp_path / "m.tflite")
    target = find_target("edge-tpu")
    spec = BuildSpec(scheme_for(target, "int8"), target=target, layout=target.family.layout)
    made = FileBuilder(open_source(tmp_path / "m.tflite"), images()).build(spec, tmp_path / "o.tflite")
    assert len(output_names(read_model(tmp_path / "o.tflite"))) == 2
    assert made.outputs[0].worst_slice.snr_db > 20


def test_without_a_target_the_output_stays_one(tmp_path):
    write_model(head_model(BOXES), tmp_path / "m.tflite")
    spec = BuildSpec(find_scheme("int8"))
    made = FileBuilder(open_source(tmp_path / "m.tflite"), images()).build(spec, tmp_path / "o.tflite")
    assert len(output_names(read_model(tmp_path / "o.tflite"))) == 1
    assert made.outputs[0].worst_slice.snr_db > 20


def test_names_of_pieces_are_read_back_and_others_are_left_alone():
    piece = Piece("a/b", 2, (0, 1, 5))
    assert Piece.parse(piece.name) == piece
    assert Piece.parse("a[0]") is None
    assert Piece.parse("a[1:3-2]") is None
    assert pieces_of(["y[1:0-2]", "z"]) == {}
    assert pieces_of(["y[1:0-2]", "y[1:2-4]", "y"]) == {}


def test_entries_that_no_scale_holds_stay_together():
    low = np.array([100.0, 200.0, 0.0])
    spread = Spread(low, low + 0.1, np.array([0.03, 0.03, 0.03]))
    assert find_pieces([Part(0, 3, "y")], spread, 20.0) == [(0, 1), (2,)]


def sensors() -> Model:
    """A network that normalizes pressure, temperature and height itself."""
    b = Builder(seed=1)
    y = b.input("x", [1, 3])
    for kind, values in (("SUB", [1013, 20, 4e4]), ("MUL", [0.2, 1 / 3, 1e-4])):
        constant = b.constant(kind, np.float32(values), "float32")
        options = {"fusedActivationFunction": NONE}
        y = b.op(kind, [y, constant], y.shape, table=f"{kind.title()}Options", options=options)
    return b.model(b.dense(b.dense(b.dense(y, 64, RELU), 64, RELU), 2))


@pytest.mark.parametrize("name", ["edge-tpu", "ethos-u55-128", "micro"])
def test_columns_of_different_units_are_mended_for_integer_targets(tmp_path, name):
    random, target = np.random.default_rng(7), find_target(name)
    rows = np.stack([random.normal(m, s, 60) for m, s in ((1013, 5), (20, 3), (4e4, 1e4))], -1)
    write_model(sensors(), tmp_path / "m.tflite")
    spec = BuildSpec(scheme_for(target, "int8"), target=target, layout=target.family.layout)
    source, samples = open_source(tmp_path / "m.tflite"), rows.astype(np.float32)
    builder = FileBuilder(source, lambda: ({"x": row[None]} for row in samples))
    made = builder.build(spec, tmp_path / "o.tflite")
    assert made.outputs[0].worst_slice.snr_db > 20, made.notes
    assert not made.unfit
    assert "taken in pieces, each an input" in " ".join(made.notes)
