"""A search in MLflow and TensorBoard; the real packages run with ``make test-integrations``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

import tightfit
from support.sample_reports import build
from tightfit.cli.app import app
from tightfit.tracking.records import Record, report_record
from tightfit.tracking.tensorboard_events import log_tensorboard

pytestmark = pytest.mark.filterwarnings("default")  # of the packages


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    build().write(tmp_path / "out" / "report.json")
    (tmp_path / "out" / "best.tflite").write_bytes(b"file")
    return tmp_path / "out"


def test_a_report_becomes_parameters_metrics_and_one_part_for_each_candidate(folder):
    record = report_record(replace(build(), folder=str(folder)), "run")
    assert record.params["chosen"] == "int8+round"
    assert record.metrics["meets_budget"] == 1.0
    assert record.metrics["latency_p95_ms"] > record.metrics["latency_p50_ms"]
    assert [file.name for file in record.files] == ["best.tflite", "report.json"]
    assert len(record.parts) == 10, "one failed"
    assert "| → | int8+round |" in record.text


def test_no_tracker_is_refused_and_a_missing_package_is_named(folder, monkeypatch):
    with pytest.raises(
        tightfit.OptionError, match=r"expected mlflow='EXPERIMENT', tensorboard='DIR', or both"
    ):
        tightfit.track(folder)
    for name in ("mlflow", "tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tightfit.OptionError, match=r"pip install 'tightfit\[mlflow\]'"):
        tightfit.track(folder, mlflow="x")
    with pytest.raises(tightfit.OptionError, match=r"pip install 'tightfit\[tensorboard\]'"):
        tightfit.track(folder, tensorboard=folder)


def test_mlflow_has_the_search_and_its_candidates_in_a_folder(folder, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: the extra 'mlflow'")
    uri = f"file:{tmp_path / 'mlruns'}"
    words = ["track", str(folder), "--mlflow", "nets", "--tracking-uri", uri, "--name", "first", "--json"]
    done = CliRunner().invoke(app, words, standalone_mode=False)
    assert done.exception is None, done.output
    number = json.loads(done.stdout)["mlflow_run"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(number)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params["model"] == "efficientnet_lite0.tflite"
    assert run.data.metrics["size_bytes"] == 5_313_000
    assert {file.path for file in client.list_artifacts(number)} >= {"best.tflite", "candidates.md"}
    inside = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{number}'")
    assert {r.info.run_name for r in inside} == {c.name for c in build().candidates if c.failure is None}


def test_mlflow_refuses_in_one_sentence(folder, tmp_path):
    pytest.importorskip("mlflow", reason="needs mlflow: the extra 'mlflow'")
    (tmp_path / "file").write_text("")
    with pytest.raises(tightfit.OptionError, match=r"MLflow refused the run: .* Give another tracking_uri"):
        tightfit.track(folder, mlflow="nets", tracking_uri="unknown-scheme://server")


def test_tensorboard_reads_scalars_epochs_text_and_candidates(folder, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra 'tensorboard'"
    )
    found = tightfit.track(folder, tensorboard=tmp_path / "runs", name="a/b")
    assert found.tensorboard == tmp_path / "runs" / "a_b"
    read = accumulator.EventAccumulator(str(found.tensorboard)).Reload()
    assert read.Scalars("size_bytes")[0].value == 5_313_000
    assert "int8+round" in read.Tensors("candidates")[0].tensor_proto.string_val[0].decode()
    part = accumulator.EventAccumulator(str(found.tensorboard / "int8+round")).Reload()
    assert "_hparams_/session_start_info" in part.summary_metadata
    trained = Record("t", history=[{"loss": 2.0}, {"loss": 1.0}])
    read = accumulator.EventAccumulator(str(log_tensorboard(trained, tmp_path))).Reload()
    assert [(s.step, s.value) for s in read.Scalars("loss")] == [(0, 2.0), (1, 1.0)]
