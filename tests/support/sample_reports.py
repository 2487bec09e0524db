"""A report with the numbers of a real search: EfficientNet-Lite0, 500 photos."""

import copy
import math
import random
from dataclasses import replace

from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate, FloatOp, LayerError, PlanSummary, TargetVerdict
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.choice import choose, judge, pareto

FLOAT_BYTES = 18_582_416
REASON = "LiteRT 2.3 has no integer kernel for it."
# name, scheme, steps, bytes, zipped, latency ratio, drop, low, high, agreement, SNR in dB near the output
ROWS = [
    ("float16", "float16", ["float16 weights"], 9_331_000, 8_610_000, 1.01, 0.0, -0.002, 0.002, 0.998, 55),
    ("weight8", "weight8", ["int8 weights"], 5_012_000, 4_310_000, 1.0, 0.002, -0.006, 0.01, 0.982, 33),
    ("dynamic", "dynamic", ["dynamic range"], 4_968_000, 4_290_000, 1.42, 0.002, -0.007, 0.011, 0.976, 28),
    ("int8", "int8", ["int8"], 5_312_000, 4_402_000, 0.95, 0.007, -0.002, 0.016, 0.958, 19),
    ("int8+bias", "int8", ["int8", "bias"], 5_312_000, 4_402_000, 0.952, 0.003, -0.005, 0.011, 0.978, 25),
    ("int8+round", "int8", ["int8", "round"], 5_313_000, 4_450_000, 0.951, 0.001, -0.006, 0.008, 0.984, 27),
    ("int16x8", "int16x8", ["int16x8"], 5_418_000, 4_470_000, 1.5, 0.0, -0.004, 0.004, 0.99, 38),
    ("prune+int8", "int8", ["prune", "int8"], 4_105_000, 1_905_000, 0.99, 0.021, 0.008, 0.034, 0.931, 17),
    ("weight4", "weight4", ["int4 weights"], 2_911_000, 2_530_000, 1.12, 0.147, 0.118, 0.177, 0.79, 8),
]


def layers(base):
    """A plausible error along 64 ops: worse with depth, some depthwise convolutions worse still."""
    rng = random.Random(base)  # noqa: S311 - a picture, not a secret
    kinds = ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD"]
    found = []
    for i in range(62):
        dip = 6 if i % 11 == 5 else 0
        name = f"efficientnet-lite0/model/blocks_{i // 4}/{kinds[i % 4].lower()}/BiasAdd;folded_{i}"
        found.append(
            LayerError(name, kinds[i % 4], base + 14 * math.exp(-i / 16) - dip + rng.uniform(-1.5, 1.5))
        )
    return [
        *found,
        LayerError("head/MatMul", "FULLY_CONNECTED", base + 1),
        LayerError("Softmax", "SOFTMAX", 200.0),
    ]


def percentiles(median):
    """A plausible spread: a long end to the right."""
    shares = {"5": 0.97, "25": 0.99, "50": 1.0, "75": 1.02, "90": 1.1, "95": 1.3, "99": 2.1}
    return {name: median * share for name, share in shares.items()}


def candidate(row):
    """One row with everything that a search measures."""
    name, scheme, steps, size_bytes, zipped, ratio, drop, low, high, agreement, base = row
    left = [FloatOp("Softmax", "SOFTMAX", REASON)] if scheme == "int16x8" else []
    if name == "int8":
        left = [FloatOp("top_k", "TOPK_V2", REASON), FloatOp("gather", "GATHER_ND", "TOPK_V2 feeds it.")]
    integer = 64 - len(left) if scheme in ("int8", "int16x8") else 0
    return Candidate(
        name,
        scheme,
        steps,
        path=f"candidates/{name}.tflite",
        size_bytes=size_bytes,
        compressed_bytes={"zip": zipped, "zstd": zipped - 90_000},
        peak_memory_bytes=int(61_000_000 + size_bytes * 3.1),
        latency_ms=9.42 * ratio,
        latency_percentiles=percentiles(9.42 * ratio),
        latency_ratio=ratio,
        latency_interval=(ratio * 0.985, ratio * 1.012),
        accuracy=0.868 - drop,
        drop=drop,
        drop_interval=(low, high),
        agreement=agreement,
        snr_db=base - 1.5,
        layout="cpu",
        targets={"ethos-u55-128": TargetVerdict(fits=integer > 60, accelerated=integer / 64)},
        plan_summary=PlanSummary(integer, 64 - integer, left),
        layer_error=layers(base),
        sha256="5e884898da280471" * 4,
    )


def original():
    """The float model."""
    return Candidate(
        "float32",
        "float32",
        path="candidates/float32.tflite",
        size_bytes=FLOAT_BYTES,
        compressed_bytes={"zip": 17_204_000, "zstd": 17_100_000},
        peak_memory_bytes=101_000_000,
        latency_ms=9.42,
        latency_percentiles=percentiles(9.42),
        latency_ratio=1.0,
        accuracy=0.868,
        drop=0.0,
        drop_interval=(0.0, 0.0),
        agreement=1.0,
    )


FACTS = {
    "model": {
        "name": "efficientnet_lite0.tflite",
        "size_bytes": FLOAT_BYTES,
        "sha256": "9f86d081884c7d65" * 4,
    },
    "data": {
        "kind": "image folder",
        "name": "photos",
        "count": 600,
        "has_labels": True,
        "classes": 50,
        "calibration_samples": 100,
        "evaluation_samples": 500,
        "image": "size=224,crop=0.875,mean=127,std=128",
        "fingerprint": "2c26b46b68ffc68f" * 4,
    },
    "machine": {
        "cpu": "Intel(R) Xeon(R) CPU @ 2.60GHz",
        "cores": 2,
        "flags": ["avx", "avx2", "fma"],
        "memory_bytes": 25_281_000_000,
        "litert": "2.3.0",
        "threads": 1,
    },
    "notes": ["Calibration: 3 of 100 samples are duplicates."],
    "not_tried": {"No limit of the budget asks for a smaller model.": ["int8+zeros60", "int8+channels75"]},
    "created": "2026-11-22T21:04:00+00:00",
    "seconds": 412.0,
    "version": "0.2.0",
}


def change_candidates(report, change):
    """The report with ``change(candidate)`` in the place of each candidate."""
    return replace(report, candidates=[change(c) for c in report.candidates])


def build(budget=None, candidates=None, **changes):
    """The report of a finished search, judged and chosen by the budget."""
    budget = budget or Budget(max_drop=0.01, max_size=6_000_000, minutes=10.0)
    failed = Candidate(
        "int4-io", "weight4", ["int4"], failure="LiteRT refused the file: int4 CONV_2D at node 3."
    )
    if candidates is None:
        candidates = [original(), *(candidate(row) for row in ROWS), failed]
    candidates = judge(candidates, budget)
    best = choose(candidates, budget)
    facts = copy.deepcopy(FACTS) | {"best": best.name if best else None, "pareto": pareto(candidates)}
    return Report(budget=budget, candidates=candidates, **(facts | changes))
