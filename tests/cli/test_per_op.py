"""``benchmark --per-op`` shows where the time of a file goes."""

from __future__ import annotations

import json

from click.testing import CliRunner

from support.models import conv_net
from tightfit.cli.app import app
from tightfit.graph.writer import write_model


def test_the_time_of_each_op_is_shown_slowest_first(tmp_path):
    write_model(conv_net(), tmp_path / "net.tflite")
    words = ["benchmark", str(tmp_path / "net.tflite"), "--rounds", "6", "--seconds", "1", "--per-op"]
    rows = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["models"][0]["ops"]
    assert rows
    assert all(row["mean_ms"] >= 0 and row["kind"] for row in rows)
    shown = CliRunner().invoke(app, words).stdout
    assert "op " in shown
    assert "share" in shown


def test_without_it_no_op_is_timed(tmp_path):
    write_model(conv_net(), tmp_path / "net.tflite")
    words = ["benchmark", str(tmp_path / "net.tflite"), "--rounds", "6", "--seconds", "1", "--json"]
    assert "ops" not in json.loads(CliRunner().invoke(app, words).stdout)["models"][0]
