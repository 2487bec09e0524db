"""Planted bad ops: explain names the op first, says why, and its first remedy brings the accuracy back."""

from __future__ import annotations

import io
import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from support.colour_model import classifier, pictures
from support.planted_models import loud_channel, loud_weight
from tightfit import demo
from tightfit.api.evaluate import evaluate as accuracy_of
from tightfit.api.parameters.model_inputs import model_inputs
from tightfit.api.quantize import quantize
from tightfit.cli.explain import advice, as_text, short, typed
from tightfit.cli.explain import explain as command
from tightfit.cli.options.shared_options import parse_overrides
from tightfit.data.sample import Sample
from tightfit.data.sources import open_data
from tightfit.diagnosis.explain.attribution import explain
from tightfit.diagnosis.explain.explanation import ExplainRequest, Remedy
from tightfit.diagnosis.explain.file_options import options_of
from tightfit.diagnosis.explain.graph_matching import Pairing
from tightfit.diagnosis.explain.model_explorer import graph_name
from tightfit.diagnosis.explain.op_branches import Branches
from tightfit.diagnosis.explain.own_error import INPUT, own_errors
from tightfit.diagnosis.explain.remedy_trials import RemedyTrials, rank
from tightfit.errors import ModelError
from tightfit.evaluation.accuracy import evaluate
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import serialize, write_model
from tightfit.pipeline.builder import Builder
from tightfit.pipeline.source import open_source
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.scheme import SCHEMES
from tightfit.runtime.session import Session
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target

DEMO = "tightfit.demo:everything"


@pytest.fixture(scope="module")
def colour_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "colours.npz"
    x, y = pictures(200)
    np.savez(path, x=x, y=y)
    return str(path)


@pytest.fixture(scope="module")
def loud_channel_case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channel")
    model, name = loud_channel()
    write_model(model, folder / "float.tflite")
    quantize(
        folder / "float.tflite", "int8", folder / "int8.tflite", data="tightfit.demo:calibration", effort=0
    )
    files = folder / "float.tflite", folder / "int8.tflite"
    request = ExplainRequest(*files, DEMO, calibration=60, evaluation=48, output=folder / "fixed.tflite")
    return request, name, explain(request)


@pytest.fixture(scope="module")
def loud_weight_case(tmp_path_factory, colour_data):
    folder = tmp_path_factory.mktemp("weight")
    model, name = loud_weight()
    write_model(model, folder / "float.tflite")
    quantize(folder / "float.tflite", "int8", folder / "int8.tflite", data=colour_data, effort=0)
    request = ExplainRequest(folder / "float.tflite", folder / "int8.tflite", colour_data)
    return request, name, explain(request)


@pytest.fixture(params=["loud_channel_case", "loud_weight_case"])
def planted(request):
    return request.getfixturevalue(request.param)


def test_the_planted_op_comes_first(planted):
    _, name, found = planted
    assert found.ops[0].name == name
    assert found.ops[0].effect_db < found.ops[1].effect_db - 6


def test_the_planted_op_costs_accuracy_and_a_remedy_says_so(planted):
    _, name, found = planted
    assert found.accuracy.drop > 0.15
    best = found.remedies[0]
    assert best.op == name
    assert best.helps
    assert best.gain_db > 6
    assert best.drop < 0.03


def test_the_remedy_applied_by_quantize_brings_the_accuracy_back(planted, tmp_path):
    request, _, found = planted
    best = next(r for r in found.remedies if r.helps and r.options)
    words = [w for w in _split(best.options) if w != "--override"]
    quantize(request.model, found.scheme, tmp_path / "fixed.tflite", data=request.data,
             overrides=parse_overrides(tuple(words)), effort=0)  # fmt: skip
    models = [request.model, request.file, tmp_path / "fixed.tflite"]
    _, spoilt, fixed = accuracy_of(models, request.data, limit=120)
    assert spoilt.drop > 0.15
    assert fixed.drop <= 0.03


def _split(options):
    return shlex.split(options)


def test_remedies_start_from_the_mix_that_the_file_was_made_with(tmp_path):
    big = [op for op in read_model(demo.MODEL).main.ops if op.kind == "CONV_2D" and op.input(1).size >= 16384]
    file = tmp_path / "mixed.tflite"
    quantize(demo.MODEL, "int8x4", file, data="tightfit.demo:calibration",
             overrides=parse_overrides((f"{big[0].name}=int8",)))  # fmt: skip
    source = open_source(demo.MODEL)
    name = next(iter(input_names(source.model)))
    samples = [{name: x} for x, _ in demo.calibration()][:4]
    seen = calibrate(source.model, samples, workers=1)
    trials = RemedyTrials(Builder(source, lambda: iter(samples), seen=seen), SCHEMES["int8x4"], tmp_path)
    trials.adopt_overrides(Pairing(source.model, read_model(file)))
    assert len(big) > 1
    assert trials.present == ((big[0].name, "int8"),)


def test_a_loud_channel_is_named_as_the_cause(loud_channel_case):
    _, _, found = loud_channel_case
    causes = {c.kind: c for c in found.ops[0].causes}
    assert causes["split"].numbers["result_share"] > 0.5
    assert causes["channels"].numbers["channel"] == 5
    assert causes["channels"].numbers["ratio"] > 100
    assert "share one scale" in causes["channels"].words


def test_a_loud_weight_is_named_as_the_cause(loud_weight_case):
    _, _, found = loud_weight_case
    causes = {c.kind: c for c in found.ops[0].causes}
    assert causes["split"].numbers["weights_share"] > 0.9
    assert causes["weight_outliers"].numbers["ratio"] > 100


def test_the_best_remedy_is_written_where_it_was_asked_for(loud_channel_case):
    request, _, found = loud_channel_case
    dataset = open_data(DEMO, image=None, inputs=model_inputs(request.model))
    _, fixed = evaluate([request.model, request.output], dataset, range(1000, 1100))
    assert fixed.drop <= 0.03
    assert found.remedies[0].helps
    assert f"'{request.output}' was written: {found.remedies[0].title}." in found.notes


def test_the_given_files_are_not_changed_and_a_good_file_gets_no_miracles(tmp_path, colour_data):
    write_model(classifier(), tmp_path / "float.tflite")
    quantize(tmp_path / "float.tflite", "int8", tmp_path / "int8.tflite", data=colour_data, effort=0)
    before = [(tmp_path / n).read_bytes() for n in ("float.tflite", "int8.tflite")]
    found = explain(ExplainRequest(tmp_path / "float.tflite", tmp_path / "int8.tflite", colour_data))
    assert [(tmp_path / n).read_bytes() for n in ("float.tflite", "int8.tflite")] == before
    assert found.accuracy.drop <= 0.02
    assert all(r.drop <= 0.05 for r in found.remedies if r.failure is None)
    kinds = {"again", "observer", "bias", "rounding", "slices", "wider", "float"}
    assert {r.kind for r in found.remedies} == kinds


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "dynamic", "weight8", "float16"])
def test_own_errors_of_every_scheme_are_those_of_the_kernels(scheme, tmp_path, colour_data):
    write_model(classifier(), tmp_path / "f.tflite")
    quantize(tmp_path / "f.tflite", scheme, tmp_path / "q.tflite", data=colour_data, effort=0)
    pairing = Pairing(open_source(tmp_path / "f.tflite").model, read_model(tmp_path / "q.tflite"))
    x, _ = pictures(4)
    own = {e.name: e for e in own_errors(pairing, [Sample({"image": i[None]}) for i in x])}
    assert {"hidden", "scores"} <= set(own)
    low = {"int8": 25, "dynamic": 25, "weight8": 30, "float16": 55, "int16x8": 30}[scheme]
    assert all(e.snr_db > low for e in own.values())
    assert ("image" in own) == (scheme in ("int8", "int16x8"))
    assert all(own["image"].kind == INPUT for _ in own if "image" in own)


def test_the_error_of_an_op_alone_is_what_the_int8_kernel_makes_of_rounded_inputs(tmp_path, colour_data):
    write_model(classifier(), tmp_path / "f.tflite")
    quantize(tmp_path / "f.tflite", "int8", tmp_path / "q.tflite", data=colour_data, effort=0)
    source, file = open_source(tmp_path / "f.tflite"), read_model(tmp_path / "q.tflite")
    pairing = Pairing(source.model, file)
    x, _ = pictures(1)
    hidden = next(op for op in source.model.main.ops if op.name == "hidden")
    (error,) = own_errors(pairing, [Sample({"image": x})], only=["hidden"])
    stored = pairing.twin(hidden)
    steps = stored.inputs[0].quantization
    q = np.clip(np.rint(x.reshape(1, -1) / steps.scale) + steps.zero_point, -128, 127)
    exact_in = dequantize(q, steps.scale, steps.zero_point)
    w, b = hidden.inputs[1].data, hidden.inputs[2].data
    reference = np.maximum(exact_in @ w.T + b, 0)
    weights = stored.inputs[1]
    wq = weights.data.astype(np.float64) * np.reshape(weights.quantization.scale, (-1, 1))
    out = stored.outputs[0].quantization
    real = np.maximum(exact_in @ wq.T + b, 0)
    real = (np.clip(np.rint(real / out.scale) + out.zero_point, -128, 127) - out.zero_point) * out.scale
    value = np.maximum(x.reshape(1, -1) @ w.T + b, 0)
    expected = 10 * np.log10((value**2).sum() / ((real - reference) ** 2).sum())
    # The kernel rounds the bias and the product's multiplier: up to one step in a few of the 24 results.
    assert error.snr_db == pytest.approx(expected, abs=1.5)


def test_without_changes_the_model_of_branches_answers_like_the_float_model():
    source = open_source(demo.MODEL)
    twin = Branches(Pairing(source.model, source.model)).model
    sample = {"image": next(demo.evaluation())[0]}
    with Session(demo.MODEL) as a, Session(serialize(twin)) as b:
        first, second = a.run({a.inputs[0].name: sample["image"]}), b.run({b.inputs[0].name: sample["image"]})
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_file_of_another_model_is_refused(tmp_path, colour_data):
    write_model(classifier(), tmp_path / "float.tflite")
    with pytest.raises(ModelError, match="no op in common"):
        explain(ExplainRequest(tmp_path / "float.tflite", demo.MODEL, colour_data))


def test_remedies_are_ranked_by_gain_then_by_what_they_cost():
    cheap = Remedy("wider", "cheap", "", "", snr_db=30.0, int8_share=0.9, helps=True)
    dear = Remedy("float", "dear", "", "", snr_db=32.0, int8_share=0.2, helps=True)
    weak = Remedy("observer", "weak", "", "", snr_db=12.0, int8_share=1.0, helps=True)
    broken = Remedy("rounding", "broken", "", "", failure="no")
    assert [r.title for r in rank([broken, weak, dear, cheap])] == ["cheap", "dear", "weak", "broken"]


def test_the_overlay_names_the_files_tensors_and_the_worst_op_is_the_reddest(loud_channel_case):
    request, name, found = loud_channel_case
    data = json.loads(found.overlay)
    file = read_model(request.file)
    (graph,) = data
    assert graph == graph_name(file)
    tensors = {t.name for op in file.main.ops for t in op.outputs}
    results = data[graph]["results"]
    assert set(results) <= tensors
    assert all(isinstance(r["value"], float) for r in results.values())
    assert {g["stop"] for g in data[graph]["gradient"]} >= {0, 1}
    assert name in results


def test_the_command_prints_json_and_words_and_writes_the_overlay(tmp_path, loud_weight_case):
    request, name, _ = loud_weight_case
    arguments = [str(request.model), str(request.file), "--data", request.data, "--no-remedies"]
    overlay = tmp_path / "overlay.json"
    result = CliRunner().invoke(
        command, [*arguments, "--json", "--overlay", str(overlay)], standalone_mode=False
    )
    document = json.loads(result.stdout)
    assert document["ops"][0]["name"] == name
    assert document["remedies"] == []
    assert json.loads(overlay.read_text()) == document["overlay"]
    words = CliRunner().invoke(command, arguments, standalone_mode=False).output
    assert name in words
    assert "comes from rounding its weights" in words


def test_the_printed_command_reads_images_as_explain_did(loud_channel_case):
    _, _, found = loud_channel_case
    command = advice(found, typed(data="a b", image="mean=127,std=128"))[-1].plain
    assert f"{found.scheme} --data 'a b' --image mean=127,std=128 --" in command


def test_the_printed_command_keeps_the_target_and_the_ends_of_the_file(tmp_path, loud_channel_case):
    request, _, found = loud_channel_case
    assert "--io" not in advice(found, "")[-1].plain
    file, samples = tmp_path / "ends.tflite", "tightfit.demo:calibration"
    quantize(request.model, "int8", file, data=samples, target="micro", io="int8", effort=0, doctor=False)
    made_with = options_of(read_model(file)).words()
    assert made_with == "--target micro --io int8"
    assert f" {made_with} " in advice(replace(found, made_with=made_with), "")[-1].plain


@pytest.mark.parametrize(("target", "io"), [("micro", "int8"), ("edge-tpu", "uint8")])
def test_remedies_keep_the_target_and_the_ends_of_the_file(target, io, tmp_path, loud_channel_case):
    request, _, _ = loud_channel_case
    file, better = tmp_path / "device.tflite", tmp_path / "better.tflite"
    made = {"target": target, "io": io, "effort": 0, "doctor": False}
    quantize(request.model, "int8", file, data="tightfit.demo:calibration", **made)
    found = explain(replace(request, file=file, output=better))
    floats = [r for r in found.remedies if r.kind == "float"]
    if target == "edge-tpu":  # an 8-bit scale holds no loud channel, and it computes nothing else
        assert all(f"'{target}' does not take it" in r.failure for r in floats)
        assert not better.exists()
    else:
        assert found.remedies[0].helps
        assert options_of(read_model(better)) == options_of(read_model(file))
        assert check(read_model(better), find_target(target)).runs


def test_swapped_files_are_named(tmp_path, loud_channel_case):
    request, _, _ = loud_channel_case
    other = tmp_path / "float.keras"
    other.write_bytes(b"PK of another format")
    for model in (request.model, other):
        with pytest.raises(ModelError, match="swap the two"):
            explain(replace(request, model=request.file, file=model))


def test_a_gain_that_rounds_to_zero_has_no_sign(loud_channel_case):
    _, _, found = loud_channel_case
    small = replace(found.remedies[0], failure=None, gain_db=-0.01, snr_db=-0.26, drop=None)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(as_text(replace(found, remedies=[small]), ""))
    words = console.export_text()
    assert "-0.0" not in words
    assert "\u22120.3" in words


def test_names_of_fused_ops_are_shortened_to_their_first_part():
    assert short("a/relu;a/add;a/conv") == "a/relu"
