"""4-bit weights go where a fast kernel reads them, the others stay wider."""

from __future__ import annotations

from support.models import NONE, Builder
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file


def test_weight4_computes_pointwise_convolutions_as_dense_layers(tmp_path):
    b = Builder()
    x = b.conv(b.input("x", [1, 8, 8, 64]), 64, kernel=3)
    model = b.model(b.dense(b.mean(b.conv(x, 128, kernel=1, activation=NONE)), 64))
    path = tmp_path / "float.tflite"
    write_model(model, path)
    written = quantize_file(path, "weight4", tmp_path / "q.tflite")
    assert written.layout["dense_pointwise"] == 1
    assert written.snr_db > 12  # 4 bits of normal weights: about 15 dB a layer
    stored = read_model(written.path)
    kinds = [op.kind for op in stored.main.ops if op.kind != "DEQUANTIZE"]
    assert kinds == ["CONV_2D", "FULLY_CONNECTED", "MEAN", "FULLY_CONNECTED"]
    types = [op.inputs[1].dtype for op in stored.main.ops if op.kind == "FULLY_CONNECTED"]
    assert types == ["int4", "int4"]
    (wide,) = (p for p in written.plan.ops() if p.kind == "CONV_2D" and "fast 4-bit" in p.reason)
    assert wide.constants[1].dtype == "int8"
