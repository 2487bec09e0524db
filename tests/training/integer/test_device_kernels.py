"""The device's integer arithmetic in NumPy: every row against LiteRT, equal to the bit."""

from __future__ import annotations

import functools
from fractions import Fraction
from math import floor

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.lowering_cases import CASES
from support.models import NONE, Builder, random_inputs
from support.one_op_models import Case, build, draw, merge
from support.one_op_twins import SCHEMES, value_ranges
from support.quantized_models import planned, written
from tightfit.data.sample import Sample
from tightfit.graph.ir import Model
from tightfit.graph.writer import write_model
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.ops.op_table import OP_RULES
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.training.integer.device_kernels import DEVICE_KERNELS
from tightfit.training.integer.rescaling import Multiplier
from tightfit.training.simulation.simulate_ops import OpDifference, simulate


def cases_of(dtype: str) -> list[Case]:
    """The cases of rows that the plan computes in this type."""
    return [
        c for c in CASES.values() if c.kind in DEVICE_KERNELS and getattr(OP_RULES[c.kind], dtype) is not None
    ]


@functools.cache
def ranges() -> dict[str, dict[str, tuple[float, float]]]:
    return value_ranges([c for c in CASES.values() if c.kind in DEVICE_KERNELS])


def merged(cases: list[Case]) -> Model:
    return merge({c.name: build(c) for c in cases})


@functools.cache
def compared(dtype: str, folder: str) -> dict[str, OpDifference]:
    """Case → how far its op is from the device: all cases in one file, so that LiteRT starts once."""
    cases = cases_of(dtype)
    model = merged(cases)
    found = {f"{c.name}/{t}": r for c in cases for t, r in ranges()[c.name].items()}
    plan = make_plan(model, find_scheme(SCHEMES[dtype], dtype), found)
    path = f"{folder}/{dtype}.tflite"
    write_model(apply_plan(model, plan), path)
    samples = [
        Sample({f"{c.name}/{n}": v for c in cases for n, v in draw(c, seed).items()}) for seed in (1, 2, 3)
    ]
    result = simulate(model, plan, path, samples)
    assert result.left_out == 0
    assert result.samples == 3
    return {op.name.partition("/")[0]: op for op in result.ops}


@pytest.mark.parametrize("dtype", SCHEMES)
def test_every_row_is_the_device_to_the_bit(dtype, tmp_path):
    found = compared(dtype, str(tmp_path))
    assert set(found) == {c.name for c in cases_of(dtype)}
    assert {name: (op.steps, op.share) for name, op in found.items() if op.share} == {}


def test_every_row_has_a_case():
    assert set(DEVICE_KERNELS) <= {c.kind for c in CASES.values()}


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_an_input_that_is_brought_to_another_grid_is_rounded_as_quantize_does(scheme, tmp_path):
    b = Builder()
    x = b.input("x", [1, 40, 40, 3])
    places = b.op("LOGISTIC", [x], [1, 40, 40, 3])
    scaled = b.conv(x, 3, kernel=1, activation=NONE)
    both = b.op(
        "CONCATENATION", [places, scaled], [1, 40, 40, 6], table="ConcatenationOptions",
        options={"axis": 3, "fusedActivationFunction": 0},
    )  # fmt: skip
    model = b.model(both)
    samples = [Sample(random_inputs(model, seed)) for seed in range(3)]
    plan = planned(model, scheme, samples)
    assert plan.ops()[-1].inputs  # what LOGISTIC fixes is not the grid of both
    found = simulate(model, plan, written(model, plan, samples, tmp_path), samples)
    assert {op.kind for op in found.ops} == {"LOGISTIC", "CONV_2D", "CONCATENATION"}
    assert {op.name: op.share for op in found.ops if op.share} == {}


@pytest.mark.parametrize("real", [0.000123, 0.0625, 0.4999, 0.75, 3.7])
def test_fixed_point_factors_round_as_their_definition_says(real):
    values = np.random.default_rng(0).integers(-(2**24), 2**24, 2000)
    factor = Multiplier.of(real)
    mantissa, shift = int(factor.mantissa), int(factor.shift)
    assert factor.times_int32(values).tolist() == [twice_rounded(int(v), mantissa, shift) for v in values]
    short = (mantissa + 2**15) >> 16
    once = [(int(v) * short + (1 << (14 - shift))) >> (15 - shift) for v in values]
    assert factor.times_int64(values).tolist() == once


def twice_rounded(value: int, mantissa: int, shift: int) -> int:
    """``MultiplyByQuantizedMultiplier`` in fractions: halves go up, then away from zero."""
    high = floor(Fraction((value << max(shift, 0)) * mantissa, 2**31) + Fraction(1, 2))
    shifted = Fraction(high, 2 ** max(-shift, 0))
    whole = floor(abs(shifted) + Fraction(1, 2))
    return whole if shifted >= 0 else -whole
