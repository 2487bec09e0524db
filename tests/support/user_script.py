"""A user's script that type checkers read: every verb with its keywords, every result with its attributes."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np

import tightfit

x = np.zeros((40, 8, 8, 3), np.float32)
y = np.zeros(40, np.int64)
rows: list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = [{"image": x[0]}]


def metric(outputs: object, labels: list[object]) -> float:
    del outputs
    return float(len(labels))


report = tightfit.optimize("m.tflite", (x, y), "out", max_drop=0.01, max_size="1MB", metric=metric)
assert_type(report, tightfit.Report)
assert_type(report.path, Path | None)
assert_type(report.notes, list[str])
assert_type(report.to_dict(), dict[str, object])
assert_type(report.meets_budget, bool)

made = tightfit.quantize(
    Path("m.keras"), "int8", data={"image": x}, image="size=8", io="int8", progress=False
)
assert_type(made, tightfit.QuantizationResult)
assert_type(made.path, Path)
assert_type(made.snr_db, float)

small = tightfit.prune("m.tflite", "p.tflite", sparsity=0.8, data=rows)
assert_type(small.zeros, float)
assert_type(tightfit.cluster(b"", clusters=16, scheme="int8", data=lambda: iter(x)).values, int)
assert_type(tightfit.prune_channels("m", "c.tflite", macs=0.5, data=x).meets_budget, bool)

trained = tightfit.finetune("m.tflite", (x, y), "t.tflite", scheme="int8", epochs=2, augment=["flip"])
assert_type(trained.accuracy, tightfit.Accuracy)
measured = tightfit.evaluate(["a.tflite", Path("b.tflite")], x, metric=["top1", metric])
assert_type(measured[0], tightfit.Accuracy)
assert_type(measured[0].value, float | None)
assert_type(tightfit.benchmark("a.tflite", seconds=1.0)[0].latency.median_ms, float | None)
assert_type(tightfit.explain("a.tflite", "b.tflite", x).ops[0].own_db, float)
assert_type(tightfit.check("a.tflite", "micro", memory="256KiB").runs, bool)
assert_type(tightfit.doctor("a.tflite", x)[0].fix, str)
assert_type(tightfit.convert("m.onnx", input_shape=[1, 8]).path, Path)
simulated = tightfit.simulate("a.tflite", x, "int8")
assert isinstance(simulated, tightfit.Simulation)
assert_type(simulated.equal_decisions, float)
assert_type(tightfit.verify("a.tflite").equal, bool)
assert_type(tightfit.diff("a.tflite", "b.tflite", x).equal, bool)
assert_type(tightfit.inspect("a.tflite").to_dict(), dict[str, object])
assert_type(tightfit.advise({"device": "gpu"}).scheme, str)
assert_type(tightfit.models(max_size="5MB"), tightfit.ResultList[tightfit.ReadyModel])

folder = tightfit.Dataset(["a.png", "b.png"], lambda name: (x[0], len(name)))
tightfit.quantize("m.tflite", "int8", data=folder)
