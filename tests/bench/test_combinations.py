"""The table of combinations is read from files and measured on LiteRT."""

from __future__ import annotations

import json

import numpy as np

from combinations import combinations, combinations_text, write_combinations
from support.models import conv_net
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.evaluation.footprint import footprint
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file


def test_rows_carry_what_the_files_hold(tmp_path):
    write_model(conv_net(), tmp_path / "float.tflite")
    quantize_file(tmp_path / "float.tflite", "weight8", tmp_path / "small.tflite")
    x = np.random.default_rng(0).standard_normal((12, 16, 16, 3)).astype(np.float32)
    np.savez(tmp_path / "set.npz", x=x)
    data = open_data(str(tmp_path / "set.npz"), inputs=[InputSpec("image", (1, 16, 16, 3), "float32")])
    files = {"float": tmp_path / "float.tflite", "weight8": tmp_path / "small.tflite"}
    first, second = rows = combinations(files, data)
    assert (first.accuracy, first.drop, first.metric) == (1.0, 0.0, "agreement")
    assert second.zip_bytes == footprint(files["weight8"]).zip_bytes
    assert second.zip_ratio == second.zip_bytes / first.size_bytes
    assert second.unique <= 255 < first.unique
    write_combinations(rows, tmp_path / "table.json", {"epochs": 3})
    read = json.loads((tmp_path / "table.json").read_text())
    assert read["epochs"] == 3
    assert [r["name"] for r in read["combinations"]] == ["float", "weight8"]
    lines = combinations_text(rows).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines)
