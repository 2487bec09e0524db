"""``quantize`` says what a user would not see: nothing in few bits, a larger file, weights without zeros."""

from __future__ import annotations

import numpy as np

from support.models import Builder
from tightfit.api.quantize import quantize
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.sparse_files import write_sparse


def dense(width=48, outputs=48):
    b = Builder(seed=1)
    return b.model(b.dense(b.input("x", [1, width]), outputs))


def test_a_scheme_of_four_bits_says_where_it_stored_none(tmp_path):
    write_model(dense(), tmp_path / "small.tflite")
    notes = quantize(tmp_path / "small.tflite", "weight4", tmp_path / "w4.tflite").notes
    assert any(n.startswith("no weights are stored in 4 bits: fewer than 4096 weights") for n in notes)
    write_model(dense(512, 64), tmp_path / "large.tflite")
    notes = quantize(tmp_path / "large.tflite", "weight4", tmp_path / "w4.tflite").notes
    assert not any("4 bits" in n for n in notes)


def test_a_file_that_grows_says_so_and_by_what(tmp_path):
    write_model(dense(24, 8), tmp_path / "tiny.tflite")
    source = (tmp_path / "tiny.tflite").stat().st_size
    result = quantize(tmp_path / "tiny.tflite", "weight8", tmp_path / "w8.tflite")
    grown = (tmp_path / "w8.tflite").stat().st_size - source
    assert grown > 0
    (note,) = [n for n in result.notes if "larger than its source" in n]
    assert f"{grown:,} bytes larger" in note
    assert "--no-provenance" in note


def test_a_sparse_source_stays_sparse(tmp_path):
    model = dense(512, 256)
    weights = next(op for op in model.main.ops if op.kind == "FULLY_CONNECTED").inputs[1]
    kept = np.random.default_rng(3).random(weights.shape) < 0.05
    weights.data = weights.data * kept
    write_sparse(model, tmp_path / "sparse.tflite")
    result = quantize(tmp_path / "sparse.tflite", "weight8", tmp_path / "w8.tflite", provenance=False)
    stored = [t for t in read_model(tmp_path / "w8.tflite").main.tensors() if t.sparsity is not None]
    assert stored
    assert (tmp_path / "w8.tflite").stat().st_size < 0.5 * weights.size
    assert any("without their zeros" in n for n in result.notes)
