"""What the chart's axes span: the candidates, their intervals and the budget's limits, but no outlier."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tightfit.report.chart.axis_scales import ChartAxis, padded
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate, Interval
from tightfit.search.verdict.metric_words import MetricWords, metric_words

_LOGARITHMIC_FROM = 2.5
_REACH_POINTS = 0.04
_REACH_SHARE = 0.35


def size_axis(shown: Sequence[Candidate], report: Report, pixels: tuple[float, float]) -> ChartAxis:
    """Return the axis of sizes and a limit near them; logarithmic when they differ by a factor above 2.5."""
    sizes = [float(c.size_bytes or 1) for c in shown]
    limit = report.budget.max_size
    if limit is not None and min(sizes) / 2 < limit < max(sizes) * 2:
        sizes.append(limit)
    if max(sizes) > _LOGARITHMIC_FROM * min(sizes):
        low, high = padded([math.log(s) for s in sizes], 0.07, 0.2)
        return ChartAxis(math.exp(low), math.exp(high), *pixels, logarithmic=True)
    low, high = padded(sizes, 0.1, 0.2 * max(sizes))
    return ChartAxis(max(0.0, low), high, *pixels)


def score_axis(shown: Sequence[Candidate], report: Report, words: MetricWords, pixels: Interval) -> ChartAxis:
    """Return the axis of scores, the better one up.

    What lost far more than the rest (over 4 points, or three times what may be lost) does not stretch it.
    """
    sign = 1.0 if words.higher_is_better else -1.0
    values = [v for c in shown for v in (c.accuracy, *interval_ends(c)) if v is not None]
    best = max(sign * (c.accuracy or 0.0) for c in shown)
    limit = score_limit(report, words)
    if limit is not None:
        values.append(limit)
    reach = max(3 * (report.allowed_drop or 0.0), _REACH_POINTS if words.share else _REACH_SHARE * abs(best))
    near = [v for v in values if sign * v >= best - reach]
    low, high = padded(near, 0.06, 0.01 if words.share else 0.02 * abs(best) or 1.0)
    high = min(high, 1.0) if words.share else high
    return ChartAxis(low, high, *pixels) if words.higher_is_better else ChartAxis(high, low, *pixels)


def score_limit(report: Report, words: MetricWords) -> float | None:
    """Return the score at which the allowed loss is used up."""
    original, allowed = report.original, report.allowed_drop
    if original is None or original.accuracy is None or allowed is None:
        return None
    return original.accuracy - allowed if words.higher_is_better else original.accuracy + allowed


def interval_ends(candidate: Candidate) -> tuple[float, ...]:
    """Return the scores at the worse and the better end of the change's interval; none for the original."""
    score, drop, interval = candidate.accuracy, candidate.drop, candidate.drop_interval
    if score is None or drop is None or interval is None or candidate.is_original:
        return ()
    sign = 1.0 if metric_words(candidate.metric).higher_is_better else -1.0
    ends = (score + sign * (drop - interval[1]), score + sign * (drop - interval[0]))
    return ends if all(math.isfinite(end) for end in ends) else ()
