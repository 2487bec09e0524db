"""Each fix turns a fallback into acceleration, as vela confirms, and LiteRT computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from support import gpu_fix_cases
from support.integer_models import (
    SCALE,
    binary,
    conv,
    feature,
    fixed,
    mean,
    model_of,
    resize,
    unary,
    with_float_ends,
)
from tightfit.errors import ModelError
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session
from tightfit.targets.fixes.apply_fixes import FIXES, fix
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.ethos_u import compile_ethos_u, vela_command

TARGET = find_target("ethos-u55-128")
needs_vela = pytest.mark.skipif(
    vela_command() is None, reason="vela is not installed: pip install 'tightfit[ethos-u]'"
)


def divide() -> Model:
    a, y = feature("a", (1, 4, 4, 2)), feature("y", (1, 4, 4, 2), scale=0.2)
    b = fixed("b", [100], "int8", 0.005)
    return model_of("DIV", [a, b], [y], "DivOptions", fusedActivationFunction=0)


def gather() -> Model:
    x, y = feature("x", (1, 6, 4, 3)), feature("y", (1, 4, 4, 3))
    return model_of("GATHER", [x, fixed("i", [0, 1, 4, 2])], [y], "GatherOptions", axis=1, batchDims=0)


def block(kind: str, table: str) -> Model:
    small, large = (1, 4, 6, 12), (1, 8, 12, 3)
    shapes = (small, large) if kind == "DEPTH_TO_SPACE" else (large, small)
    return model_of(kind, [feature("x", shapes[0])], [feature("y", shapes[1])], table, blockSize=2)


CASES = {
    "reshape-mean": lambda: mean((1, 8, 6, 5), [3]),
    "reshape-mean of a batch": lambda: mean((3, 6, 5, 4), [1, 2]),
    "reshape-mean of a long axis": lambda: mean((1, 5000, 1, 3), [1]),
    "repeat-pixels": lambda: resize((1, 3, 5, 2), (1, 9, 10, 2)),
    "depth-to-space": lambda: block("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    "space-to-depth": lambda: block("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
    "gather-slices": gather,
    "multiply-reciprocal": divide,
    "requantize-inputs": lambda: binary("MAXIMUM", second=2 * SCALE, table="MaximumMinimumOptions"),
    "leaky-as-prelu": lambda: unary("LEAKY_RELU", table="LeakyReluOptions", alpha=0.3),
    "widen-int4": lambda: conv(weight_dtype="int4"),
    "integer-interface": lambda: with_float_ends(conv()),
}  # fmt: skip
ELSEWHERE = {"leaky-as-prelu": find_target("edge-tpu")}
"""Fixes of ops that Ethos-U55 takes, with a target that does not."""

RUNS_IN_LITERT = sorted(set(CASES) - {"requantize-inputs", "integer-interface"})


def test_every_fix_has_a_case():
    assert {row.name for row in FIXES} <= set(CASES) | set(gpu_fix_cases.CASES) | set(gpu_fix_cases.INTEGER)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_fix_leaves_nothing_on_the_cpu(name):
    model, target = CASES[name](), ELSEWHERE.get(name, TARGET)
    before = check(model, target)
    fixed_model, applied = fix(model, target)
    after = check(fixed_model, target)
    assert before.fallbacks
    assert not after.fallbacks
    assert not after.refused
    assert [a.name for a in applied] == [name.split(" ")[0]]


@needs_vela
@pytest.mark.parametrize("name", sorted(set(CASES) - set(ELSEWHERE)))
def test_vela_places_the_fixed_model_on_the_npu(name):
    model = CASES[name]()
    fixed_model, _ = fix(model, TARGET)
    if name != "widen-int4":
        assert compile_ethos_u(model, TARGET).cpu_reasons
    assert not compile_ethos_u(fixed_model, TARGET).cpu_reasons


@pytest.mark.parametrize("name", RUNS_IN_LITERT)
def test_the_fixed_model_computes_the_same(name):
    model = CASES[name]()
    fixed_model, _ = fix(model, ELSEWHERE.get(name, TARGET))
    # The reciprocal is rounded to 1 / 254 of itself at most: half a step of 127, and the result once more.
    steps = {"multiply-reciprocal": 1, "leaky-as-prelu": 1}.get(name, 0)
    got, expected = run(fixed_model), run(model)
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= steps


def test_requantized_inputs_are_within_a_step():
    model = CASES["requantize-inputs"]()
    fixed_model, _ = fix(model, TARGET)
    with Session(serialize(fixed_model), delegate=False) as session:
        a, b = inputs_of(session)
        got = next(
            iter(session.run({s.name: v for s, v in zip(session.inputs, (a, b), strict=True)}).values())
        )
    expected = np.clip(np.maximum(a * 1.0, b * 2.0), -128, 127)
    assert np.abs(got - expected).max() <= 1


def test_integer_inputs_are_what_the_quantize_made():
    model = CASES["integer-interface"]()
    fixed_model, _ = fix(model, TARGET)
    with Session(serialize(fixed_model), delegate=False) as session:
        (integers,) = inputs_of(session)
        got = next(iter(session.run({session.inputs[0].name: integers}).values()))
    with Session(serialize(model), delegate=False) as session:
        real = integers.astype(np.float32) * np.float32(SCALE)
        expected = next(iter(session.run({session.inputs[0].name: real}).values()))
    np.testing.assert_allclose(got * 0.1, expected, atol=1e-5)


def test_a_model_without_fallbacks_is_not_rewritten():
    with pytest.raises(
        ModelError, match="There is nothing to fix: every op is accelerated on 'ethos-u55-128'"
    ):
        fix(conv(), TARGET)


def test_a_fallback_without_a_rewrite_is_named():
    with pytest.raises(
        ModelError, match=r"No rewrite applies to what falls back on 'ethos-u55-128': SQRT 'y'"
    ):
        fix(unary("SQRT"), TARGET)


def test_the_given_model_stays_as_it_is():
    model = CASES["depth-to-space"]()
    fix(model, TARGET)
    assert [op.kind for op in model.main.ops] == ["DEPTH_TO_SPACE"]


def run(model: Model) -> np.ndarray:
    with Session(serialize(model), delegate=False) as session:
        values = inputs_of(session)
        sample = {s.name: v for s, v in zip(session.inputs, values, strict=True)}
        return next(iter(session.run(sample).values()))


def inputs_of(session: Session) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(-100, 100, s.shape).astype(s.dtype) for s in session.inputs]
