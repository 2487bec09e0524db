"""Every rewrite fires where its condition holds and refuses where not; what it computes is the same."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import Builder, conv_net, random_inputs, residual_net
from support.quantizing import (
    binary,
    find_op,
    given,
    kinds,
    plan,
    quantized,
    reread,
    run,
    run_all,
    snr_db,
    transpose_conv,
)
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.quantization import layouts
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.layouts import (
    LAYOUTS,
    REWRITES,
    bridge_through_float,
    float_islands,
    lay_out,
    short_biases,
    unpack_hybrid,
)
from tightfit.quantization.scheme import SCHEMES
from tightfit.runtime.session import Session


def applied(model: Model, scheme: str, interface: str = "float32", **options) -> Model:
    return apply_plan(model, plan(model, scheme, interface, **options))


def kernels() -> Model:
    """One layer of each kind that islands are made of, side by side, int16 in and out when asked."""
    b = Builder(seed=2)
    image, x = b.input("image", [1, 6, 6, 8]), b.input("x", [2, 40])
    return b.model(b.conv(image, 12), b.depthwise(image), b.dense(x, 7), transpose_conv(b, image, 5))


def raw_run(model: Model, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The stored integers."""
    with Session(bytes(serialize(model))) as session:
        return session.run(sample)


def int16_sample(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {t.name: rng.integers(-32767, 32767, t.shape).astype(np.int16) for t in model.main.inputs}


# -- unpack_hybrid ---------------------------------------------------------------------------------


def wide_depthwise() -> Model:
    b = Builder()
    x = b.input("x", [1, 8, 8, 128])
    return b.model(b.conv(b.depthwise(x), 16, kernel=1))


def test_depthwise_weights_are_unpacked_and_others_stay_hybrid():
    model = applied(wide_depthwise(), "dynamic")
    assert unpack_hybrid(model.main) == 1
    assert kinds(model) == ["DEQUANTIZE", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert model.main.ops[0].inputs[0].dtype == "int8"
    assert find_op(model, "CONV_2D").inputs[1].dtype == "int8"
    original = wide_depthwise()
    sample = random_inputs(original)
    assert snr_db(run(model, sample)["conv_1"], run(original, sample)["conv_1"]) > 33


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "float16", "weight8"])
def test_unpack_hybrid_refuses_what_is_not_hybrid(scheme):
    model = applied(wide_depthwise(), scheme)
    before = kinds(model)
    assert unpack_hybrid(model.main) == 0
    assert kinds(model) == before


# -- short_biases ----------------------------------------------------------------------------------


def test_short_biases_fire_on_convolutions_and_dense_layers_only():
    model = applied(kernels(), "int16x8", "int16")
    assert short_biases(model.main) == 2
    types = {op.kind: t.dtype for op in model.main.ops for t in op.inputs if t.name.endswith("bias")}
    short, long = ["CONV_2D", "FULLY_CONNECTED"], ["DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"]
    assert types == dict.fromkeys(short, "int32") | dict.fromkeys(long, "int64")
    assert find_op(model, "CONV_2D").options["quantizedBiasType"] == 2


def test_short_biases_compute_what_long_ones_do_within_a_step():
    sample = int16_sample(kernels())
    plain, short = (
        applied(kernels(), "int16x8", "int16", ranges=given(kernels(), -3.0, 3.0)) for _ in range(2)
    )
    assert short_biases(short.main) == 2
    found, wanted = raw_run(reread(short), sample), raw_run(reread(plain), sample)
    for name, values in wanted.items():
        assert np.abs(found[name].astype(int) - values).max() <= 1, name


@pytest.mark.parametrize("scheme", ["int8", "dynamic", "float16"])
def test_short_biases_refuse_other_schemes(scheme):
    assert short_biases(applied(kernels(), scheme).main) == 0


def test_short_biases_refuse_a_bias_that_does_not_fit():
    model = kernels()
    bias = find_op(model, "CONV_2D").inputs[2]
    bias.data = bias.data + 1e5
    twin = applied(model, "int16x8")
    assert short_biases(twin.main) == 1
    assert find_op(twin, "CONV_2D").inputs[2].dtype == "int64"
    assert "quantizedBiasType" not in find_op(twin, "CONV_2D").options


def long_sum() -> Model:
    """A dense layer whose sum of 2,048 products of the largest integers needs 34 bits."""
    b = Builder()
    y = b.dense(b.input("x", [1, 2048]), 3)
    model = b.model(y)
    for tensor, value in zip(find_op(model, "FULLY_CONNECTED").inputs[1:], (1.0, 0.0), strict=True):
        tensor.data = np.full(tensor.shape, value, np.float32)
    return model


def test_short_biases_refuse_sums_that_overflow_32_bits(monkeypatch):
    sample = {"x": np.ones((1, 2048), np.float32)}
    ranges = given(long_sum(), -1.0, 1.0, dense_0=(-2100.0, 2100.0))
    right, wrong = (applied(long_sum(), "int16x8", ranges=ranges) for _ in range(2))
    assert short_biases(right.main) == 0
    np.testing.assert_allclose(run(reread(right), sample)["dense_0"], 2048, rtol=1e-3)
    # The refusal is not idle: without it the sums wrap around.
    monkeypatch.setattr(layouts, "_sums_fit", lambda *_: True)
    assert short_biases(wrong.main) == 1
    assert np.abs(run(reread(wrong), sample)["dense_0"] - 2048).max() > 100


def test_short_biases_take_sums_that_their_output_bounds():
    ranges = given(long_sum(), -1.0, 1.0)
    assert short_biases(applied(long_sum(), "int16x8", ranges=ranges).main) == 1


def two_readers(second: str) -> Model:
    """A bias that a convolution shares with another layer."""
    b = Builder()
    x = b.input("x", [1, 4, 4, 6])
    first = b.conv(x, 6)
    other = b.conv(x, 6) if second == "CONV_2D" else b.depthwise(x)
    model = b.model(first, other)
    model.main.set_input(other.producer, 2, first.producer.inputs[2])
    weights = other.producer.inputs[1]
    peak = np.abs(first.producer.inputs[1].data).max(axis=(1, 2, 3))
    spread = peak if second == "DEPTHWISE_CONV_2D" else peak[:, None, None, None]
    weights.data = (np.ones(weights.shape) * spread).astype(np.float32)
    return model


@pytest.mark.parametrize(("second", "changed"), [("CONV_2D", 2), ("DEPTHWISE_CONV_2D", 0)])
def test_a_shared_bias_is_short_for_all_of_its_readers_or_none(second, changed):
    model = applied(two_readers(second), "int16x8")
    biases = {op.inputs[2] for op in model.main.ops if op.kind.endswith("CONV_2D")}
    assert len(biases) == 1, "the test is about one stored bias"
    assert short_biases(model.main) == changed
    model.validate()
    assert raw_run(model, {"x": np.zeros((1, 4, 4, 6), np.float32)})


# -- float_islands ---------------------------------------------------------------------------------


def test_float_islands_are_within_a_step_of_the_integer_kernels():
    sample = int16_sample(kernels())
    plain, islands = (
        applied(kernels(), "int16x8", "int16", ranges=given(kernels(), -3.0, 3.0)) for _ in range(2)
    )
    assert float_islands(islands.main) == 4
    assert {t.dtype for op in islands.main.ops if "CONV" in op.kind for t in op.outputs} == {"float32"}
    found, wanted = raw_run(reread(islands), sample), raw_run(reread(plain), sample)
    for name, values in wanted.items():
        assert np.abs(found[name].astype(int) - values).max() <= 1, name


def test_float_islands_follow_each_other_in_a_whole_model():
    model = residual_net()
    sample = random_inputs(model)
    plain = quantized(model, "int16x8", sample)
    islands = copy_model(plain)
    assert float_islands(islands.main) == 6
    islands = reread(islands)
    unpacked = [op.inputs[0] for op in islands.main.ops if op.kind == "DEQUANTIZE"]
    assert len(unpacked) == len(set(unpacked)), "a tensor is unpacked once for all of its readers"
    results = run_all({"islands": islands, "plain": plain}, {"islands": sample, "plain": sample})
    difference = results["islands"]["probabilities"] - results["plain"]["probabilities"]
    assert np.abs(difference).max() < 8 / 32768


@pytest.mark.parametrize("scheme", ["int8", "dynamic", "float16"])
def test_float_islands_refuse_other_schemes(scheme):
    model = applied(residual_net(), scheme)
    before = kinds(model)
    assert float_islands(model.main) == 0
    assert kinds(model) == before


# -- bridge_through_float --------------------------------------------------------------------------


def mixed() -> Model:
    """An int8 op, an int16 op and an int8 op again."""
    model = conv_net()
    overrides = [("conv_1", "int16x8")]
    return applied(model, "int8", ranges=given(model, -4.0, 4.0), overrides=overrides)


def test_conversions_between_widths_go_through_float():
    sample = random_inputs(conv_net())
    plain, bridged = mixed(), mixed()
    direct = [op for op in plain.main.ops if op.kind == "QUANTIZE" and op.inputs[0].dtype != "float32"]
    assert len(direct) == 2
    assert bridge_through_float(bridged.main) == 2
    assert all(op.inputs[0].dtype == "float32" for op in bridged.main.ops if op.kind == "QUANTIZE")
    found, wanted = run(reread(bridged), sample)["probabilities"], run(reread(plain), sample)["probabilities"]
    assert np.abs(found - wanted).max() <= 4 / 256


def test_a_bridge_is_not_built_within_one_width():
    b = Builder()
    p = b.softmax(b.dense(b.input("x", [1, 4]), 4))
    y = b.dense(p, 4)
    model = applied(b.model(binary(b, "MAXIMUM", p, y)), "int8")
    before = kinds(model)
    assert before.count("QUANTIZE") == 2
    assert bridge_through_float(model.main) == 0
    assert kinds(model) == before


# -- the tables ------------------------------------------------------------------------------------


def test_every_target_ends_in_the_plain_layout_and_names_known_rewrites():
    for alternatives in LAYOUTS.values():
        assert alternatives[-1] == ()
        assert {name for names in alternatives for name in names} <= set(REWRITES)


def test_lay_out_counts_what_changed():
    model = applied(conv_net(), "int16x8")
    assert lay_out(model, ("unpack_hybrid", "float_islands", "bridge_through_float")) == {"float_islands": 4}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("target", LAYOUTS)
def test_every_layout_of_every_scheme_is_a_sound_graph(target, scheme):
    for names in LAYOUTS[target]:
        model = applied(residual_net(), scheme)
        lay_out(model, names)
        read = read_model(serialize(model))
        assert [op.kind for op in read.main.ops] == [op.kind for op in model.main.ops]


def test_pointwise_convolutions_of_int8x4_become_dense_and_larger_ones_stay():
    b = Builder(seed=3)
    x = b.input("x", [1, 4, 4, 128])
    model = b.model(b.conv(x, 128, kernel=1), b.conv(x, 64))
    made = applied(model, "int8x4")
    dense = copy_model(made)
    assert lay_out(dense, ("dense_pointwise",)) == {"dense_pointwise": 1}
    assert kinds(dense).count("FULLY_CONNECTED") == 1
    assert kinds(dense).count("CONV_2D") == 1
    sample = {"x": np.random.default_rng(0).standard_normal((1, 4, 4, 128)).astype(np.float32)}
    for name, values in run(made, sample).items():
        step = np.abs(values).max() / 60
        assert np.abs(run(dense, sample)[name] - values).max() <= step
