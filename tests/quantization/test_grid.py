"""Weights that stand on a grid keep it; weights that do not are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.models import conv_net
from support.quantized_models import samples_of
from tightfit.quantization.arithmetic import dequantize, quantize
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.grid import grid_scales
from tightfit.quantization.planning import make_plan


@given(st.integers(0, 2**32 - 1), st.sampled_from([("int8", 127), ("int8", 100), ("int8", 7), ("int4", 7)]))
def test_every_grid_is_found_and_its_integers_give_the_weights_back(seed, kind):
    dtype, top = kind
    random = np.random.default_rng(seed)
    scale = random.uniform(1e-4, 0.3, (8, 1)).astype(np.float32)
    weights = (random.integers(-top, top + 1, (8, 36)) * scale).astype(np.float32)
    found = grid_scales(weights, 0, dtype)
    assert found is not None
    stored = quantize(weights, found, np.zeros(8), dtype, 0)
    np.testing.assert_allclose(dequantize(stored, found, np.zeros(8), 0), weights, rtol=1e-5, atol=1e-7)


@given(st.integers(0, 2**32 - 1))
def test_no_grid_is_seen_in_ordinary_weights(seed):
    weights = np.random.default_rng(seed).normal(size=(8, 9)).astype(np.float32)
    assert grid_scales(weights, 0) is None
    assert grid_scales(weights, None) is None


def test_the_lowest_integer_is_used_in_eight_bits_only():
    weights = np.asarray([[-128, 100, 3, 55, -77, 20, 9]], np.float32) * np.float32(0.01)
    found = grid_scales(weights, 0)
    assert found is not None
    assert found[0] == pytest.approx(0.01)
    assert grid_scales(np.asarray([[-8, 7, 3, 5, -7, 2, 1]], np.float32), 0, "int4") is None


def test_empty_channels_and_single_numbers_prove_nothing():
    assert grid_scales(np.zeros((4, 9), np.float32), 0) is None
    assert grid_scales(np.ones((4, 1), np.float32), 0) is None


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_plan_keeps_the_grid_of_fake_quantized_weights_and_says_so(scheme):
    model = conv_net()
    for op in model.main.ops:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            tensor = op.operand(1)
            rows = tensor.values.reshape(tensor.shape[0], -1)
            step = np.abs(rows).max(axis=1) / np.float32(90)
            tensor.data = (
                (np.rint(rows / step[:, None]) * step[:, None]).astype(np.float32).reshape(tensor.shape)
            )
    ranges = Ranges([calibrate(model, [s.inputs for s in samples_of(model, 3)]).statistics])
    plan = make_plan(model, scheme, ranges)
    assert any("on a grid already" in note for note in plan.notes)
    for op, decision in zip(model.main.ops, plan.graphs[0].ops, strict=True):
        for position, storage in decision.constants.items():
            if storage.dtype == "int8" and op.kind in ("CONV_2D", "FULLY_CONNECTED"):
                values = op.operand(position).values
                stored = quantize(values, storage.scale, storage.zero_point, "int8", storage.axis)
                back = dequantize(stored, storage.scale, storage.zero_point, storage.axis)
                np.testing.assert_allclose(back, values, rtol=1e-5, atol=1e-7)
