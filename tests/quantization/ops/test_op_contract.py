"""Every row of the table, run on LiteRT as it says and compared with the float op."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from support.kernel_bounds import recurrent, steps, weighted_sum
from support.one_op_cases import CASES
from support.one_op_models import build, draw
from support.one_op_twins import Arrays, Results, Twin, all_ranges, make_hybrid, make_twin, run_each
from tightfit.errors import RuntimeFailureError, TightfitError
from tightfit.graph.ir import Op
from tightfit.graph.versions.op_version import op_version
from tightfit.quantization.arithmetic import LIMITS
from tightfit.quantization.ops.op_table import OP_RULES

# They read a shape, so a plan leaves them as they are whatever type their input has.
SHAPE_OPS = ("SHAPE", "RANK")
DTYPES = ("int8", "int16")
NAMED = {case.name: case for case in CASES}
STATIC = [
    (case.name, dtype, weights)
    for case in CASES
    for dtype in DTYPES
    for weights in ("int8", "int4")
    if case.kind not in SHAPE_OPS and OP_RULES[case.kind].version(dtype, weights) is not None
    if weights == "int8" or OP_RULES[case.kind].weight is not None
    # Its integer form has typed states and intermediates: test_integer_lstm.py runs it.
    if not OP_RULES[case.kind].gates
]
HYBRID = [
    (case.name, weights, per_channel)
    for case in CASES
    for weights in ("int8", "int4")
    for per_channel in (False, True)
    if OP_RULES[case.kind].dynamic_weights() and OP_RULES[case.kind].version("float32", weights) is not None
    if (OP_RULES[case.kind].hybrid_per_channel if per_channel else OP_RULES[case.kind].hybrid) is not None
    if case.note != "adjoint" and case.name not in ("BATCH_MATMUL", "PRELU")
    # Its kernel asks for a scale for each channel when it is grouped, as the row says.
    if per_channel or case.note != "grouped"
]


def key(*parts: object) -> str:
    return " ".join(str(part) for part in parts)


@functools.cache
def static_twins() -> dict[str, Twin | Exception]:
    """Every twin, or why it could not be made: one wrong row must not hide the others."""
    made: dict[str, Twin | Exception] = {}
    for name, dtype, weights in STATIC:
        try:
            made[key(name, dtype, weights)] = make_twin(NAMED[name], dtype, all_ranges()[name], weights)
        except (AssertionError, TightfitError, ValueError, KeyError) as error:
            made[key(name, dtype, weights)] = error
    return made


@functools.cache
def hybrids() -> dict[str, Twin]:
    return {key(n, w, p): make_hybrid(NAMED[n], w, per_channel=p) for n, w, p in HYBRID}


def static_twin(name: str, dtype: str, weights: str = "int8") -> Twin:
    found = static_twins()[key(name, dtype, weights)]
    if isinstance(found, Exception):
        raise found
    return found


def made_twins(group: str) -> dict[str, Twin]:
    every = static_twins() if group == "static" else hybrids()
    return {name: twin for name, twin in every.items() if isinstance(twin, Twin)}


@functools.cache
def results(group: str, *, delegate: bool) -> Results:
    every = made_twins(group)
    models = {k: t.model for k, t in every.items()}
    return run_each(models, {k: t.inputs for k, t in every.items()}, delegate=delegate)


@functools.cache
def expected(group: str) -> Results:
    every = made_twins(group)
    models = {k: t.reference for k, t in every.items()}
    return run_each(models, {k: t.float_inputs for k, t in every.items()}, delegate=False)


def outputs_of(found: Arrays | RuntimeFailureError) -> Arrays:
    assert not isinstance(found, RuntimeFailureError), found
    return found


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize(("name", "dtype", "weights"), STATIC)
def test_an_integer_op_gives_the_float_result_within_its_rounding(name, dtype, weights, delegate):
    this, twin = key(name, dtype, weights), static_twin(name, dtype, weights)
    given = outputs_of(results("static", delegate=delegate)[this])
    wanted = outputs_of(expected("static")[this])
    for tensor in twin.op.outputs:
        if tensor.quantization is None:
            np.testing.assert_array_equal(given[tensor.name], wanted[tensor.name])
            continue
        scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zero_point[0]
        exact = np.clip(wanted[tensor.name].astype(np.float64) / scale + zero_point, *LIMITS[dtype])
        distance = np.abs(given[tensor.name].astype(np.float64) - exact).max()
        assert distance <= steps(twin), f"{distance:.3f} steps"


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize(("name", "weights", "per_channel"), HYBRID)
def test_a_dynamic_range_op_is_right_within_its_input_rounding(name, weights, per_channel, delegate):
    this = key(name, weights, per_channel)
    twin = hybrids()[this]
    given = outputs_of(results("hybrid", delegate=delegate)[this])
    wanted = outputs_of(expected("hybrid")[this])
    if twin.case.kind == "EMBEDDING_LOOKUP":
        allowed = 1e-6
    else:
        allowed = recurrent(twin) if OP_RULES[twin.case.kind].hybrid_weights else weighted_sum(twin)
    for output, values in given.items():
        assert np.abs(values - wanted[output]).max() <= allowed


def needed_version(twin: Twin) -> int:
    """The version that the twin's op needs, with the options that its row asks for."""
    op = twin.op
    options = OP_RULES[op.kind].int16_options if twin.dtype == "int16" else {}
    return op_version(Op(op.kind, op.inputs, op.outputs, {**op.options, **options}))


@pytest.mark.parametrize(("kind", "dtype", "weights"), sorted({(NAMED[n].kind, d, w) for n, d, w in STATIC}))
def test_the_version_of_a_row_is_what_the_plainest_use_needs(kind, dtype, weights):
    names = [n for n, d, w in STATIC if (NAMED[n].kind, d, w) == (kind, dtype, weights)]
    needed = [needed_version(static_twin(n, dtype, weights)) for n in names]
    assert min(needed) == OP_RULES[kind].version(dtype, weights)


@pytest.mark.parametrize(("name", "weights", "per_channel"), HYBRID)
def test_the_version_of_a_hybrid_row_is_not_above_what_its_use_needs(name, weights, per_channel):
    twin = hybrids()[key(name, weights, per_channel)]
    rule = OP_RULES[twin.case.kind]
    row = rule.hybrid_int4 if weights == "int4" else rule.hybrid_per_channel if per_channel else rule.hybrid
    assert needed_version(twin) >= row


@pytest.mark.parametrize("kind", [kind for kind, rule in OP_RULES.items() if rule.int16_options])
def test_a_plan_sets_the_options_that_int16_needs(kind):
    options = static_twin(kind, "int16").op.options
    assert {name: options.get(name) for name in OP_RULES[kind].int16_options} == OP_RULES[kind].int16_options


def test_shape_ops_take_quantized_inputs():
    for kind in SHAPE_OPS:
        case = NAMED[kind]
        for dtype in DTYPES:
            model = build(case)
            model.main.inputs[0].dtype = dtype
            given = run_each({kind: model}, {kind: {"in0": draw(case)["in0"].astype(dtype)}}, delegate=True)
            wanted = {"SHAPE": [3, 8], "RANK": 2}[kind]
            np.testing.assert_array_equal(outputs_of(given[kind])["out0"], wanted)


@pytest.mark.parametrize("kind", [kind for kind, rule in OP_RULES.items() if rule.bias is not None])
def test_int16_takes_a_32_bit_bias_just_where_the_row_says_so(kind):
    rule = OP_RULES[kind]
    twin = make_twin(NAMED[kind], "int16", all_ranges()[kind])
    bias = twin.op.inputs[rule.bias]
    bias.data, bias.dtype = bias.data.astype(np.int32), "int32"
    if rule.short_bias:
        twin.op.options["quantizedBiasType"] = 2
    given = run_each({kind: twin.model}, {kind: twin.inputs}, delegate=True)[kind]
    if not rule.short_bias:
        assert isinstance(given, RuntimeFailureError)
        return
    wanted = outputs_of(expected("static")[key(kind, "int16", "int8")])["out0"]
    exact = np.clip(wanted / twin.op.outputs[0].quantization.scale[0], *LIMITS["int16"])
    assert np.abs(outputs_of(given)["out0"] - exact).max() <= steps(twin)
