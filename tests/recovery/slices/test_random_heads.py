"""Heads that nobody wrote down: parts of random units, joined on any axis, keep 20 dB each or are named."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.head_models import HeadPart, head_model, images
from tightfit.evaluation.slices.output_quality import GOOD_DB, lost_sentences
from tightfit.graph.reader import read_model
from tightfit.graph.split_outputs import KEY
from tightfit.graph.writer import write_model
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder
from tightfit.pipeline.source import open_source
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.session import Session
from tightfit.targets.profile import find_target
from tightfit.targets.target_planning import scheme_for

parts = st.builds(
    lambda entries, activation, scale, shift, bias: HeadPart(entries, activation, scale, shift * scale, bias),
    entries=st.integers(1, 6),
    activation=st.sampled_from(["", "LOGISTIC", "TANH"]),
    scale=st.sampled_from([1.0, 0.01, 20.0, 640.0, 4000.0]),
    shift=st.sampled_from([0.0, 0.0, 3.0, 30.0, 200.0]),
    bias=st.sampled_from([0.0, -3.0, 1.0]),
)


def spec_for(name: str | None) -> BuildSpec:
    if name is None:
        return BuildSpec(find_scheme("int8"))
    target = find_target(name)
    return BuildSpec(scheme_for(target, "int8"), target=target, layout=target.family.layout)


def noise_db(float_file, made_file, heads, axis):
    """The ratio of each part's own spread to its noise, measured without the product's own code."""
    sums, splits = np.zeros((len(heads), 4)), json.loads(read_model(made_file).metadata.get(KEY, b"[]"))
    with Session(float_file) as one, Session(made_file) as other:
        scale = other.inputs[0].scale
        for sample in images(24, seed=99)():
            image = next(iter(sample.values()))
            fed = (
                image
                if scale is None
                else np.clip(np.rint(image / scale) + (other.inputs[0].zero_point or 0), -128, 127).astype(
                    np.int8
                )
            )
            a = next(iter(one.run({one.inputs[0].name: image}).values()))
            reals = {o.name: o for o in other.outputs}
            b = whole(
                {n: real(v, reals[n]) for n, v in other.run({other.inputs[0].name: fed}).items()}, splits
            )
            ends = np.cumsum([0, *(h.entries for h in heads)])
            for row, (low, high) in enumerate(pairwise(ends)):
                x, y = (np.take(v, range(low, high), axis).astype(np.float64) for v in (a, b))
                sums[row] += x.size, x.sum(), (x**2).sum(), ((x - y) ** 2).sum()
    count, total, squares, errors = sums.T
    return 10 * np.log10((squares / count - (total / count) ** 2) / np.maximum(errors / count, 1e-30))


def real(values, spec):
    return values if spec.scale is None else (values.astype(np.float64) - (spec.zero_point or 0)) * spec.scale


def whole(values, splits):
    """The one output, put together as the metadata says where it comes in pieces."""
    if not splits:
        return next(iter(values.values()))
    (split,) = splits
    order = [i for p in split["pieces"] for begin, end in p["entries"] for i in range(begin, end)]
    joined = np.concatenate([values[p["name"]] for p in split["pieces"]], split["axis"])
    return np.take(joined, np.argsort(order), split["axis"])


@pytest.mark.parametrize("target", [None, "edge-tpu", "ethos-u55-128"])
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(heads=st.lists(parts, min_size=2, max_size=4), axis=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
def test_every_part_of_a_random_head_keeps_twenty_decibels_or_is_named(
    tmp_path_factory, target, heads, axis, seed
):
    folder = tmp_path_factory.mktemp("heads")
    write_model(head_model(heads, axis=axis, seed=seed), folder / "m.tflite")
    builder = Builder(open_source(folder / "m.tflite"), images())
    made = builder.build(spec_for(target), folder / "o.tflite")
    found = noise_db(folder / "m.tflite", folder / "o.tflite", heads, axis)
    if (found < GOOD_DB).any():
        assert made.unfit, (found, made.notes, made.outputs)


def test_a_dense_regression_head_with_large_offsets_keeps_its_small_spreads(tmp_path):
    heads = [
        HeadPart(1, scale=20.0, offset=290.0),
        HeadPart(1, scale=500.0, offset=101325.0),
        HeadPart(1, "LOGISTIC"),
    ]
    write_model(head_model(heads, dense=True), tmp_path / "m.tflite")
    made = Builder(open_source(tmp_path / "m.tflite"), images()).build(spec_for(None), tmp_path / "o.tflite")
    assert min(o.worst_slice.snr_db for o in made.outputs) > GOOD_DB, made.notes


def test_the_rows_of_a_dense_layer_keep_their_decibels_beyond_the_calibrated_ranges(tmp_path):
    """A vector shows its extremes rarely: among 48 samples most rows have not shown theirs."""
    units = (1e-3, 1.0, 1e4, 20.0, 0.1, 300.0)
    heads = [HeadPart(1, scale=unit, offset=15 * unit * (i == 3)) for i, unit in enumerate(units)]
    write_model(head_model(heads, dense=True, seed=5), tmp_path / "m.tflite")
    made = Builder(open_source(tmp_path / "m.tflite"), images()).build(spec_for(None), tmp_path / "o.tflite")
    found = noise_db(tmp_path / "m.tflite", tmp_path / "o.tflite", heads, -1)
    assert (found >= GOOD_DB).all(), (found, made.notes)


def test_an_output_that_is_already_float_is_mended_too(tmp_path):
    """Its own scale is not to blame then, but those of the layers before it are."""
    heads = [HeadPart(4, "TANH"), HeadPart(3, scale=5.0, offset=800.0), HeadPart(1, scale=0.3)]
    write_model(head_model(heads, dense=True, seed=3), tmp_path / "m.tflite")
    spec = replace(spec_for(None), overrides=(("joined", "float"),))
    made = Builder(open_source(tmp_path / "m.tflite"), images()).build(spec, tmp_path / "o.tflite")
    found = noise_db(tmp_path / "m.tflite", tmp_path / "o.tflite", heads, -1)
    assert (found >= GOOD_DB).all(), (found, made.notes)


def test_without_remedies_the_dead_part_is_named_with_its_value_and_its_range(tmp_path):
    heads = [HeadPart(4, "LOGISTIC", scale=640.0), HeadPart(3, "LOGISTIC", bias=-3.0)]
    write_model(head_model(heads), tmp_path / "m.tflite")
    spec = BuildSpec(find_scheme("int8"), mend=False)
    made = Builder(open_source(tmp_path / "m.tflite"), images()).build(spec, tmp_path / "o.tflite")
    (sentence,) = lost_sentences(made.outputs)
    assert "one value, 0, float 0.0" in sentence
    assert made.samples == 48
