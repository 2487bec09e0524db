"""Rounding with data keeps a layer's output better than rounding to nearest does."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightfit.data.sample import Sample
from tightfit.demo import MODEL, calibration, evaluation
from tightfit.diagnosis.explain.layer_error import layer_errors
from tightfit.pipeline.source import open_source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.collect_moments import collect_moments
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.rounding.gptq import gptq, round_depthwise, round_layer
from tightfit.recovery.rounding.layerwise import round_with_data
from tightfit.recovery.rounding.weight_scales import search_scales


def problem(seed, count=12, rows=5, mixing=1.0):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(rows, count))
    mix = np.eye(count) + mixing * random.normal(size=(count, count))
    x = random.normal(size=(400, count)) @ mix + random.normal(size=count)
    extended = np.concatenate([x, np.ones((400, 1))], axis=1)
    return weights, random.normal(size=rows), extended.T @ extended / 400, np.abs(weights).max(axis=1) / 7


def loss(weights, bias, integers, corrected, moments, scales):
    change = np.concatenate([integers * scales[:, None] - weights, (corrected - bias)[:, None]], axis=1)
    return np.einsum("rk,kl,rl->r", change, moments, change)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_it_loses_less_than_rounding_to_nearest(seed):
    weights, bias, moments, scales = problem(seed)
    integers, corrected = round_layer(weights, bias, moments, scales, 7)
    nearest = np.clip(np.round(weights / scales[:, None]), -7, 7)
    ours = loss(weights, bias, integers, corrected, moments, scales)
    plain = loss(weights, bias, nearest, bias, moments, scales)
    assert ours.sum() < plain.sum()
    assert np.abs(integers).max() <= 7
    assert (integers == np.round(integers)).all()


def test_it_rounds_to_nearest_where_inputs_are_independent_and_centred():
    weights, bias, _, scales = problem(3)
    moments = np.diag(np.append(np.full(12, 2.0), 1.0))
    integers, corrected = round_layer(weights, bias, moments, scales, 7)
    np.testing.assert_array_equal(integers, np.clip(np.round(weights / scales[:, None]), -7, 7))
    np.testing.assert_allclose(corrected, bias, atol=1e-9)


def test_the_bias_takes_up_the_mean_error():
    weights, bias, moments, scales = problem(4, mixing=0.0)
    integers, corrected = round_layer(weights, bias, moments, scales, 7)
    means = moments[:-1, -1]
    shift = (integers * scales[:, None] - weights) @ means + corrected - bias
    plain = (np.round(weights / scales[:, None]) * scales[:, None] - weights) @ means
    assert np.abs(shift).max() < 0.05 * np.abs(plain).max()


def by_the_inverse(weights, moments, scales, top):
    """The walk as GPTQ's paper has it: errors move the weights that are left, along the inverse's factor."""
    count = weights.shape[1]
    order = np.append(np.argsort(-np.diag(moments)[:count], kind="stable"), count)
    damping = 1e-6 * np.diag(moments)[:count].mean()
    inverse = np.linalg.inv(moments[np.ix_(order, order)] + damping * np.eye(count + 1))
    factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left = np.concatenate([weights, np.zeros((len(weights), 1))], axis=1)[:, order]
    integers = np.zeros_like(weights)
    for i in range(count):
        integers[:, order[i]] = np.clip(np.round(left[:, i] / scales), -top, top)
        error = (left[:, i] - integers[:, order[i]] * scales) / factor[i, i]
        left[:, i:] -= np.outer(error, factor[i, i:])
    return integers


@pytest.mark.parametrize("count", [12, 150])
@pytest.mark.parametrize("top", [7, 127])
def test_without_an_inverse_the_walk_gives_the_integers_of_gptq(count, top):
    weights, _, moments, scales = problem(9, count=count)
    scales = scales * 7 / top
    np.testing.assert_array_equal(
        gptq(weights, moments, scales, top), by_the_inverse(weights, moments, scales, top)
    )


def test_depthwise_rows_follow_their_own_moments():
    weights, bias, moments, scales = problem(7)
    stacked = np.stack([moments] * len(weights))
    one, first = round_layer(weights, bias, moments, scales, 127)
    many, second = round_depthwise(weights, bias, stacked, scales, 127)
    # The dense version orders its columns by size, so the two agree in loss and not in every integer.
    ours = loss(weights, bias, one, first, moments, scales)
    theirs = loss(weights, bias, many, second, moments, scales)
    assert theirs.sum() < 3 * ours.sum()


def test_a_searched_scale_is_never_worse_than_the_largest():
    weights, _, moments, scales = problem(9)
    weights[:, 0] *= 8
    scales = np.abs(weights).max(axis=1) / 7
    variances = np.diag(moments)[:-1].copy()
    variances[0] = 1e-6
    found = search_scales(weights, variances, scales, 7)

    def cost(s):
        return (
            ((np.clip(np.round(weights / s[:, None]), -7, 7) * s[:, None]) - weights) ** 2 * variances
        ).sum()

    assert cost(found) < cost(scales)


def logits_db(source, path):
    """Signal-to-noise of the layer before SOFTMAX, on images that calibrated nothing."""
    samples = [Sample({"image": x}) for x, _ in itertools.islice(evaluation(), 40)]
    errors = {e.kind: e.snr_db for e in layer_errors(source.model, path, samples)}
    return errors["FULLY_CONNECTED"]


@pytest.mark.parametrize("scheme", ["weight8", "int8"])
def test_on_the_device_the_demo_model_comes_closer_to_float(tmp_path, scheme):
    source = open_source(MODEL)
    inputs = [{"image": image} for image, _ in itertools.islice(calibration(), 128)]
    seen = calibrate(source.model, inputs)
    plan = make_plan(source.model, scheme, Ranges([seen.statistics]))
    plain = write_plan(source, plan, tmp_path / "plain.tflite", probes=seen.probes)
    model, better = round_with_data(source.model, plan, collect_moments(source.model, plan, inputs))
    fitted = replace(source, model=model)
    rounded = write_plan(fitted, better, tmp_path / "rounded.tflite", probes=seen.probes)
    assert logits_db(source, rounded.path) > logits_db(source, plain.path) + 1.0
    assert rounded.path.stat().st_size <= 1.01 * plain.path.stat().st_size
