"""The tables are complete, consistent, and say what users and plans rely on."""

from __future__ import annotations

import numpy as np
import pytest

from support.one_op_cases import CASES
from tightfit.graph.format.table_fields import enum_names
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.versions.runtime_releases import RUNTIME_VERSIONS
from tightfit.quantization.ops.float_only import FLOAT_ONLY, reason
from tightfit.quantization.ops.op_rule import ALL, SMALLEST_SCALE, OpRule, least_output_scale
from tightfit.quantization.ops.op_table import OP_RULES
from tightfit.quantization.ops.rule_lookup import refusal_reason

BUILTINS = set(enum_names("BuiltinOperator").values())
RULES = sorted(OP_RULES.values(), key=lambda rule: rule.kind)


def test_every_builtin_op_stands_in_exactly_one_table():
    assert set(OP_RULES) | set(FLOAT_ONLY) == BUILTINS
    assert set(OP_RULES) & set(FLOAT_ONLY) == set()


def test_every_row_has_a_case_that_runs_it_and_every_case_a_row():
    assert {case.kind for case in CASES} == set(OP_RULES)


def test_names_of_cases_are_unique():
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_row_names_its_kernel_and_some_way_to_run(rule):
    assert rule.source.endswith(".cc")
    assert any(v is not None for v in (rule.int8, rule.int16, rule.hybrid, rule.hybrid_per_channel))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_versions_of_a_row_are_known_to_some_runtime(rule):
    versions = (
        rule.int8, rule.int16, rule.int4, rule.int16_int4, rule.hybrid, rule.hybrid_per_channel,
        rule.hybrid_int4,
    )  # fmt: skip
    known = RUNTIME_VERSIONS.get(rule.kind, "1").split()
    assert all(1 <= version <= len(known) for version in versions if version is not None)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_the_roles_of_an_input_do_not_overlap(rule):
    alone = [*rule.keep_inputs, *(p for p in (rule.weight, rule.bias) if p is not None)]
    shared = () if rule.same_scale == ALL else rule.same_scale
    assert len(alone) == len(set(alone))
    assert not set(alone) & {*shared, *rule.same_inputs, rule.nonzero}
    assert rule.activation not in alone or rule.weight is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_bias_comes_with_weights_and_a_scale_rule(rule):
    assert rule.bias is None or (rule.weight is not None and rule.accumulator == "product")
    assert rule.bias is not None or not (rule.needs_bias or rule.short_bias)
    assert rule.weight is None or rule.dynamic_weights() == (rule.weight,)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_fixed_outputs_are_given_for_every_dtype_and_int16_is_symmetric(rule):
    if rule.fixed_output:
        wanted = {d for d in ("int8", "int16") if rule.version(d) is not None}
        assert set(rule.fixed_output) == wanted
        assert not rule.same_scale
        assert not rule.accumulator
    assert rule.fixed_output.get("int16", (1.0, 0))[1] == 0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_reason_stands_only_where_there_is_no_version(rule):
    for dtype in rule.why_not:
        int4_only = dtype == "float32" and rule.hybrid_int4 is None
        assert rule.version(dtype) is None or int4_only


@pytest.mark.parametrize("text", sorted(set(FLOAT_ONLY.values())))
def test_a_reason_reads_as_the_end_of_a_sentence(text):
    assert text[0].islower() or text.startswith("LiteRT")
    assert not text.endswith(".")


def test_the_reason_of_an_unknown_op_names_it():
    assert "STABLEHLO_NEXT" in reason("STABLEHLO_NEXT")


@pytest.mark.parametrize(
    ("kind", "scales", "least"),
    [
        ("ADD", [0.5, 0.25], 0.5 / 64),
        ("MUL", [0.5, 0.25], 0.125),
        ("CONV_2D", [0.5, 0.25], 0.125 / 64),
        ("SQUARED_DIFFERENCE", [0.5, 0.25], 0.25 / 64),
        ("RELU", [0.5], 0.5 / 64),
        ("SOFTMAX", [0.5], SMALLEST_SCALE),
        ("ADD", [1e-12, 1e-12], SMALLEST_SCALE),
    ],
)
def test_the_least_output_scale_is_the_worth_of_a_step_over_the_gain(kind, scales, least):
    assert least_output_scale(OP_RULES[kind], "int8", scales) == pytest.approx(least)


def test_a_version_is_chosen_by_activations_and_weights():
    rule = OP_RULES["FULLY_CONNECTED"]
    chosen = [rule.version(d, w) for d in ("int8", "int16", "float32") for w in ("int8", "int4")]
    assert chosen == [rule.int8, rule.int4, rule.int16, rule.int16_int4, rule.hybrid, rule.hybrid_int4]


def test_an_op_without_weights_has_one_version_whatever_the_weights():
    rule = OpRule("RELU", "activations.cc", int8=2)
    assert rule.version("int8", "int4") == 2
    assert rule.version("float32", "int8") is None


def test_a_product_over_an_axis_of_length_1_has_no_integer_kernel_that_rescales():
    for length, refused in ((1, True), (3, False)):
        x, y = Tensor("x", (length, 4)), Tensor("y", (4,))
        axis = Tensor("axis", (1,), "int32", np.zeros(1, np.int32))
        found = refusal_reason(Op("REDUCE_PROD", [x, axis], [y]), "int8")
        assert bool(found) == refused
