"""The limits that rows tell of are real: kernels are right inside of them, and refuse or err outside."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from support.kernel_bounds import steps
from support.one_op_cases import CASES
from support.one_op_models import Case, Fixed, Value, Weights
from support.one_op_twins import Twin, all_ranges, make_twin, run_each, value_ranges
from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Quantization
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.ops.op_rule import OpRule, least_output_scale
from tightfit.quantization.ops.op_table import OP_RULES

NAMED = {case.name: case for case in CASES}
NARROW = [
    (case.name, dtype)
    for case in CASES
    for dtype in ("int8", "int16")
    if OP_RULES[case.kind].accumulator and OP_RULES[case.kind].version(dtype) is not None
]
MISSING = [
    (kind, dtype)
    for kind, rule in OP_RULES.items()
    for dtype in ("int8", "int16")
    if kind in NAMED
    and not rule.hybrid_weights
    and rule.version(dtype) is None  # hybrid kernels know floats only
]
DISTRUSTED = {
    "SCATTER_ND": (
        Case("SCATTER_ND", [Fixed([[1]]), Value((1, 4), -1.0, 2.0), Fixed([3, 4])], [(3, 4)]),
        OpRule("SCATTER_ND", "scatter_nd.cc", int8=1, keep_inputs=(0, 2), same_scale=(1,)),
    ),
    "FLOOR_DIV": (
        Case("FLOOR_DIV", [Value((2, 3), -1.0, 2.0), Value((2, 3), 1.0, 2.0)], [(2, 3)]),
        OpRule("FLOOR_DIV", "floor_div.cc", int8=3),
    ),
}
"""Ops of ``FLOAT_ONLY`` that LiteRT runs on integers, and the row that would be theirs if it did so right."""


def distance(twin: Twin, *, delegate: bool = True) -> float:
    """Steps between a twin and its reference; infinite when LiteRT refuses the twin."""
    given = run_each({"twin": twin.model}, {"twin": twin.inputs}, delegate=delegate)["twin"]
    if isinstance(given, RuntimeFailureError):
        return np.inf
    wanted = run_each({"twin": twin.reference}, {"twin": twin.float_inputs}, delegate=False)["twin"]
    assert not isinstance(wanted, RuntimeFailureError), wanted
    return max(_distance(twin, name, given[name], wanted[name]) for name in wanted)


def _distance(twin: Twin, name: str, given: np.ndarray, wanted: np.ndarray) -> float:
    tensor = next(t for t in twin.op.outputs if t.name == name)
    if tensor.quantization is None:
        return float((given != wanted).sum())
    scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zero_point[0]
    exact = np.clip(wanted.astype(np.float64) / scale + zero_point, *LIMITS[twin.dtype])
    return float(np.abs(given - exact).max())


@functools.cache
def narrowed() -> dict[str, Twin]:
    """Twins whose output scale is the least that their rows allow, far below what the values need."""
    made = {}
    for name, dtype in NARROW:
        twin = make_twin(NAMED[name], dtype, all_ranges()[name])
        if dtype == "int16":
            twin.op.options.update(OP_RULES[twin.case.kind].int16_options)
        output = twin.op.outputs[0].quantization
        least = np.float32(least_output_scale(OP_RULES[twin.case.kind], dtype, _scales(twin)))
        scale = np.minimum(output.scale, least)
        twin.op.outputs[0].quantization = Quantization(scale, output.zero_point)
        made[f"{name} {dtype}"] = twin
    return made


def _scales(twin: Twin) -> list[float]:
    rule = OP_RULES[twin.case.kind]
    inputs = [(i, t) for i, t in enumerate(twin.op.inputs) if t is not None and t.is_quantized]
    activations = [t for i, t in inputs if i not in (rule.weight, rule.bias)]
    weights = [t for i, t in inputs if i == rule.weight]
    return [float(t.quantization.scale.max()) for t in (*activations, *weights)]


@functools.cache
def narrow_results(*, delegate: bool) -> dict[str, object]:
    models = {name: twin.model for name, twin in narrowed().items()}
    return run_each(models, {name: twin.inputs for name, twin in narrowed().items()}, delegate=delegate)


@functools.cache
def narrow_references() -> dict[str, object]:
    models = {name: twin.reference for name, twin in narrowed().items()}
    return run_each(models, {name: twin.float_inputs for name, twin in narrowed().items()}, delegate=False)


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize(("name", "dtype"), NARROW)
def test_kernels_are_right_down_to_the_least_output_scale(name, dtype, delegate):
    this = f"{name} {dtype}"
    twin, given = narrowed()[this], narrow_results(delegate=delegate)[this]
    assert not isinstance(given, RuntimeFailureError), given
    # Where a step of the accumulator is worth several of the output, its rounding is, too.
    worth = max(1.0, OP_RULES[twin.case.kind].gain[dtype])
    found = _distance(twin, "out0", given["out0"], narrow_references()[this]["out0"])
    assert found <= steps(twin) * worth


@pytest.mark.parametrize("kind", ["CONV_2D", "HARD_SWISH", "MUL", "SQUARED_DIFFERENCE"])
def test_a_kernel_fails_far_below_its_least_output_scale(kind):
    twin = make_twin(NAMED[kind], "int8", all_ranges()[kind])
    output = twin.op.outputs[0].quantization
    twin.op.outputs[0].quantization = Quantization(output.scale * np.float32(1e-8), output.zero_point)
    assert distance(twin, delegate=kind != "MUL") > 64 * steps(twin)


@pytest.mark.parametrize(("kind", "dtype"), MISSING)
def test_a_dtype_that_a_row_leaves_out_is_refused_or_wrong(kind, dtype, monkeypatch):
    monkeypatch.setitem(OP_RULES, kind, dataclasses.replace(OP_RULES[kind], **{dtype: 1}))
    twin = make_twin(NAMED[kind], dtype, all_ranges()[kind])
    if kind == "MATRIX_DIAG":
        _shift_zero_point(twin)
    if kind in ("EQUAL", "NOT_EQUAL"):
        # Two neighbours, one in 128 of what the kernel can tell apart.
        twin.inputs = {"in0": np.full((4, 8), 1, np.int16), "in1": np.full((4, 8), 2, np.int16)}
        twin.float_inputs = {"in0": np.zeros((4, 8), np.float32), "in1": np.ones((4, 8), np.float32)}
        assert distance(twin) > 0
    else:
        assert distance(twin) > 10 * steps(twin)


def _shift_zero_point(twin: Twin) -> None:
    """Gives every quantized tensor of a twin of which nothing depends on the zero point another one."""
    for tensor in (*twin.op.inputs, *twin.op.outputs):
        tensor.quantization = Quantization(tensor.quantization.scale, np.asarray([-50]))
    scale = twin.op.inputs[0].quantization.scale[0]
    twin.float_inputs = {k: (v.astype(np.float32) + 50) * scale for k, v in twin.inputs.items()}


@pytest.mark.parametrize("kind", DISTRUSTED)
def test_an_op_that_only_seems_to_run_on_integers_is_wrong(kind, monkeypatch):
    case, rule = DISTRUSTED[kind]
    monkeypatch.setitem(OP_RULES, kind, rule)
    twin = make_twin(case, "int8", value_ranges([case])[kind])
    assert distance(twin) > 10 * steps(twin)


@pytest.mark.parametrize("kind", ["LESS", "EQUAL"])
def test_int8_comparisons_tell_neighbours_apart_only_above_their_least_scale(kind, monkeypatch):
    def twin(scale: float) -> Twin:
        limit = 255 * scale / 2
        case = Case(
            kind, [Value((64, 64), -limit, limit), Weights((64, 64), -limit, limit)], [((64, 64), "bool")],
            f"{kind.title()}Options",
        )  # fmt: skip
        return make_twin(case, "int8", value_ranges([case])[kind])

    least = OP_RULES[kind].least_input_scale
    assert distance(twin(least * 1.01)) == 0
    # A plan would leave it in float.
    monkeypatch.setitem(OP_RULES, kind, dataclasses.replace(OP_RULES[kind], least_input_scale=0.0))
    assert distance(twin(least / 4)) > 0


def test_negation_of_the_lowest_integer_gives_itself(monkeypatch):
    case = Case("NEG", [Value((2, 3), -1.0, 1.0)], [(2, 3)], "NegOptions")
    monkeypatch.setitem(OP_RULES, "NEG", OpRule("NEG", "neg.cc", int16=1, same_scale=(0,)))
    twin = make_twin(case, "int16", value_ranges([case])["NEG"])
    twin.inputs["in0"][:] = -32768
    twin.float_inputs["in0"][:] = -32768 * twin.op.inputs[0].quantization.scale[0]
    assert distance(twin) > 65000


def test_int16_sums_need_their_option_where_scales_are_nearly_powers_of_two():
    twin = make_twin(NAMED["ADD"], "int16", {"in0": (-1, 1), "in1": (-1, 1), "out0": (-0.25, 0.25)})
    twin.op.options["potScaleInt16"] = True
    assert distance(twin) == np.inf
    twin.op.options.update(OP_RULES["ADD"].int16_options)
    assert distance(twin) <= steps(twin)


def test_a_divisor_that_is_stored_as_zero_fails_the_call():
    assert OP_RULES["DIV"].nonzero == 1
    case = NAMED["DIV"]
    twin = make_twin(case, "int8", all_ranges()["DIV"])
    divisor = twin.op.inputs[1]
    twin.inputs[divisor.name][:] = divisor.quantization.zero_point[0]
    assert distance(twin) == np.inf
