"""What a GPU computes wrongly is rewritten to ops that it computes right; LiteRT's CPU computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from support.gpu_fix_cases import CASES, INTEGER
from support.models import Builder
from support.one_op_models import Case, Fixed, Typed, build, draw
from support.one_op_twins import make_twin, value_ranges
from support.vulkan import needs_vulkan
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session
from tightfit.targets.fixes.apply_fixes import fix
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.litert_gpu import run

GPU = find_target("gpu")


def made(name: str) -> tuple[Model, dict[str, np.ndarray]]:
    if name in CASES:
        return build(CASES[name]), draw(CASES[name])
    twin = make_twin(INTEGER[name], "int8", value_ranges([INTEGER[name]])[INTEGER[name].name])
    return twin.model, twin.inputs


def answers(model: Model, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    with Session(bytes(serialize(model)), delegate=False) as session:
        return list(session.run(inputs).values())


@pytest.mark.parametrize("name", [*CASES, *INTEGER])
def test_a_fix_leaves_nothing_that_falls_back_or_is_wrong_and_equal_answers(name):
    model, inputs = made(name)
    before = check(model, GPU)
    assert not before.right or before.fallbacks
    fixed, applied = fix(model, GPU, ends=False)
    assert name.split(" of ")[0] in {a.name for a in applied}
    after = check(fixed, GPU)
    assert after.right
    assert not after.fallbacks
    for new, old in zip(answers(fixed, inputs), answers(model, inputs), strict=True):
        np.testing.assert_array_equal(new, old)


@needs_vulkan
@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASES, *INTEGER])
def test_the_accelerator_computes_the_fixed_model_right_and_whole(name):
    model, inputs = made(name)
    fixed = read_model(bytes(serialize(fix(model, GPU, ends=False)[0])))
    result = run(fixed, GPU, [inputs[t.name] for t in fixed.main.inputs])
    assert result.right
    assert result.accelerated == {(0, i) for i in range(len(fixed.main.ops))}


def cut_model() -> Model:
    """Convolutions around an EXPAND_DIMS and a SQUEEZE, which a GPU does not take; five axes between."""
    b = Builder()
    y = b.conv(b.input("x", [1, 8, 8, 4]), 8)
    y = b.op("EXPAND_DIMS", [y, b.constant("axis", [0], "int32")], (1, *y.shape), table="ExpandDimsOptions")
    y = b.op("SQUEEZE", [y], y.shape[1:], table="SqueezeOptions", options={"squeezeDims": [0]})
    return b.model(b.conv(y, 8))


def test_ops_that_reshape_one_after_the_other_become_one_and_leave_one_piece():
    model = cut_model()
    before = check(model, GPU)
    assert before.accelerated_share < 1
    fixed, applied = fix(model, GPU, ends=False)
    assert [a.name for a in applied] == ["join-reshapes"]
    after = check(fixed, GPU)
    assert (after.pieces, after.accelerated_share, after.fallbacks) == (1, 1.0, [])
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype(np.float32)}
    np.testing.assert_array_equal(answers(fixed, inputs), answers(model, inputs))


@needs_vulkan
def test_the_accelerator_runs_the_joined_model_in_one_piece():
    fixed = fix(cut_model(), GPU, ends=False)[0]
    found = run(read_model(bytes(serialize(fixed))), GPU)
    assert (found.pieces, len(found.accelerated)) == (1, len(fixed.main.ops))


def less(shape: tuple[int, ...], constant: tuple[int, ...]) -> tuple[Model, dict[str, np.ndarray]]:
    values = np.arange(np.prod(constant)).reshape(constant) % 3
    case = Case("LESS", [Typed(shape, "int32", 0, 3), Fixed(values)], [(shape, "bool")], "LessOptions")
    return build(case), draw(case)


def test_an_int32_constant_of_fewer_dimensions_is_wrong_on_a_gpu_and_is_reshaped():
    assert check(less((2, 3, 4), (2, 3, 4))[0], GPU).right
    model, inputs = less((2, 3, 4), (4,))
    assert not check(model, GPU).right
    fixed, _ = fix(model, GPU, ends=False)
    assert check(fixed, GPU).right
    np.testing.assert_array_equal(answers(fixed, inputs), answers(model, inputs))


@needs_vulkan
@pytest.mark.slow
def test_the_accelerator_compares_with_int32_constants_as_the_rule_says():
    for shape, constant, right in (((2, 3, 4), (4,), False), ((2, 3, 4), (2, 3, 4), True)):
        model, inputs = less(shape, constant)
        assert run(model, GPU, list(inputs.values())).right == right


def reshaped_by_its_shape() -> Model:
    """x [-1, 4, 6] → RESHAPE to [batch, 24], whose batch the file computes from the shape of x."""
    b = Builder()
    x = b.input("x", [1, 4, 6], dynamic_batch=True)
    shape = b.op("SHAPE", [x], [3], dtype="int32", table="ShapeOptions", options={"outType": 2})
    begin, end, step = (b.constant(n, [v], "int32") for n, v in (("begin", 0), ("end", 1), ("step", 1)))
    batch = b.op(
        "STRIDED_SLICE", [shape, begin, end, step], [], dtype="int32", table="StridedSliceOptions",
        options={"shrinkAxisMask": 1},
    )  # fmt: skip
    sizes = b.op(
        "PACK", [batch, b.constant("rest", 24, "int32")], [2], dtype="int32", table="PackOptions",
        options={"valuesCount": 2, "axis": 0},
    )  # fmt: skip
    return b.model(b.dense(b.op("RESHAPE", [x, sizes], [1, 24], table="ReshapeOptions"), 5))


def test_a_file_that_computes_sizes_from_its_batch_gets_the_sizes_of_the_file():
    model = reshaped_by_its_shape()
    assert check(model, GPU).refused
    fixed, applied = fix(model, GPU, ends=False)
    assert [a.name for a in applied] == ["fixed-shapes"]
    assert {"SHAPE", "PACK"}.isdisjoint(op.kind for op in fixed.main.ops)
    after = check(fixed, GPU)
    assert (after.refused, after.fallbacks) == ("", [])
    inputs = {"x": np.random.default_rng(0).standard_normal((1, 4, 6)).astype(np.float32)}
    np.testing.assert_array_equal(answers(fixed, inputs), answers(model, inputs))
    assert model.main.inputs[0].shape_signature == (-1, 4, 6)
