import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sample_reports import change_candidates
from tightfit.report.chart.axis_scales import ChartAxis, spaced
from tightfit.report.chart.chart import make_chart
from tightfit.report.chart.label_placement import Box, dodge, place_label
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget

places = st.lists(st.floats(0, 500), max_size=12).map(sorted)


@given(places, st.floats(1, 30), st.floats(-50, 550))
def test_dodging_keeps_the_order_the_gap_and_the_side_of_the_limit(places, gap, limit):
    moved = dodge(places, gap, limit)
    assert len(moved) == len(places)
    for before, after in zip(places, moved, strict=True):
        assert (before <= limit) == (after <= limit)
    for one, other in itertools.pairwise(moved):
        same_side = (one <= limit) == (other <= limit)
        assert other - one >= (gap if same_side else 0) - 1e-6


@given(places, st.floats(1, 30))
def test_dodging_moves_as_far_to_the_left_as_to_the_right(places, gap):
    assert sum(dodge(places, gap, math.inf)) == pytest.approx(sum(places), abs=1e-6)


@given(places, st.floats(1, 30))
def test_marks_that_stand_apart_do_not_move(places, gap):
    apart = [p + 40 * i for i, p in enumerate(places)]
    assert dodge(apart, gap, math.inf) == pytest.approx(apart)


@given(st.floats(1, 1e9), st.floats(1.1, 1e4), st.booleans(), st.integers(3, 7))
def test_ticks_are_on_the_axis_and_ascend(low, factor, logarithmic, about):
    axis = ChartAxis(low, low * factor, 0.0, 500.0, logarithmic=logarithmic)
    ticks = axis.ticks(about)
    assert all(axis.inside(t) or math.isclose(t, low) or math.isclose(t, low * factor) for t in ticks)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 12


def test_ticks_keep_their_distance():
    axis = ChartAxis(1.0, 100.0, 0.0, 300.0, logarithmic=True)
    kept = spaced(axis, axis.ticks(9), 40.0)
    assert all(axis(b) - axis(a) >= 40.0 for a, b in itertools.pairwise(kept))


def test_a_label_goes_where_it_covers_nothing():
    room = Box(0, 0, 400, 300)
    wall = Box(100, 0, 400, 300)
    label = place_label("int8", (90.0, 150.0), 6.0, taken=[wall], room=room)
    assert label.box.overlap(wall) == 0
    assert label.box.outside(room) == 0


@pytest.mark.parametrize(("width", "height"), [(920.0, 430.0), (360.0, 380.0)])
def test_every_mark_stands_inside_the_plot(report, width, height):
    chart = make_chart(report, width, height)
    assert sorted(m.index for m in chart.marks) == [
        i for i, c in enumerate(report.candidates) if not c.failure
    ]
    for mark in chart.marks:
        assert chart.left <= mark.x - mark.radius
        assert mark.x + mark.radius <= chart.right
        assert chart.top <= mark.y <= chart.bottom


def test_a_mark_stays_on_its_side_of_the_limit(report):
    chart = make_chart(report, 920.0, 430.0)
    for mark in chart.marks:
        fits = report.candidates[mark.index].size_bytes <= report.budget.max_size
        assert fits == (mark.x <= chart.size_limit[0])


def test_what_lost_far_more_stands_at_the_end_of_the_axis(report):
    chart = make_chart(report, 920.0, 430.0)
    beyond = [report.candidates[m.index].name for m in chart.marks if m.beyond]
    assert beyond == ["weight4"]


@pytest.mark.parametrize("metric", ["top1", "mae"])
def test_better_is_up(report, metric):
    if metric == "mae":
        value = lambda c: c.accuracy if c.accuracy is None else 0.9 - c.accuracy  # noqa: E731 - used once
        report = change_candidates(report, lambda c: replace(c, metric=metric, accuracy=value(c)))
    marks = [m for m in make_chart(report, 920.0, 430.0).marks if not m.beyond]
    by_drop = sorted(marks, key=lambda m: report.candidates[m.index].drop)
    assert [m.y for m in by_drop] == pytest.approx(sorted(m.y for m in marks))
    for mark in marks:
        if mark.high is not None:
            assert mark.high < mark.y < mark.low


def test_a_circles_area_is_the_latency(report):
    chart = make_chart(report, 920.0, 430.0)
    radius = {report.candidates[m.index].name: m.radius for m in chart.marks}
    assert (radius["int16x8"] / radius["float32"]) ** 2 == pytest.approx(1.5)


def test_limits_far_off_are_not_drawn(build_report):
    chart = make_chart(build_report(Budget(max_size=1_000_000_000)), 920.0, 430.0)
    assert chart.size_limit is None
    assert chart.drop_limit is None


def test_the_line_rises(report):
    front = make_chart(report, 920.0, 430.0).front
    assert front == sorted(front)
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True)


def test_the_line_leaves_out_what_lies_below_the_chart(report):
    chart = make_chart(report, 920.0, 430.0)
    smallest = min((m for m in chart.marks if not m.beyond), key=lambda m: m.x)
    assert chart.front[0] == (smallest.x, smallest.y)


def test_there_is_no_chart_of_one_candidate(build_report):
    alone = [Candidate("float32", "float32", size_bytes=5, accuracy=0.5)]
    assert make_chart(build_report(candidates=alone), 920.0, 430.0) is None


def test_equal_candidates_can_be_drawn(build_report):
    twins = [
        Candidate(n, "int8", [n], size_bytes=5, accuracy=1.0, drop=0.0, latency_ratio=math.nan) for n in "ab"
    ]
    chart = make_chart(build_report(Budget(), twins), 920.0, 430.0)
    assert all(math.isfinite(v) for m in chart.marks for v in (m.x, m.y, m.radius))
