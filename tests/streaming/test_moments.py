"""The vectors that meet a layer's weights are those of LiteRT's kernels."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.runtime.session import Session
from tightfit.streaming.moments import MOST_INPUTS, Means, Moments, vectors, window_of

EPSILON = float(np.finfo(np.float32).eps)


CASES = {
    "same padding": ("CONV_2D", (3, 3, 3, 4), (1, 7, 6, 4), {"strideH": 1, "strideW": 1, "padding": 0}),
    "stride two": ("CONV_2D", (5, 3, 3, 2), (1, 9, 8, 2), {"strideH": 2, "strideW": 2, "padding": 0}),
    "valid and dilated": (
        "CONV_2D", (2, 3, 2, 3), (1, 9, 9, 3),
        {"strideH": 1, "strideW": 1, "padding": 1, "dilationHFactor": 2, "dilationWFactor": 3},
    ),
    "pointwise": ("CONV_2D", (6, 1, 1, 5), (1, 4, 4, 5), {"strideH": 1, "strideW": 1, "padding": 0}),
    "depthwise": (
        "DEPTHWISE_CONV_2D", (1, 3, 3, 4), (1, 8, 7, 4), {"strideH": 2, "strideW": 2, "padding": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_rows_times_weights_give_the_kernels_output(case):
    kind, weight_shape, input_shape, options = case
    random = np.random.default_rng(5)
    weights = random.normal(size=weight_shape).astype(np.float32)
    x = random.normal(size=input_shape).astype(np.float32)
    expected = run_layer(kind, weights, x, options)
    window = window_of(kind, weight_shape, options)
    rows = vectors(x, window)
    if kind == "DEPTHWISE_CONV_2D":
        given = np.einsum("crk,ck->rc", rows, weights.reshape(-1, weight_shape[3]).T)
    else:
        given = rows @ weights.reshape(weight_shape[0], -1).T
    # Summing K products in float32 errs by at most K roundings of the largest partial sum.
    count = rows.shape[-1]
    bound = float(count * EPSILON * count * np.abs(rows).max() * np.abs(weights).max())
    np.testing.assert_allclose(expected.reshape(given.shape), given, rtol=0, atol=bound)


def run_layer(kind, weights, x, options):
    builder = Builder()
    source = builder.input("x", x.shape)
    channels = weights.shape[3] if kind == "DEPTHWISE_CONV_2D" else weights.shape[0]
    bias = builder.constant("b", np.zeros(channels, np.float32))
    out_shape = output_shape(x.shape, weights.shape, channels, options)
    fields = {"fusedActivationFunction": 0, "dilationWFactor": 1, "dilationHFactor": 1, **options}
    table = "Conv2DOptions"
    if kind == "DEPTHWISE_CONV_2D":
        fields["depthMultiplier"] = 1
        table = "DepthwiseConv2DOptions"
    y = builder.op(
        kind, [source, builder.constant("w", weights), bias], out_shape, table=table, options=fields
    )
    builder.graph.outputs = [y]
    with Session(bytes(serialize(Model([builder.graph])))) as session:
        return next(iter(session.run({session.inputs[0].name: x}).values()))


def output_shape(x, w, channels, options):
    sizes = []
    for axis, key in ((1, "H"), (2, "W")):
        stride = options[f"stride{key}"]
        reach = (w[axis] - 1) * options.get(f"dilation{key}Factor", 1) + 1
        full = -(-x[axis] // stride) if options["padding"] == 0 else (x[axis] - reach) // stride + 1
        sizes.append(full)
    return (1, *sizes, channels)


def test_merged_moments_equal_those_of_all_samples():
    window = window_of("FULLY_CONNECTED", (4, 6), {})
    random = np.random.default_rng(1)
    samples = [random.normal(size=(1, 6)).astype(np.float32) for _ in range(5)]
    whole, first, second = Moments(window), Moments(window), Moments(window)
    for i, sample in enumerate(samples):
        whole.update(sample)
        (first if i % 2 == 0 else second).update(sample)
    first.merge([second])
    # Five float32 sums in another order.
    np.testing.assert_allclose(
        first.mean(), whole.mean(), rtol=0, atol=5 * EPSILON * np.abs(whole.mean()).max()
    )


def test_a_layer_with_too_many_inputs_has_no_matrix_and_is_rounded_plainly():
    b = Builder()
    x = b.input("x", [1, MOST_INPUTS + 1])
    model = b.model(b.dense(b.dense(x, 4), 3))
    random = np.random.default_rng(0)
    samples = [{"x": random.normal(size=(1, MOST_INPUTS + 1)).astype(np.float32)} for _ in range(4)]
    ranges = Ranges([calibrate(model, samples).statistics])
    state = RecoveryState(model, make_plan(model, "int8", ranges), ranges, lambda: iter(samples), 100_000)
    recover(state, ["gptq"])
    first, second = model.main.ops
    assert set(state.moments) == {second.name}
    np.testing.assert_array_equal(state.model.main.ops[0].inputs[1].data, first.inputs[1].data)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_means_are_the_last_column_of_the_moments(case):
    kind, weight_shape, input_shape, options = case
    window = window_of(kind, weight_shape, options)
    moments, first, second = Moments(window), Means(window), Means(window)
    random = np.random.default_rng(6)
    for i in range(5):
        x = random.normal(size=input_shape).astype(np.float32)
        moments.update(x)
        (first if i % 2 == 0 else second).update(x)
    first.merge([second])
    wanted = moments.mean()[..., :-1, -1]
    # Sums of rows · 5 float32 in another order.
    bound = sum(moments.rows) * EPSILON * 4
    np.testing.assert_allclose(first.mean(), wanted, rtol=0, atol=bound)
