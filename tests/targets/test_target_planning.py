"""What a target asks of a file that is made for it, from the scheme to single ops."""

from __future__ import annotations

import pytest

from support.models import Builder, conv_net
from tightfit.errors import OptionError
from tightfit.graph.ir import Model
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target, targets
from tightfit.targets.target_planning import interface_for, overrides_for, rewrites_for, scheme_for


def hard_swish_net() -> Model:
    b = Builder()
    y = b.conv(b.input("image", [1, 8, 8, 3]), 8, activation=0)
    y = b.op("HARD_SWISH", [y], y.shape, name="swish[0]", table="HardSwishOptions")
    return b.model(b.conv(y, 4))


def ranges_of(model: Model) -> Ranges:
    keys = model.main.keys()
    return Ranges.given({keys[t]: (-2.0, 2.0) for t in model.main.tensors() if t.dtype == "float32"})


def quantized(model: Model, scheme, overrides=()) -> Model:
    return apply_plan(model, make_plan(model, scheme, ranges_of(model), overrides=overrides))


@pytest.mark.parametrize(("target", "scheme"), [(t, s) for t in targets().values() for s in t.family.schemes])
def test_every_scheme_of_a_target_can_have_its_ends(target, scheme):
    assert scheme_for(target, scheme).interface == interface_for(target, scheme)


def test_a_scheme_that_the_target_does_not_take_is_refused():
    with pytest.raises(OptionError, match=r"'ethos-u55-128' .* takes int8, int16x8; received the scheme 'fl"):
        scheme_for(find_target("ethos-u55-128"), "float16")


def test_ends_that_are_asked_for_stay():
    assert scheme_for(find_target("ethos-u55-128"), "int8", "float32").interface == "float32"


def test_dense_layers_for_the_edge_tpu_have_one_scale():
    counts = {}
    for name in ("edge-tpu", "ethos-u55-128"):
        made = quantized(conv_net(), scheme_for(find_target(name), "int8"))
        for op in made.main.ops:
            if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
                counts[name, op.kind] = op.inputs[1].quantization.scale.size
    assert counts["edge-tpu", "FULLY_CONNECTED"] == 1
    assert counts["ethos-u55-128", "FULLY_CONNECTED"] == 5
    assert counts["edge-tpu", "CONV_2D"] > 1


def test_an_op_whose_type_refuses_the_file_gets_the_other_type():
    model, target = hard_swish_net(), find_target("ethos-u55-128")
    scheme = scheme_for(target, "int16x8")
    assert check(quantized(model, scheme), target).refused
    overrides = overrides_for(target, model, scheme, ranges_of(model))
    assert [(o.pattern, o.scheme) for o in overrides] == [("swish[[]0]", "int8")]
    assert overrides[0].reason.startswith("for ethos-u55-128: The first input is int8 or uint8")
    verdict = check(quantized(model, scheme, overrides), target)
    assert verdict.runs
    assert verdict.accelerated_share == 1.0
    assert not verdict.fallbacks


def test_an_op_that_nothing_runs_in_integers_stays_float():
    b = Builder()
    x = b.op("EXP", [b.input("x", [1, 8])], [1, 8], name="power", table="ExpOptions")
    model, target = b.model(b.dense(x, 4)), find_target("micro")
    scheme = scheme_for(target, "int8")
    assert not check(quantized(model, scheme), target).runs
    overrides = overrides_for(target, model, scheme, ranges_of(model))
    assert [(o.pattern, o.scheme) for o in overrides] == [("power", "float")]
    assert check(quantized(model, scheme, overrides), target).runs


def test_a_model_that_the_target_takes_gets_no_overrides():
    target = find_target("ethos-u55-128")
    assert overrides_for(target, conv_net(), find_scheme("int8"), ranges_of(conv_net())) == ()


def test_rewrites_change_what_falls_back_and_leave_the_rest():
    b = Builder()
    x = b.input("x", [1, 4, 4, 8])
    y = b.op("DEPTH_TO_SPACE", [x], [1, 8, 8, 2], table="DepthToSpaceOptions", options={"blockSize": 2})
    model, target = b.model(b.conv(y, 4)), find_target("ethos-u55-128")
    made = quantized(model, scheme_for(target, "int8"))
    assert [p.kind for p in check(made, target).fallbacks] == ["DEPTH_TO_SPACE"]
    changed, notes = rewrites_for(target, made)
    assert notes == ["for ethos-u55-128: DEPTH_TO_SPACE as RESHAPE, TRANSPOSE, RESHAPE (1)"]
    assert not check(changed, target).fallbacks
    assert check(made, target).fallbacks, "the given model stays as it is"
    assert rewrites_for(target, changed) == (changed, [])
