"""Collects one model's scores sample by sample and turns them into its ``Accuracy``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from tightfit.data.sample import Label
from tightfit.evaluation.metrics.classes import decisions
from tightfit.evaluation.metrics.metric import Answer, Metric
from tightfit.evaluation.metrics.tally import Change, Estimate, tally_of
from tightfit.evaluation.metrics.values import cosine, decibels, powers
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.evaluation.slices.quality import qualities
from tightfit.evaluation.task import Task
from tightfit.evaluation.user_metric import Function, OwnTally
from tightfit.streaming.pairwise_sums import PairwiseSum
from tightfit.streaming.slice_axes import Slices
from tightfit.streaming.slice_sums import SliceSums
from tightfit.types import Array, Scores

Outputs = Mapping[str, Array]


@dataclass(frozen=True)
class Score:
    """One metric of one model.

    Args:
        value: the metric with its 95 % interval.
        low: lower end of the interval.
        high: upper end of the interval.
        change: how it changed from the reference, paired; negative is worse. None for a metric that has no
            bound and compares with the reference itself, such as ``snr``.
        change_low: lower end of the interval.
        change_high: upper end of the interval.
        n: samples that were scored.
        lost: samples that only the reference, or only the model, scores; None unless each is right or wrong.
        gained: see ``lost``.
        sign: 1 where more is better, −1 for errors.
    """

    value: float
    low: float | None = None
    high: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    n: int = 0
    lost: int | None = None
    gained: int | None = None
    sign: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a report: value, change (negative is worse), its interval, samples."""
        known = self.change_low is not None and self.change_high is not None
        plain: dict[str, Any] = {
            "value": self.value,
            "change": self.change,
            "interval": [self.change_low, self.change_high] if known else None,
            "n": self.n,
        }
        if self.lost is not None:
            plain |= {"lost": self.lost, "gained": self.gained}
        return plain


@dataclass(frozen=True)
class Accuracy:
    """How accurate a model is on some samples, beside a reference model.

    Args:
        metric: the main metric: a name of ``METRICS`` or the user's ``module:function``.
        value: the metric with its 95 % interval, a fraction 0-1 for metrics of decisions; None where one
            sample gives no interval.
        low: lower end of the interval.
        high: upper end of the interval.
        drop: how much worse than the reference, paired, positive when worse; None for a metric without a
            bound such as ``snr``.
        drop_low: lower end of the interval.
        drop_high: upper end of the interval.
        agreement: share of decisions equal to the reference's, or None when the outputs decide nothing.
        snr_db: signal-to-noise ratio against the reference's outputs, of the worst output; 200 when equal.
        cosine: mean cosine with the reference's outputs.
        n: samples that were scored.
        failure: why the model has no numbers, or None.
        metrics: every metric by its name, the main one first.
        notes: what a reader should know of the labels.
        scores: the main metric of each sample, in the order of the samples; None for one number over all.
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
    metrics: dict[str, Score] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scores: Scores | None = field(default=None, repr=False, compare=False)
    outputs: list[OutputQuality] = field(default_factory=list, repr=False, compare=False)

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data, without the samples' scores."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("scores", "outputs")}
        plain["outputs"] = [output.to_dict() for output in self.outputs]
        metrics = {name: score.to_dict() for name, score in self.metrics.items()}
        return plain | {"change": self.change, "metrics": metrics}

    @property
    def change(self) -> float | None:
        """How the main metric changed; negative is worse."""
        return None if self.drop is None else 0.0 - self.drop


class _Tally(Protocol):
    latest: float | None

    @property
    def scores(self) -> Array | None: ...

    def add(self, answer: Answer, index: int) -> None: ...

    def merge(self, following: Any) -> None: ...

    def estimate(self) -> Estimate: ...

    def change(self, reference: Any) -> Change: ...


class Scorecard:
    """One model's scores so far.

    Args:
        tasks: what is scored, the main metric first.
        functions: the user's metrics by the task's name.
        slices: of the outputs; their last axes by default.
        first: number of the first sample, for a shard; a multiple of 256.
    """

    def __init__(
        self,
        tasks: list[Task],
        functions: Mapping[str, Function],
        slices: Slices | None = None,
        first: int = 0,
    ) -> None:
        self._tasks = tasks
        self._tallies: list[_Tally] = [
            OwnTally(t.wanted, functions[t.name]) if t.metric is None else tally_of(t.metric, first)
            for t in tasks
        ]
        self._first, self._count = first, 0
        self._powers: dict[str, tuple[PairwiseSum, PairwiseSum]] = {}
        self._cosines, self._agreements = PairwiseSum(first), PairwiseSum(first)
        self._slices = SliceSums(slices, first)
        self.failure: str | None = None

    def add(
        self,
        outputs: Outputs | None,
        reference: Outputs,
        label: Label | None,
        labels: Mapping[str, Label] | None = None,
        inputs: Outputs | None = None,
    ) -> None:
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
        self._add_fidelity(shaped, reference)
        self._slices.add(shaped, reference)
        for task, tally in zip(self._tasks, self._tallies, strict=True):
            tally.add(task.answer(shaped, reference, label, labels, inputs), self._first + self._count)
        self._count += 1

    def merge(self, following: Scorecard) -> None:
        """Take in the scores of the samples that follow; what comes after a failure is left out."""
        if self.failure is not None:
            return
        self.failure = following.failure
        if not following._count:
            return
        for name, pair in following._powers.items():
            for own, more in zip(self._sums(name), pair, strict=True):
                own.merge(more)
        self._cosines.merge(following._cosines)
        self._agreements.merge(following._agreements)
        self._slices.merge(following._slices)
        for tally, other in zip(self._tallies, following._tallies, strict=True):
            tally.merge(other)
        self._count += following._count

    def _sums(self, name: str) -> tuple[PairwiseSum, PairwiseSum]:
        """The sums of one output's powers: of the signal and of the noise."""
        if name not in self._powers:
            self._powers[name] = PairwiseSum(self._first), PairwiseSum(self._first)
        return self._powers[name]

    def _add_fidelity(self, outputs: Outputs, reference: Outputs) -> None:
        closeness = 0.0
        for name, array in reference.items():
            for total, more in zip(self._sums(name), powers(outputs[name], array), strict=True):
                total.add(more)
            closeness += cosine(outputs[name], array) / len(reference)
        self._cosines.add(closeness)
        main = self._tasks[0]
        if main.decided:
            equal = [
                (decisions(outputs[n], main.threshold) == decisions(reference[n], main.threshold)).mean()
                for n in main.decided
            ]
            self._agreements.add(float(min(equal)))

    @property
    def latest(self) -> float | None:
        """The main metric's score of the last sample, None without one or for a user's metric."""
        return self._tallies[0].latest if self.failure is None else None

    def accuracy(self, reference: Scorecard) -> Accuracy:
        """The numbers, compared with the reference's scorecard."""
        main = self._tasks[0]
        if self.failure is not None or not self._count:
            return Accuracy(main.name, n=self._count, failure=self.failure)
        undefined = self.undefined()
        if undefined is not None:
            return Accuracy(main.name, n=self._count, failure=undefined)
        scores = {t.name: self._score(i, reference) for i, t in enumerate(self._tasks)}
        first = scores[main.name]
        drop, low, high = (
            None if v is None else 0.0 - v for v in (first.change, first.change_high, first.change_low)
        )
        return Accuracy(
            main.name, first.value, first.low, first.high, drop, low, high,
            agreement=self._agreements.total() / self._count if main.decided else None,
            snr_db=min(decibels(*(s.total() for s in sums)) for sums in self._powers.values()),
            cosine=self._cosines.total() / self._count,
            n=self._count,
            metrics=scores,
            scores=self._tallies[0].scores,
            outputs=qualities(self._slices, lost_db=self._lost_db()),
        )  # fmt: skip

    def undefined(self) -> str | None:
        """Why a metric of the user has no finite value for this model, or None."""
        own = (tally for tally in self._tallies if isinstance(tally, OwnTally))
        return next((why for why in (tally.undefined() for tally in own) if why is not None), None)

    def _lost_db(self) -> dict[str, float]:
        """Below how many dB a slice is lost, of outputs whose decisions or labels are scored."""
        return {name: db for task in self._tasks for name, db in task.lost_db().items()}

    def _score(self, index: int, reference: Scorecard) -> Score:
        metric, tally = self._tasks[index].metric, self._tallies[index]
        value, low, high = tally.estimate()
        sign = getattr(tally, "sign", 1.0) if metric is None else metric.sign
        change = self._change(index, reference, metric, (value, low, high))
        return Score(
            value, low, high, change.value if change else None, change.low if change else None,
            change.high if change else None, self._count, change.lost if change else None,
            change.gained if change else None, sign,
        )  # fmt: skip

    def _change(
        self, index: int, reference: Scorecard, metric: Metric | None, value: Estimate
    ) -> Change | None:
        if self is reference:
            return Change(0.0, 0.0, 0.0)
        if metric is not None and not metric.needs_labels and metric.each is None:
            return _from_perfect(metric.perfect, value, self._tallies[index].scores)
        return self._tallies[index].change(reference._tallies[index])


def _from_perfect(perfect: float | None, value: Estimate, scores: Array | None) -> Change | None:
    """How far the value is from what the reference scores against itself."""
    if perfect is None:
        return None
    middle, low, high = (None if v is None else v - perfect for v in value)
    binary = scores is not None and bool(((scores == 0) | (scores == 1)).all())
    lost = int((scores == 0).sum()) if binary and scores is not None else None
    return Change(middle or 0.0, low, high, lost, None if lost is None else 0)
