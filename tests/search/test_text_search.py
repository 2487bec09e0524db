"""A model of token ids: data by input name, cosine as the metric, mixed activations as a candidate."""

from __future__ import annotations

import numpy as np

from support.attention_models import attention, inputs
from tightfit.api.optimize import optimize
from tightfit.graph.writer import write_model
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget


def test_int8_is_repaired_and_mixed_activations_keep_the_cosine_too(tmp_path):
    write_model(attention(loud=60.0), tmp_path / "float.tflite")
    samples = inputs(60)
    np.savez(tmp_path / "ids.npz", **{k: np.concatenate([s[k] for s in samples]) for k in samples[0]})
    job = Job(
        tmp_path / "float.tflite", str(tmp_path / "ids.npz"), tmp_path / "out", metric="cosine",
        calibration=20, evaluation=30, recipes=("int8", "int8+mixed"),
        budget=Budget(max_drop=0.01, judge="estimate"),
    )  # fmt: skip
    report = optimize(job)
    plain, mixed = (next(c for c in report.candidates if c.name == n) for n in job.recipes)
    assert (plain.metric, plain.failure, mixed.failure) == ("cosine", None, None)
    assert any(step.startswith("automatic: ") for step in plain.steps), plain.steps
    assert plain.drop <= 0.01
    assert mixed.drop <= 0.01
    # The loud entries carry the cosine; the report does not hide that small ones are noise.
    assert not mixed.meets_budget
    assert "'embedding' is of no use in" in mixed.reasons[0]
    assert min(mixed.accuracy, plain.accuracy) > 0.99
    assert any("attention masks clipped to the range of the scores (1 mask)" in step for step in mixed.steps)
