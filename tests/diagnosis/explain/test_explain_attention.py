"""A mask that ruins int8 attention is found, and the remedy that makes it smaller brings the answers back."""

from __future__ import annotations

import shlex

import numpy as np

from support.attention_models import attention, inputs
from tightfit.api.evaluate import evaluate
from tightfit.api.quantize import quantize
from tightfit.diagnosis.explain.attribution import explain
from tightfit.diagnosis.explain.explanation import ExplainRequest
from tightfit.graph.writer import write_model


def test_the_mask_is_the_op_and_smaller_masks_the_remedy(tmp_path):
    model, file, data = tmp_path / "float.tflite", tmp_path / "int8.tflite", tmp_path / "ids.npz"
    write_model(attention(), model)
    samples = inputs(60)
    np.savez(data, **{k: np.concatenate([s[k] for s in samples]) for k in samples[0]})
    quantize(model, "int8", file, data=str(data), doctor=False, effort=0)
    found = explain(ExplainRequest(model, file, str(data), calibration=20, evaluation=20))
    assert found.ops[0].name in ("scores", "bias", "shares")
    remedy = next(r for r in found.remedies if r.kind == "attention")
    assert remedy.helps
    assert remedy.gain_db > 6
    (_, names) = shlex.split(remedy.options)
    fixed = tmp_path / "fixed.tflite"
    quantize(model, "int8", fixed, data=str(data), recovery=tuple(names.split(",")), doctor=False, effort=0)
    _, spoilt, mended = evaluate([model, file, fixed], str(data), metric="cosine")
    assert spoilt.value < 0.99 < mended.value
