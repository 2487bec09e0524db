"""Every limit has a model that keeps it and one that breaks it; every rule reads as a sentence."""

from __future__ import annotations

import pytest

from support.integer_models import conv
from support.limit_cases import CASES
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Op, Tensor
from tightfit.targets.limits.constraints import LIMITS, LimitRule
from tightfit.targets.profile import families

RULES = [(family.name, rule) for family in families().values() for rule in family.rules]


def test_every_limit_has_a_case_and_a_rule():
    assert set(CASES) == set(LIMITS)
    assert {rule.limit for _, rule in RULES} == set(LIMITS)


@pytest.mark.parametrize("limit", sorted(LIMITS))
def test_one_model_keeps_the_limit_and_one_breaks_it(limit):
    case = CASES[limit]
    assert LIMITS[limit](case.good().main.ops[-1], **case.numbers) is None
    assert LIMITS[limit](case.bad().main.ops[-1], **case.numbers)


@pytest.mark.parametrize(("family", "rule"), RULES, ids=lambda value: getattr(value, "limit", value))
def test_every_rule_is_a_sentence_with_its_numbers_a_fix_and_a_source(family, rule):
    assert rule.sentence.endswith(".")
    assert "{" not in rule.sentence
    assert rule.fix
    assert rule.source, family


@pytest.mark.parametrize(("family", "rule"), RULES, ids=lambda value: getattr(value, "limit", value))
def test_a_rule_names_ops_that_can_be_accelerated_or_refuses_the_file(family, rule):
    assert rule.refuses or rule.ops <= families()[family].ops


def test_an_unknown_limit_is_refused_with_the_closest_one():
    with pytest.raises(OptionError, match=r"Unknown limit 'stride_at_least'.*Did you mean 'stride_at_most'"):
        LimitRule("stride_at_least")


def test_a_number_that_a_limit_does_not_take_is_refused():
    with pytest.raises(OptionError, match=r"'stride_at_most' takes \['most'\]; received \['least'\]"):
        LimitRule("stride_at_most", {"least": 1})


def test_an_op_without_operands_is_named():
    rule = LimitRule("matmul_depth", {"most": 8})
    with pytest.raises(ModelError, match="Cannot judge BATCH_MATMUL 'y'"):
        rule.broken_by(Op("BATCH_MATMUL", [], [Tensor("y", ())]))


def test_a_rule_holds_for_its_ops_alone():
    rule = LimitRule("stride_at_most", {"most": 3}, ops=frozenset({"CONV_2D"}))
    assert rule.holds_for("CONV_2D")
    assert not rule.holds_for("MAX_POOL_2D")
    assert rule.broken_by(conv(stride=4).main.ops[0]) == "its strides are 4×4"
