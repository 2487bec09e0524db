"""The verdict: what is accelerated, why not, how much of the work, what it needs."""

from __future__ import annotations

import pytest

from support.integer_models import conv, feature, fixed, model_of, unary, weights, with_float_ends
from support.models import Builder, conv_net
from tightfit.errors import OptionError
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.targets.needed_memory import peak_bytes, weight_bytes
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target, targets


def chain(*kinds: str) -> Model:
    """x → each kind, in order, over int8 tensors."""
    model = unary(kinds[0])
    for i, kind in enumerate(kinds[1:]):
        made = feature(f"y{i}", (1, 8, 8, 4))
        model.main.append(Op(kind, [model.main.outputs[0]], [made]))
        model.main.outputs = [made]
    return model


def test_a_float_model_is_not_accelerated_by_an_integer_target():
    verdict = check(conv_net(), "ethos-u55-128")
    assert verdict.accelerated_share == 0
    assert verdict.fallbacks[0].reason.startswith(
        "Feature maps are int8, uint8, int16, int32 or int64: 'image' is float32"
    )
    assert "quantize the model" in verdict.fallbacks[0].fix


def test_a_float_model_is_accelerated_by_xnnpack():
    assert not check(conv_net(), "cpu").fallbacks


def wide_net() -> Model:
    b = Builder()
    return b.model(b.dense(b.input("x", [1, 64]), 160))


@pytest.mark.parametrize(("make", "rank"), [(conv_net, 4), (wide_net, 1)])
def test_a_float16_model_is_accelerated_by_the_gpu(make, rank, tmp_path):
    write_model(make(), tmp_path / "float.tflite")
    quantize_file(tmp_path / "float.tflite", "float16", tmp_path / "half.tflite")
    half = read_model(tmp_path / "half.tflite")
    halved = [t for t in half.main.tensors() if t.dtype == "float16" and len(t.shape) == rank]
    assert halved, "no weight of a convolution, or no wide bias, was halved"
    assert check(half, "gpu").accelerated_share == 1.0
    assert not check(half, "gpu").fallbacks


def test_float_ends_fall_back_and_cost_no_share():
    verdict = check(with_float_ends(conv()), "ethos-u55-128")
    assert [p.kind for p in verdict.fallbacks] == ["QUANTIZE", "DEQUANTIZE"]
    assert verdict.accelerated_share == 1.0
    assert verdict.switches == 2


def test_the_share_counts_macs_where_there_are_any_and_ops_otherwise():
    assert check(chain("ABS", "SQRT"), "ethos-u55-128").accelerated_share == 0.5


def test_an_op_that_is_not_listed_is_named():
    verdict = check(unary("SQRT"), "ethos-u55-128")
    assert verdict.fallbacks[0].reason == "SQRT is not among the ops of Arm Ethos-U55 and Ethos-U65"


def test_the_edge_tpu_places_nothing_after_the_first_fallback():
    verdict = check(chain("LOGISTIC", "SQRT", "TANH"), "edge-tpu")
    assert [p.accelerated for p in verdict.placements] == [True, False, False]
    assert verdict.placements[2].reason == "It depends on SQRT 'y0', which falls back"


def test_float_inputs_do_not_end_the_edge_tpus_partition():
    verdict = check(with_float_ends(conv()), "edge-tpu")
    assert [p.accelerated for p in verdict.placements] == [False, True, False]


def test_an_op_that_makes_vela_refuse_the_file_moves_every_op_off_the_npu():
    verdict = check(chain("ABS", "HARD_SWISH"), "ethos-u55-128")
    assert not verdict.refused
    model = chain("ABS", "HARD_SWISH")
    for tensor in model.main.tensors():
        tensor.dtype = "int16"
    verdict = check(model, "ethos-u55-128")
    assert verdict.refused.startswith("The first input is int8 or uint8: 'y' is int16")
    assert not any(p.accelerated for p in verdict.placements)
    assert not verdict.runs
    assert "refuses the file" in verdict.summary()


def test_what_tells_a_reshape_its_shape_is_left_out_by_vela():
    x, y = feature("x", (1, 4)), feature("y", (4, 1))
    shape = Tensor("shape", (2,), "int32")
    model = model_of("RESHAPE", [x, shape], [y], "ReshapeOptions")
    model.main.inputs = [x]
    model.main.insert(0, Op("SHAPE", [x], [shape], {"outType": 2}, "ShapeOptions"))
    assert not check(model, "ethos-u55-128").fallbacks


def test_a_dilated_convolution_in_three_ops_counts_as_one():
    x, wide, narrow, y = (feature(n, s) for n, s in (
        ("x", (1, 8, 8, 2)), ("wide", (4, 6, 6, 2)), ("narrow", (4, 4, 4, 3)), ("y", (1, 4, 4, 3)))
    )  # fmt: skip
    block, pads, crops = fixed("block", [2, 2]), fixed("pads", [[2, 2]] * 2), fixed("crops", [[2, 2]] * 2)
    model = model_of("SPACE_TO_BATCH_ND", [x, block, pads], [wide])
    model.main.append(
        Op(
            "CONV_2D",
            [wide, weights("w", 3, 3, 3, 2), None],
            [narrow],
            {"padding": 1, "strideW": 1, "strideH": 1},
            "Conv2DOptions",
        )
    )
    model.main.append(Op("BATCH_TO_SPACE_ND", [narrow, block, crops], [y]))
    model.main.outputs = [y]
    assert not check(model, "ethos-u55-128").fallbacks
    model.main.outputs = [y, narrow]
    model.main.append(Op("ABS", [narrow], [feature("z", (4, 4, 4, 3))]))
    assert [p.kind for p in check(model, "ethos-u55-128").fallbacks] == [
        "SPACE_TO_BATCH_ND",
        "BATCH_TO_SPACE_ND",
    ]


def test_a_missing_kernel_stops_a_microcontroller():
    verdict = check(unary("GELU"), "micro")
    assert not verdict.runs
    assert check(unary("SOFTMAX", table="SoftmaxOptions", beta=1.0), "micro").runs


def test_memory_is_compared_with_the_devices_or_the_given_limit():
    model = conv()
    assert check(model, "edge-tpu").memory_limit == 8 << 20
    small = check(model, "micro", memory_bytes=100)
    assert not small.fits
    assert small.needed_bytes == peak_bytes(model.main) == 8 * 8 * (4 + 8)
    assert "do not fit its memory" in small.summary()


def test_shared_constants_count_once():
    model = conv()
    w = model.main.ops[0].inputs[1]
    before = weight_bytes(model)
    twin = Tensor("twin", w.shape, "int8", w.data, w.quantization)
    model.main.append(Op("ABS", [twin], [feature("z", w.shape)]))
    assert weight_bytes(model) == before == 8 * 3 * 3 * 4 + 8 * 4


def test_an_unknown_target_is_refused_with_the_closest_match():
    with pytest.raises(OptionError, match=r"Unknown target 'ethos-u55-127'.*Did you mean 'ethos-u55-12"):
        check(conv(), "ethos-u55-127")


@pytest.mark.parametrize("name", list(targets()))
def test_every_target_judges_every_kind_of_model(name):
    for model in (conv(), conv_net(), conv(weight_dtype="int4"), unary("SQRT")):
        verdict = check(model, name)
        assert len(verdict.placements) == len(model.main.ops)
        assert verdict.as_json()["target"] == name
        assert verdict.summary()


def test_aliases_name_the_same_device():
    assert find_target("hexagon") is find_target("qualcomm-htp")
    assert find_target("coral") is find_target("edge-tpu")
