"""Eligible graphs compute the same as before, and refusals name the op."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import NONE, RELU6, Builder
from tightfit.compression.sparsity.xnnpack_conditions import obstacles
from tightfit.compression.sparsity.xnnpack_rewrites import make_eligible
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session
from tightfit.weights.patterns import keep


def mobile_net(size: int = 32, kernel: int = 3, sparsity: float = 0.9) -> Model:
    """Stem, two depthwise blocks of strides 2 and 1 with a residual, MEAN, dense."""
    b = Builder()
    x = b.conv(b.input("image", [1, size, size, 3]), 16, stride=2)
    x = b.conv(b.depthwise(x, kernel, stride=2), 16, kernel=1, activation=NONE)
    x = b.add(x, b.conv(b.depthwise(x, kernel), 16, kernel=1, activation=RELU6))
    model = b.model(b.dense(b.mean(x), 4))
    for op in model.main.ops:
        if op.kind == "CONV_2D" and op.inputs[1].shape[1] == 1:
            op.inputs[1].data = op.inputs[1].data * keep(op.inputs[1].data, sparsity, "unstructured", 0)
    return model


def outputs(model: Model) -> np.ndarray:
    sample = np.random.default_rng(0).standard_normal(model.main.inputs[0].shape).astype(np.float32)
    with Session(serialize(model)) as session:
        (values,) = session.run({"image": sample}).values()
    return values


@pytest.mark.parametrize(("size", "kernel", "mirrored"), [(33, 3, False), (32, 3, True), (32, 5, True)])
def test_a_rewritten_graph_is_eligible_and_computes_the_same(size, kernel, mirrored):
    model = mobile_net(size, kernel)
    before = outputs(model)
    assert obstacles(model.main)
    found = make_eligible(model)
    assert found.eligible
    assert found.mirrored == mirrored
    assert obstacles(found.model.main) == []
    # Sums have the same terms in another order: float32 rounding of at most 150 products.
    np.testing.assert_allclose(outputs(found.model), before, rtol=0, atol=150 * 2**-24 * np.abs(before).max())
    np.testing.assert_array_equal(outputs(model), before)


def test_too_few_zeros_are_counted():
    found = make_eligible(mobile_net(sparsity=0.5))
    assert not found.eligible
    assert any("50 % of the 1×1 weights are zero" in r for r in make_eligible(mobile_net(33, 3, 0.5)).reasons)
    assert "Not eligible" in found.sentence()


def test_a_wide_filter_in_the_middle_is_named():
    b = Builder()
    x = b.conv(b.input("image", [1, 33, 33, 3]), 8, stride=2)
    model = b.model(b.dense(b.mean(b.conv(x, 8)), 4))
    found = make_eligible(model)
    assert found.model is model
    assert any("is 3×3" in reason for reason in found.reasons)


def test_a_second_reader_is_named():
    model = mobile_net(33)
    model.main.outputs.append(model.main.ops[1].outputs[0])
    assert any("is also an output" in reason for reason in make_eligible(model).reasons)


def test_a_one_pixel_convolution_at_the_head_becomes_a_dense_layer():
    b = Builder()
    x = b.conv(b.input("image", [1, 33, 33, 3]), 16, stride=2)
    x = b.conv(x, 16, kernel=1)
    x.producer.inputs[1].data = x.producer.inputs[1].data * keep(
        x.producer.inputs[1].data, 0.9, "unstructured", 0
    )
    axes = b.constant("axes", [1, 2], "int32")
    pooled = b.op("MEAN", [x, axes], [1, 1, 1, 16], table="ReducerOptions", options={"keepDims": True})
    model = b.model(b.conv(pooled, 4, kernel=1))
    before = outputs(model)
    found = make_eligible(model)
    assert found.eligible
    kinds = [op.kind for op in found.model.main.ops]
    assert kinds[-4:] == ["MEAN", "RESHAPE", "FULLY_CONNECTED", "RESHAPE"]
    np.testing.assert_allclose(outputs(found.model), before, rtol=1e-6)


def test_without_a_mean_nothing_is_eligible():
    b = Builder()
    model = b.model(b.conv(b.input("image", [1, 33, 33, 3]), 8, stride=2))
    assert make_eligible(model).reasons == ["no MEAN over height and width ends the convolutions"]
