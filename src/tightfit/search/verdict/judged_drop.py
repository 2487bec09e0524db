"""The drop of a limited metric: what the limit is in the metric's unit, and whether samples are enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tightfit.evaluation.intervals import samples_needed, unchanged_half
from tightfit.evaluation.metrics.metric import DECIBELS, LABELS_UNIT
from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.evaluation.metrics.spelling import Limit, parse_metrics
from tightfit.search.candidates.candidate import Candidate

INTERVAL: Final = "interval"
ESTIMATE: Final = "estimate"


@dataclass(frozen=True)
class JudgedDrop:
    """How much worse a metric became, beside what is allowed; positive is worse.

    Args:
        metric: its name.
        drop: the estimate, None where it was not measured.
        low: the 95 % interval of the drop, None where it is not known.
        high: see ``low``.
        allowed: in the metric's unit.
        n: samples, None where they are not known (a report of an earlier release).
        judge: ``interval`` or ``estimate``.
        confident: see ``Budget``.
        lost: samples that only one of the two models scores, or None.
        gained: see ``lost``.
        is_proxy: the share of changed decisions stands for a drop that was not measured.
    """

    metric: str
    drop: float | None
    allowed: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    judge: str = INTERVAL
    confident: bool = False
    lost: int | None = None
    gained: int | None = None
    is_proxy: bool = False

    @property
    def counted(self) -> float:
        """What must not exceed the limit: the estimate, or the interval's upper end if confident."""
        if self.drop is None:
            return math.inf
        return max(self.drop, self.high) if self.confident and self.high is not None else self.drop

    @property
    def is_proven(self) -> bool:
        """True when the interval lies within the limit, or the estimate does and was asked for."""
        if self.drop is None or self.counted > self.allowed:
            return False
        if self.judge == ESTIMATE or self.n is None:
            return True
        return self.high is not None and self.high <= self.allowed

    @property
    def is_provable(self) -> bool:
        """True when an equally accurate file would be within the limit on as many samples."""
        if self.n is None or self.judge == ESTIMATE:
            return True
        if self.lost is None:
            return self.high is not None
        return unchanged_half(max(self.n, 1)) <= self.allowed

    @property
    def half(self) -> float | None:
        """Half of the interval's width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def needed(self) -> int | None:
        """How many samples would do if the shares stay as they are; None where no number would."""
        if self.drop is None or not self.n:
            return None
        if self.lost is not None and self.gained is not None:
            return samples_needed(self.lost / self.n, self.gained / self.n, self.allowed)
        if self.high is None or self.high <= self.drop or self.allowed <= self.drop:
            return None
        return math.ceil(self.n * ((self.high - self.drop) / (self.allowed - self.drop)) ** 2)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; the change is negative where it is worse."""
        known = self.low is not None and self.high is not None
        return {
            "allowed": self.allowed,
            "change": None if self.drop is None else 0.0 - self.drop,
            "interval": [0.0 - (self.high or 0.0), 0.0 - (self.low or 0.0)] if known else None,
            "n": self.n,
            "enough": self.is_proven,
            "needed": None if self.is_proven else self.needed,
        }


def drops_of(
    candidate: Candidate,
    max_drop: float | None,
    max_drops: Mapping[str, float | str],
    judge: str,
    *,
    confident: bool,
) -> list[JudgedDrop]:
    """Return the drop of each metric that has a limit.

    Args:
        candidate: a measured candidate.
        max_drop: one number for every metric that was measured where no metric is named.
        max_drops: metric, with its options → limit.
        judge: name of the main metric.
        confident: takes the upper end of the interval instead of the estimate.
    """
    how = {"judge": judge, "confident": confident}
    if max_drops:
        # A limit is spelled with the metric's options, and results are named without them.
        named = [
            (parse_metrics(name)[0].key, Limit.parse(str(text), name)) for name, text in max_drops.items()
        ]
        return [_of_metric(candidate, key, limit, how) for key, limit in named]
    if max_drop is None:
        return []
    if candidate.metrics:
        return [_of_metric(candidate, name, common_limit(max_drop, name), how) for name in candidate.metrics
                if candidate.metrics[name].get("change") is not None or name == candidate.metric]  # fmt: skip
    return [_of_main(candidate, max_drop, how)]


def common_limit(max_drop: float, metric: str) -> Limit:
    """Return what one number means for a metric: points of a share, or a share of an error in its own unit.

    Example:
        >>> common_limit(0.01, "top1").relative, common_limit(0.01, "rmse").relative
        (False, True)
    """
    row = find_metric(metric.partition("@")[0])
    return Limit(max_drop, relative=row is not None and row.unit in (LABELS_UNIT, DECIBELS))


def _of_metric(candidate: Candidate, name: str, limit: Limit, how: Mapping[str, Any]) -> JudgedDrop:
    found = candidate.metrics.get(name)
    if (found is None or found.get("change") is None) and name == candidate.metric:
        return _of_main(candidate, limit.amount, how)
    if found is None or found.get("change") is None:
        return JudgedDrop(name, None, limit.amount, **how)
    change, value = float(found["change"]), float(found["value"])
    interval = found.get("interval")
    row = find_metric(name.partition("@")[0])
    sign = -1.0 if (row is not None and not row.higher_is_better) or "(lower)" in name else 1.0
    allowed = limit.amount * abs(value - sign * change) if limit.relative else limit.amount
    low, high = (None, None) if interval is None else (0.0 - interval[1], 0.0 - interval[0])
    return JudgedDrop(
        name,
        0.0 - change,
        allowed,
        low,
        high,
        found.get("n"),
        lost=found.get("lost"),
        gained=found.get("gained"),
        **how,
    )


def _of_main(candidate: Candidate, allowed: float, how: Mapping[str, Any]) -> JudgedDrop:
    """The main metric's drop, or the share of changed decisions, which bounds it."""
    drop, interval = candidate.drop, candidate.drop_interval
    if drop is not None and math.isfinite(drop):
        low, high = interval or (None, None)
        return JudgedDrop(candidate.metric, drop, allowed, low, high, **how)
    if candidate.agreement is None:
        return JudgedDrop(candidate.metric, None, allowed, **how)
    return JudgedDrop(candidate.metric, 1 - candidate.agreement, allowed, is_proxy=True, **how)
