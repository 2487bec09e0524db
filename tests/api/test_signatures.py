"""Each signature of a file is calibrated, measured, inspected and pruned with its own data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from support import two_signatures
from tightfit.api.cluster import cluster
from tightfit.api.doctor import doctor
from tightfit.api.evaluate import evaluate
from tightfit.api.explain import explain
from tightfit.api.finetune import finetune
from tightfit.api.inspect import inspect
from tightfit.api.optimize import optimize
from tightfit.api.parameters.signature_data import keyed_data
from tightfit.api.prune import prune
from tightfit.api.quantize import quantize
from tightfit.api.simulate import simulate
from tightfit.cli.app import app
from tightfit.errors import OptionError
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signature_models import entry_points, join_models, signature_model
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signatures")
    for name, shared in (("shared", True), ("apart", False)):
        write_model(two_signatures.model(shared=shared), folder / f"{name}.tflite")
    encode, decode = two_signatures.data()
    np.savez(folder / "encode.npz", **encode)
    np.savez(folder / "decode.npz", **decode)
    return folder


def keyed(files):
    return {key: files / f"{key}.npz" for key in ("encode", "decode")}


def closeness(before, after, signature, sample):
    with Session(before, signature=signature) as a, Session(after, signature=signature) as b:
        old, new = (next(iter(s.run(sample).values())) for s in (a, b))
    return 10 * np.log10(np.square(old).sum() / np.square(old - new).sum())


@pytest.mark.parametrize("name", ["shared", "apart"])
def test_int8_of_every_signature_is_integer_and_close(files, tmp_path, name):
    path, output = files / f"{name}.tflite", tmp_path / "q.tflite"
    result = quantize(path, "int8", output, data=keyed(files))
    assert result.plan.counts() == {"integer": 5}
    assert {o.name.partition(":")[0] for o in result.outputs} == {"encode", "decode"}
    assert result.samples == 40
    encode, decode = two_signatures.data()
    assert closeness(path, output, "encode", {"x": encode["x"][:1]}) > 25
    assert closeness(path, output, "decode", {"z": decode["z"][:1]}) > 25


def test_weights_that_signatures_share_are_stored_once(files, tmp_path):
    output = tmp_path / "q.tflite"
    quantize(files / "shared.tflite", "int8", output, data=keyed(files), provenance=False)
    model = read_model(output)
    memories = {t.data.ctypes.data for g in model.graphs for t in g.tensors() if t.name.endswith("/w")}
    assert len(memories) == 3


def test_a_signature_without_data_stays_float_and_the_note_names_the_option(files, tmp_path):
    result = quantize(files / "apart.tflite", "int8", tmp_path / "q.tflite", data=files / "encode.npz")
    assert result.plan.counts() == {"integer": 2, "unpacked": 3}
    assert any("--data decode=DATA" in note for note in result.notes)


def test_an_unknown_signature_is_named(files, tmp_path):
    with pytest.raises(OptionError, match=r"Unknown signature 'encod'.*Did you mean 'encode'"):
        quantize(files / "apart.tflite", "int8", tmp_path / "q.tflite", data={"encod": files / "encode.npz"})


def test_pruning_fits_each_layer_to_the_samples_of_its_signature(files, tmp_path):
    path, output = files / "shared.tflite", tmp_path / "p.tflite"
    with_data = prune(path, output, sparsity=0.5, data=keyed(files), provenance=False)
    plain = prune(path, tmp_path / "m.tflite", sparsity=0.5, provenance=False)
    assert set(with_data.signatures) == {"encode", "decode"}
    assert all(layer.error is not None for layer in with_data.layers)
    assert len(with_data.layers) == len(plain.layers) == 3  # of five layers two read the weights of others
    encode, decode = two_signatures.data()
    for key, name, values in (("encode", "x", encode["x"]), ("decode", "z", decode["z"])):
        fitted, magnitude = (
            np.mean([closeness(path, p, key, {name: values[i : i + 1]}) for i in range(4)])
            for p in (output, tmp_path / "m.tflite")
        )
        assert fitted > magnitude


def test_clustering_measures_each_signature(files, tmp_path):
    result = cluster(files / "apart.tflite", tmp_path / "c.tflite", clusters=16, data=keyed(files))
    assert {o.name for o in result.outputs} == {"encode:code", "decode:out"}


def test_evaluate_runs_the_signature_that_is_named(files):
    models = [files / "shared.tflite", files / "apart.tflite"]
    scores = evaluate(models, files / "decode.npz", signature="decode")
    assert scores[1].outputs[0].name == "out"


def test_doctor_explain_and_simulate_look_at_the_signature_that_is_named(files, tmp_path):
    path, output = files / "apart.tflite", tmp_path / "q.tflite"
    quantize(path, "int8", output, data=keyed(files), effort=0)
    decode = files / "decode.npz"
    assert doctor(path, decode, signature="decode") == []
    found = explain(path, output, decode, signature="decode", remedies=False)
    assert found.accuracy.outputs[0].name == "out"
    assert simulate(output, decode, signature="decode", limit=8).largest_steps == 0
    with pytest.raises(OptionError, match="Unknown signature 'decod'"):
        doctor(path, decode, signature="decod")


def test_inspect_shows_the_ends_of_every_signature(files):
    found = {s["key"]: s for s in inspect(files / "shared.tflite")["signatures"]}
    assert found["decode"]["macs"] == 64 * 32 * 2 + 64 * 16
    assert found["encode"]["op_counts"] == {"FULLY_CONNECTED": 2}


def test_the_command_takes_data_for_each_signature(files, tmp_path, capsys):
    words = [f"--data={key}={path}" for key, path in keyed(files).items()]
    output = str(tmp_path / "q.tflite")
    app.main(
        ["quantize", str(files / "apart.tflite"), "int8", *words, "-o", output, "--json"],
        standalone_mode=False,
    )
    facts = json.loads(capsys.readouterr().out)
    assert {o["name"] for o in facts["outputs"]} == {"encode:code", "decode:out"}


def test_several_data_without_signatures_are_refused():
    with pytest.raises(OptionError, match="SIGNATURE=DATA"):
        keyed_data(["a.npz", "encode=b.npz"])


def test_a_graph_that_two_signatures_run_is_joined_once():
    model = two_signatures.model()
    model.graphs.append(type(model.main)("init"))
    for graph in model.graphs[:2]:
        graph.insert(0, Op("CALL_ONCE", [], [], {"initSubgraphIndex": 2}, "CallOnceOptions"))
    model.graphs[2].loose = [Tensor("nothing", (1,))]
    joined = join_models([signature_model(model, key) for key in entry_points(model)])
    joined.validate()
    assert [g.name for g in joined.graphs] == ["enc", "init", "dec"]
    assert [g.ops[0].options["initSubgraphIndex"] for g in (joined.graphs[0], joined.graphs[2])] == [1, 1]


def test_search_of_one_signature_writes_it_alone(files, tmp_path):
    report = optimize(
        files / "apart.tflite", files / "decode.npz", tmp_path / "out", signature="decode", only="dynamic"
    )
    assert report.path is not None
    assert [s.key for s in read_model(report.path).signatures] == ["decode"]
    assert {o["name"] for c in report.candidates[1:] for o in c.outputs} == {"out"}
    assert 'signature = "decode"' in (tmp_path / "out" / "tightfit.toml").read_text()


@pytest.mark.parametrize(("verb", "options"), [(optimize, {}), (finetune, {"scheme": "int8"})])
def test_what_measures_one_signature_refuses_several_without_a_name(files, tmp_path, verb, options):
    with pytest.raises(OptionError, match="signatures encode, decode; expected one"):
        verb(files / "apart.tflite", files / "encode.npz", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_training_of_one_signature_writes_it_alone(files, tmp_path):
    output = tmp_path / "trained.tflite"
    finetune(
        files / "shared.tflite", files / "decode.npz", output, scheme="int8", epochs=1, signature="decode"
    )
    assert [s.key for s in read_model(output).signatures] == ["decode"]
