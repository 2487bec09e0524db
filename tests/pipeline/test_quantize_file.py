"""From file to file: all schemes on small models, bad input, layouts that fail, and nothing half written."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import tightfit
from support.models import Builder, conv_net, random_inputs, residual_net
from support.quantizing import lstm_net, transformer_net
from tightfit.errors import DataError, ModelError, OptionError, RuntimeFailureError
from tightfit.graph.ir import Graph, Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline import write as writing
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import write_plan
from tightfit.provenance.record import LEAST_BYTES
from tightfit.quantization import layouts
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import Calibration, calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.layouts import LAYOUTS, REWRITES, Rewrite
from tightfit.quantization.plan import INTEGER, Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES
from tightfit.runtime.child import process

DEMO = Path(tightfit.__file__).parent / "demo" / "model.tflite"
LEAST_DB = {
    "float16": 50.0, "weight8": 35.0, "weight4": 8.0, "dynamic": 35.0, "int8": 25.0, "int16x8": 40.0,
    "int8x4": 8.0,
}  # fmt: skip
NETS = {"residual": residual_net, "transformer": transformer_net}


def samples_of(model: Model, count: int = 8) -> list[dict[str, np.ndarray]]:
    """Normal values; token ids below 100."""
    rng = np.random.default_rng(0)
    drawn = [random_inputs(model, seed) for seed in range(count)]
    return [
        {
            n: v if v.dtype == np.float32 else rng.integers(0, 100, v.shape).astype(v.dtype)
            for n, v in s.items()
        }
        for s in drawn
    ]


@pytest.fixture
def source(tmp_path):
    """The path of a small convolutional model."""
    write_model(conv_net(), tmp_path / "float.tflite")
    return tmp_path / "float.tflite"


@pytest.fixture(autouse=True)
def one_calibrating_process(monkeypatch):
    """Enough for small models, and half the work of starting them."""
    monkeypatch.setattr(process, "MOST_WORKERS", 1)


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    for name, make in NETS.items():
        write_model(make(), folder / f"{name}.tflite")
    return folder


@functools.cache
def prepared(path: Path) -> tuple[Source, Calibration]:
    """A model that is read and calibrated once for all schemes."""
    source = open_source(path)
    samples = demo_samples() if path == DEMO else samples_of(source.model)
    return source, calibrate(source.model, samples, workers=1)


def demo_samples() -> list[dict[str, np.ndarray]]:
    images = np.load(DEMO.with_name("images.npz"))["x_calibration"][:8]
    return [{"image": image.reshape(1, 28, 28, 1).astype(np.float32) / 255} for image in images]


def make_file(path: Path, scheme: str, output: Path) -> QuantizationResult:
    source, seen = prepared(path)
    made = make_plan(source.model, scheme, Ranges([seen.statistics]))
    return write_plan(source, made, output, probes=seen.probes)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("net", NETS)
def test_a_file_comes_out_that_computes_the_same(nets, tmp_path, net, scheme):
    path = nets / f"{net}.tflite"
    written = make_file(path, scheme, tmp_path / "out.tflite")
    assert written.snr_db > LEAST_DB[scheme]
    refused = {op.kind for op in written.plan.refusals()}
    assert refused <= {"SQUARED_DIFFERENCE", "EMBEDDING_LOOKUP"}, "no int16 kernel, or none that is worth it"
    if SCHEMES[scheme].needs_data:
        assert written.plan.counts()[INTEGER] >= len(NETS[net]().main.ops) - len(refused)
    provenance = LEAST_BYTES + 128  # and its entry in the tables
    assert (tmp_path / "out.tflite").stat().st_size < path.stat().st_size * 1.2 + provenance
    assert list(tmp_path.iterdir()) == [tmp_path / "out.tflite"]
    assert b"min_runtime_version" in (tmp_path / "out.tflite").read_bytes()


@pytest.mark.skipif(not DEMO.is_file(), reason="the embedded demo model is not part of this tree")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_demo_model_keeps_its_size_promise(tmp_path, scheme):
    assert make_file(DEMO, scheme, tmp_path / "out.tflite").snr_db > LEAST_DB[scheme]
    ratio = (tmp_path / "out.tflite").stat().st_size / DEMO.stat().st_size
    assert ratio < (0.56 if scheme == "float16" else 0.4)


@pytest.mark.parametrize("scheme", ["float16", "int8"])
def test_one_call_does_it_from_file_to_file(nets, tmp_path, scheme):
    given = (s for s in samples_of(transformer_net())) if scheme == "int8" else None
    written = quantize_file(nets / "transformer.tflite", scheme, tmp_path / "out.tflite", given)
    assert written.path == tmp_path / "out.tflite"
    assert written.snr_db > LEAST_DB[scheme]


# -- samples ---------------------------------------------------------------------------------------


def test_one_sample_is_enough_and_the_result_opens_as_a_source_with_its_own_scales(source, tmp_path):
    before = source.read_bytes()
    written = quantize_file(source, "int8", tmp_path / "out.tflite", samples_of(conv_net(), 1))
    assert written.snr_db > 15
    assert source.read_bytes() == before, "an input is never changed"
    again = open_source(tmp_path / "out.tflite")
    assert again.start is not None
    assert again.start.plan.scheme.name == "int8"
    assert all(t.dtype == "float32" for op in again.model.main.ops for t in op.outputs)


def test_samples_may_come_from_a_generator_that_fills_one_array(source):
    model = open_source(source).model
    buffer = np.zeros((1, 16, 16, 3), np.float32)

    def refilled():
        for sample in samples_of(model, 5):
            buffer[:] = sample["image"]
            yield {"image": buffer}

    reused = calibrate(model, refilled(), workers=2)
    fresh = calibrate(model, samples_of(model, 5), workers=1)
    assert (reused.samples, len(reused.probes)) == (5, 2)
    for key, statistics in fresh.statistics.items():
        other = reused.statistics[key]
        assert (statistics.low, statistics.high) == (other.low, other.high)
        np.testing.assert_array_equal(statistics.histogram()[0], other.histogram()[0])
    for (x, y), (a, b) in zip(reused.probes, fresh.probes, strict=True):
        np.testing.assert_array_equal(x["image"], a["image"])
        np.testing.assert_array_equal(y["probabilities"], b["probabilities"])


def test_the_number_of_processes_does_not_change_what_is_seen(source):
    model = open_source(source).model
    ticks = []
    one = calibrate(model, samples_of(model, 5), workers=1, progress=lambda: ticks.append(1))
    two = calibrate(model, samples_of(model, 5), workers=2)
    assert len(ticks) == 5
    for key, statistics in two.statistics.items():
        assert (statistics.low, statistics.high) == (one.statistics[key].low, one.statistics[key].high)
        np.testing.assert_array_equal(statistics.histogram()[0], one.statistics[key].histogram()[0])


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_missing_samples_are_refused_before_anything_is_read(tmp_path, scheme):
    with pytest.raises(OptionError, match=f"'{scheme}' needs sample inputs to calibrate with"):
        quantize_file(tmp_path / "absent.tflite", scheme, tmp_path / "out.tflite")


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([], "There is no calibration sample"),
        ([{"picture": np.zeros((1, 16, 16, 3))}], "has the inputs 'picture'; the model takes 'image'"),
        ([{"image": np.array([["a"]])}], "Input 'image'"),
        ({"image": np.zeros((1, 16, 16, 3))}, "is a mapping from input names to arrays; received str"),
        ([np.zeros((1, 16, 16, 3))], "is a mapping from input names to arrays; received ndarray"),
    ],
    ids=["none", "name", "text", "a mapping", "arrays"],
)
def test_samples_that_do_not_fit_are_refused(source, tmp_path, samples, words):
    with pytest.raises(DataError, match=words):
        quantize_file(source, "int8", tmp_path / "out.tflite", samples)
    assert not (tmp_path / "out.tflite").exists()


def test_a_model_with_state_sees_its_samples_in_one_order(tmp_path):
    model = lstm_net(32, 4)
    write_model(model, tmp_path / "lstm.tflite")
    source = open_source(tmp_path / "lstm.tflite")
    seen = calibrate(source.model, samples_of(model, 3), workers=2)
    written = write_plan(
        source, make_plan(source.model, "float16", {}), tmp_path / "out.tflite", probes=seen.probes
    )
    assert written.snr_db > 60, "the probes' outputs depend on the samples before them"


def test_a_model_without_ops_can_be_calibrated():
    b = Builder()
    x = b.input("x", [1, 4])
    model = b.model(x)
    assert calibrate(model, [{"x": np.ones((1, 4), np.float32)}], workers=1).samples == 1


# -- options are checked first ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": "cup"}, "Unknown layout 'cup'.*Did you mean 'cpu'"),
        ({"observers": {"int8": "mean"}}, "Unknown observer 'mean'"),
        ({"overrides": [("nothing", "float")]}, "'nothing' matches no op"),
    ],
)
def test_options_are_checked_before_the_samples_run(source, tmp_path, options, words):
    def untouched():
        raise AssertionError("the samples were read")
        yield {}

    with pytest.raises(OptionError, match=words):
        quantize_file(source, "int8", tmp_path / "out.tflite", untouched(), **options)


def test_the_model_itself_is_no_output(source):
    with pytest.raises(OptionError, match="is the model itself, which is never changed"):
        quantize_file(source, "float16", source.parent / "." / source.name)


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("file/out.tflite", ModelError, "Cannot write '{}'"),
        ("folder", OptionError, "'{}' is a folder, which is not replaced"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(source, tmp_path, place, error, words):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=words.format(tmp_path / place)):
        quantize_file(source, "float16", tmp_path / place)
    assert not list((tmp_path / "folder").iterdir())


# -- layouts that fail -----------------------------------------------------------------------------


def negate_weights(graph: Graph) -> int:
    """A wrong rewrite: it runs, and gives garbage."""
    changed = 0
    for op in graph.ops:
        if op.kind == "CONV_2D":
            weights = op.inputs[1]
            weights.data = -weights.data
            changed += 1
    return changed


def shorten_every_bias(graph: Graph) -> int:
    """A wrong rewrite: LiteRT refuses a short bias of a depthwise convolution."""
    biases = {op.inputs[2] for op in graph.ops if op.kind == "DEPTHWISE_CONV_2D"}
    for bias in biases:
        bias.data, bias.dtype = bias.data.astype(np.int32), "int32"
    return len(biases)


def layout_of(monkeypatch, *rewrites) -> None:
    """Makes these the first layouts of the CPU, in this order, before the plain one."""
    names = [rewrite.__name__ for rewrite in rewrites]
    for rewrite in rewrites:
        monkeypatch.setitem(REWRITES, rewrite.__name__, Rewrite(rewrite.__name__, rewrite, "none"))
    monkeypatch.setitem(LAYOUTS, "cpu", (*((name,) for name in names), ()))


def test_a_layout_that_gives_garbage_falls_back(monkeypatch, source, tmp_path):
    layout_of(monkeypatch, negate_weights)
    written = quantize_file(source, "int8", tmp_path / "out.tflite", samples_of(conv_net(), 2))
    assert written.layout == {}
    assert written.snr_db > 15
    (note,) = [note for note in written.notes if note.startswith("layout")]
    assert note.startswith("layout negate_weights was given up: its signal-to-noise is ")


def test_a_layout_that_litert_refuses_falls_back_to_the_next(monkeypatch, nets, tmp_path):
    layout_of(monkeypatch, shorten_every_bias, layouts.float_islands)
    written = quantize_file(
        nets / "residual.tflite", "int16x8", tmp_path / "out.tflite", samples_of(residual_net(), 2)
    )
    assert written.layout == {"float_islands": 6}
    assert "layout shorten_every_bias was given up: LiteRT refused" in written.notes[0]


def lengthen_biases(graph: Graph) -> int:
    """Puts right what ``broken_plan`` breaks."""
    biases = {t for op in graph.ops for t in op.inputs if t is not None and t.dtype == "int16"}
    for bias in biases:
        bias.data, bias.dtype = bias.data.astype(np.int32), "int32"
    return len(biases)


def test_a_layout_is_taken_even_where_the_plain_one_does_not_run(monkeypatch, source, tmp_path):
    def broken_plan(model: Model, made: Plan) -> Model:
        twin = apply_plan(model, made)
        bias = twin.main.find("conv_0/bias")
        bias.data, bias.dtype = (bias.data % 1000).astype(np.int16), "int16"
        return twin

    monkeypatch.setattr(writing, "apply_plan", broken_plan)
    layout_of(monkeypatch, lengthen_biases)
    written = quantize_file(source, "int8", tmp_path / "out.tflite", samples_of(conv_net(), 1))
    assert written.layout == {"lengthen_biases": 1}
    assert written.snr_db < 45, "else the plain layout is not even tried"


def test_where_no_layout_runs_nothing_is_written(monkeypatch, nets, tmp_path):
    layout_of(monkeypatch, shorten_every_bias)
    monkeypatch.setitem(LAYOUTS, "cpu", (("shorten_every_bias",),))
    (tmp_path / "out.tflite").write_bytes(b"of an earlier run")
    with pytest.raises(RuntimeFailureError, match=r"LiteRT ran no form of the layout 'cpu' of 'out.tflite'"):
        quantize_file(
            nets / "residual.tflite", "int16x8", tmp_path / "out.tflite", samples_of(residual_net(), 1)
        )
    assert (tmp_path / "out.tflite").read_bytes() == b"of an earlier run"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.tflite"]


def test_a_target_without_rewrites_gets_the_plain_layout(source, tmp_path):
    written = quantize_file(
        source, "int16x8", tmp_path / "out.tflite", samples_of(conv_net(), 1), layout="npu"
    )
    assert written.layout == {}
    assert "int64" in {t.dtype for t in read_model(written.path).main.tensors()}
