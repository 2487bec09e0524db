"""The exact choice is the best of all choices, stays within its limits, and says where there is none."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightfit.recovery.exact_choice import GainTable, PrecisionOption, SharedNoise, choose_options

NUMBERS = st.integers(0, 20).map(float)
OPS = ("a", "b", "c")
TABLES = st.builds(
    lambda rows, shared: GainTable(
        {
            op: [PrecisionOption("int8", 8.0, 0.0, n), PrecisionOption("int16", w, c, 0.0, wide=True)]
            for op, (n, w, c) in zip(OPS, rows, strict=True)
        },
        [SharedNoise(a, b, n) for (a, b), n in shared.items()],
    ),
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=3, max_size=3),
    st.dictionaries(
        st.tuples(st.sampled_from([*OPS, None]), st.sampled_from(OPS)), NUMBERS, min_size=1, max_size=4
    ),
)


def all_choices(table):
    return [dict(zip(OPS, chosen, strict=True)) for chosen in itertools.product(*table.options.values())]


@given(TABLES, st.sampled_from([("cost", "noise"), ("noise", "bytes"), ("bytes", "noise")]), NUMBERS)
@settings(max_examples=40, deadline=None)
def test_no_other_choice_within_the_limit_is_better(table, quantities, limit):
    least, limited = quantities
    within = [c for c in all_choices(table) if table.total(c, limited) <= limit + 1e-9]
    found = choose_options(table, least, {limited: limit})
    if not within:
        assert found is None
        return
    assert table.total(found, limited) <= limit + 1e-6
    assert table.total(found, least) == pytest.approx(min(table.total(c, least) for c in within), abs=1e-3)


def test_noise_between_two_ops_goes_only_where_both_are_wide():
    pair = GainTable(
        {
            op: [PrecisionOption("int8"), PrecisionOption("float", cost=1.0, wide=True)]
            for op in ("writer", "reader")
        },
        [SharedNoise("writer", "reader", 1.0)],
    )
    one = {"writer": pair.options["writer"][1], "reader": pair.options["reader"][0]}
    assert pair.total(one, "noise") == 1.0
    assert choose_options(pair, "noise", {"cost": 1.0})["writer"].name == "int8"
    both = choose_options(pair, "noise", {"cost": 2.0})
    assert {o.name for o in both.values()} == {"float"}


def test_nothing_is_printed_past_python(capfd):
    many = {
        f"op{i}": [PrecisionOption("x", noise=1 / (i + 1)), PrecisionOption("y", bytes=i % 7 + 1.0)]
        for i in range(60)
    }
    choose_options(GainTable(many), "noise", {"bytes": 50.0})
    sys.stdout.write("kept\n")
    assert capfd.readouterr().out == "kept\n"


def test_a_limit_without_an_end_is_none():
    table = GainTable({"a": [PrecisionOption("x", bytes=5, noise=1), PrecisionOption("y", bytes=9)]})
    assert choose_options(table, "noise", {"bytes": math.inf})["a"].name == "y"
