"""Collects one model's scores sample by sample and turns them into its ``Accuracy``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tightfit.data.sample import Label
from tightfit.evaluation.metrics import METRICS, cosine, decibels, powers
from tightfit.evaluation.paired_comparison import mean_score, paired_drop
from tightfit.evaluation.slices.parts import Slices
from tightfit.evaluation.slices.quality import OutputQuality, qualities
from tightfit.evaluation.slices.sums import SliceSums
from tightfit.evaluation.task import Task
from tightfit.evaluation.user_metric import Function, UserScores, drop_interval, value_interval
from tightfit.types import Array

Outputs = Mapping[str, Array]
Estimate = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Accuracy:
    """How accurate a model is on some samples, beside a reference model.

    Args:
        metric: a name of ``METRICS`` or the user's ``module:function``.
        value, low, high: the metric with its 95 % interval, a fraction 0-1 for metrics of decisions; None
            where one sample gives no interval.
        drop, drop_low, drop_high: how much worse than the reference, paired, positive when worse; None for
            a metric without a bound such as ``snr_db``.
        agreement: share of decisions equal to the reference's, or None when the outputs decide nothing.
        snr_db: signal-to-noise ratio against the reference's outputs, of the worst output; 200 when equal.
        cosine: mean cosine with the reference's outputs.
        n: samples that were scored.
        failure: why the model has no numbers, or None.
        scores: the metric of each sample, in the order of the samples; None for one number over all.
        outputs: quality of each output, slice by slice.
    """

    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    agreement: float | None = None
    snr_db: float | None = None
    cosine: float | None = None
    n: int = 0
    failure: str | None = None
    scores: Array | None = field(default=None, repr=False, compare=False)
    outputs: list[OutputQuality] = field(default_factory=list, repr=False, compare=False)


class Scorecard:
    """One model's scores so far; memory grows by one number a sample.

    Args:
        name: of the metric. task: what is scored. function: the user's metric, when it is one.
        slices: of the outputs; their last axes by default.
    """

    def __init__(
        self, name: str, task: Task, function: Function | None, slices: Slices | None = None
    ) -> None:
        self._name = name
        self._task = task
        self._user = UserScores(name, function) if function else None
        self._scores: list[float] = []
        self._powers: dict[str, tuple[float, float]] = {}
        self._cosines = self._agreements = 0.0
        self._count = 0
        self._slices = SliceSums(slices)
        self.failure: str | None = None

    def add(self, outputs: Outputs | None, reference: Outputs, label: Label | None) -> None:
        """Takes in one sample: the model's outputs and the reference's, both real numbers."""
        if outputs is None or self.failure is not None:
            return
        for name, array in reference.items():
            if outputs[name].size != array.size:
                self.failure = (
                    f"Output '{name}' has shape {list(outputs[name].shape)}, the reference's has "
                    f"{list(array.shape)}."
                )
                return
        shaped = {name: outputs[name].reshape(array.shape) for name, array in reference.items()}
        self._add_fidelity(shaped, reference, label)
        self._slices.add(shaped, reference)
        if self._user is not None:
            chosen = {self._task.output: shaped[self._task.output]} if "@" in self._name else shaped
            self._user.add(chosen, label)
        elif self._task.metric is not None:
            self._scores.append(self._task.metric.score(self._task.answer(shaped, reference, label)))
        self._count += 1

    def _add_fidelity(self, outputs: Outputs, reference: Outputs, label: Label | None) -> None:
        for name, array in reference.items():
            before = self._powers.get(name, (0.0, 0.0))
            more = powers(outputs[name], array)
            self._powers[name] = (before[0] + more[0], before[1] + more[1])
            self._cosines += cosine(outputs[name], array) / len(reference)
        if self._task.decided:
            answer = self._task.answer(outputs, reference, label)
            self._agreements += METRICS["agreement"].score(answer)

    @property
    def latest(self) -> float | None:
        """The score of the last sample, None without one or for a user's metric."""
        return self._scores[-1] if self._scores and self.failure is None else None

    def accuracy(self, reference: Scorecard) -> Accuracy:
        """The numbers, compared with the reference's scorecard."""
        if self.failure is not None:
            return Accuracy(self._name, n=self._count, failure=self.failure)
        scores = self._user.scores() if self._user else np.array(self._scores)
        value, low, high = self._value(scores)
        drop, drop_low, drop_high = self._drop(reference, scores, (value, low, high))
        return Accuracy(
            self._name, value, low, high, drop, drop_low, drop_high,
            agreement=self._agreements / self._count if self._task.decided else None,
            snr_db=min(decibels(*sums) for sums in self._powers.values()),
            cosine=self._cosines / self._count,
            n=self._count,
            scores=scores,
            outputs=qualities(self._slices, lost_db=self._task.lost_db()),
        )  # fmt: skip

    def _value(self, scores: Array | None) -> Estimate:
        if scores is not None:
            return mean_score(scores)
        assert self._user is not None  # noqa: S101 - only a user's metric has no scores
        return self._user.value(), *value_interval(self._user)

    def _drop(self, reference: Scorecard, scores: Array | None, value: Estimate) -> Estimate:
        if self is reference:
            return 0.0, 0.0, 0.0
        if self._user is not None and reference._user is not None:
            return _user_drop(reference._user, self._user, scores)
        metric = self._task.metric
        if metric is None or not metric.needs_labels:
            return _below(metric.perfect if metric else None, value)
        pair = (np.array(reference._scores), np.array(self._scores))
        difference = paired_drop(*(pair if metric.higher_is_better else pair[::-1]))
        return difference.drop, difference.low, difference.high


def _below(perfect: float | None, value: Estimate) -> Estimate:
    """How far the value is below what the reference scores against itself."""
    middle, high, low = (None if v is None or perfect is None else perfect - v for v in value)
    return middle, low, high


def _user_drop(reference: UserScores, own: UserScores, scores: Array | None) -> Estimate:
    before = reference.scores()
    if scores is None or before is None:
        return reference.value() - own.value(), *drop_interval(reference, own)
    difference = paired_drop(before, scores)
    return difference.drop, difference.low, difference.high
