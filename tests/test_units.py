import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tightfit import quantities as q

FORMATS = [
    q.format_bytes,
    q.format_ratio,
    q.format_percent,
    q.format_points,
    q.format_milliseconds,
    q.format_decibels,
]


@pytest.mark.parametrize("words", FORMATS)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_known_is_a_dash(words, value):
    assert words(value) == "—"


@pytest.mark.parametrize("words", FORMATS)
@given(value=st.floats(-1e-9, 1e-9))
def test_nothing_reads_as_minus_zero(words, value):
    assert not words(value).startswith(("−", "+", "-"))


@given(st.integers(0, 10**12 - 10**9))
@example(999_700)
def test_a_size_has_at_most_three_digits_before_the_point(size_bytes):
    number, unit = q.format_bytes(size_bytes).split(" ")
    assert float(number) < 1000
    scale = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    step = 0.1 if "." in number else 1.0
    assert abs(float(number) * scale - size_bytes) <= 0.5 * step * scale * (1 + 1e-9)


@given(st.floats(-1, 1))
def test_points_are_the_rounded_hundredfold(fraction):
    number = float(q.format_points(fraction).replace("−", "-"))
    assert abs(number - 100 * fraction) <= 0.05 + 1e-9


def test_an_interval_of_unknown_ends_is_a_dash():
    assert q.format_interval(None, 0.1) == "—"
