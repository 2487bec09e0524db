"""A user's own metric: ``function(outputs, labels)`` gives a score per sample, or one number.

``outputs`` is an array with one row for each sample for a model of one output, or for a metric that names one
(``module:function@output``), else a list of dicts; ``labels`` is a list, of dicts where labels have names.
With scores per sample, outputs are scored in groups and forgotten; one number over all samples needs all
outputs at once, so only then memory grows with the samples.

More is better, unless the function has an attribute ``higher_is_better = False``, is spelled
``module:function(lower)``, or is an error by its name, see ``metrics.direction``. A function with
``whole = True`` is never called with a part of the samples.
Functions of (y_true, y_pred) and metrics of Keras are called in that order.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from tightfit.data.sample import WEIGHT
from tightfit.data.user_code import load_function, refused
from tightfit.errors import DataError, printable
from tightfit.evaluation.intervals import student_quantile
from tightfit.evaluation.metrics.direction import lower_is_better
from tightfit.evaluation.metrics.metric import Answer
from tightfit.evaluation.metrics.spelling import Wanted
from tightfit.evaluation.metrics.tally import Change, Estimate, paired_change
from tightfit.evaluation.paired_comparison import mean_score
from tightfit.types import Array

_GROUP = 16
_FOLDS = 20
_FEWEST_FOLDS = 5

Function = Callable[[Any, list[Any]], Any]
Interval = tuple[float | None, float | None]


def load_metric(spec: str) -> Function:
    """The function that ``module:function`` names."""
    return load_function(spec, "a function of outputs and labels that returns scores")


_TRUTH: Final = frozenset({"y_true", "labels", "label", "target", "targets", "truth", "true"})
"""Names of a first parameter that takes the labels, as in scikit-learn and Keras."""


def in_our_order(function: Function) -> Function:
    """Return a function of (outputs, labels).

    One whose parameters are named (y_true, y_pred), as in scikit-learn, gets them in that order, as arrays
    where labels are numbers; so does a ``keras.metrics.Metric``, which is reset before.

    Example:
        >>> in_our_order(lambda y_true, y_pred: [len(y_true), len(y_pred)])(np.zeros((3, 2)), [1])
        [1, 3]
    """
    if hasattr(function, "update_state") and hasattr(function, "reset_state"):
        return functools.partial(_keras_value, function)
    try:
        names = [p.name for p in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return function
    if len(names) < 2 or names[0] not in _TRUTH or names[1] in _TRUTH:
        return function
    return lambda outputs, labels: function(_array_of(labels), outputs)


def _keras_value(metric: Any, outputs: Any, labels: list[Any]) -> float:
    metric.reset_state()
    metric.update_state(_array_of(labels), outputs)
    return float(metric.result())


def _array_of(labels: list[Any]) -> Any:
    """The labels as an array where they are numbers or arrays of one shape."""
    shapes = {np.shape(label) for label in labels if not isinstance(label, Mapping | str)}
    return np.asarray(labels) if len(shapes) == 1 and len(labels) else labels


class UserScores:
    """What a user's metric says about one model."""

    def __init__(self, spec: str, function: Function) -> None:
        self.spec = spec
        self._function = in_our_order(function)
        self._outputs: list[Mapping[str, Array]] = []
        self._labels: list[Any] = []
        self._scores: list[float] = []
        self._whole = bool(getattr(function, "whole", False))

    def add(self, outputs: Mapping[str, Array], label: Any) -> None:
        """Takes in one sample."""
        self._outputs.append(outputs)
        self._labels.append(label)
        if not self._whole and len(self._outputs) == _GROUP:
            self._score_group()

    def merge(self, following: UserScores) -> None:
        """Takes in the samples that follow; this one ends at a whole group."""
        self._scores += following._scores
        self._outputs += following._outputs
        self._labels += following._labels
        self._whole |= following._whole

    def scores(self) -> Array | None:
        """One score for each sample, or None when the metric is one number over all of them."""
        if not self._whole and self._outputs:
            self._score_group()
        return None if self._whole else np.array(self._scores)

    def value(self, without: range | None = None) -> float:
        """The metric over all samples but some."""
        kept = [i for i in range(len(self._outputs)) if without is None or i not in without]
        found = self._numbers([self._outputs[i] for i in kept], [self._labels[i] for i in kept])
        if found.size != 1:
            raise DataError(
                f"The metric '{self.spec}' returned one number, then an array of shape {found.shape}. Return "
                "either one score for each sample, or one number."
            )
        return float(found.reshape(()))

    def folds(self) -> list[range]:
        """Up to 20 blocks of neighbouring samples, one left out at a time."""
        edges = np.linspace(0, len(self._outputs), min(_FOLDS, len(self._outputs)) + 1).astype(int)
        return [range(a, b) for a, b in itertools.pairwise(edges.tolist())]

    def _score_group(self) -> None:
        result = self._numbers(self._outputs, self._labels)
        if result.ndim == 0:
            if self._scores:
                raise DataError(f"The metric '{self.spec}' returned scores, then one number. Return either.")
            self._whole = True
            return
        if result.shape != (len(self._outputs),):
            raise DataError(
                f"The metric '{self.spec}' returned shape {result.shape} for {len(self._outputs)} samples. "
                "Expected one score for each sample, or one number."
            )
        self._scores.extend(float(score) for score in result)
        self._outputs, self._labels = [], []

    def _numbers(self, outputs: list[Mapping[str, Array]], labels: list[Any]) -> Array:
        """What the metric returns, as real numbers."""
        result = self._call(outputs, labels)
        try:
            array = np.asarray(result)
            if array.dtype.kind in "OV":  # lists of tensors
                array = np.asarray(result, dtype=np.float64)
        except Exception:  # noqa: BLE001 - numpy raises what the object of the user raises
            array = np.array("")
        if array.dtype.kind not in "biuf" or result is None:
            raise DataError(
                f"The metric '{self.spec}' returned {printable(repr(result), 40)} of type "
                f"{type(result).__name__}. Expected one real number for each sample, or one number for all: "
                "return a float, or an array of them."
            )
        return array.astype(np.float64)

    def _call(self, outputs: list[Mapping[str, Array]], labels: list[Any]) -> Any:
        single = len(outputs[0]) == 1
        given = np.concatenate([next(iter(o.values())) for o in outputs]) if single else outputs
        try:
            with refused(f"The metric '{self.spec}' failed with", _given(outputs, labels)):
                return self._function(given, labels)
        except DataError as error:
            if isinstance(error.__cause__, Exception) and _takes_labels_first(self._function, given, labels):
                raise DataError(
                    f"{error} It runs when the labels come first: swap its parameters, or name them y_true "
                    "and y_pred."
                ) from error.__cause__
            raise


def _given(outputs: list[Mapping[str, Array]], labels: list[Any]) -> str:
    """Say what a metric gets."""
    several = "" if len(outputs[0]) == 1 else ", a list of one dict of arrays by output name a sample"
    named = ", a list of one dict by label name a sample" if isinstance(labels[0], Mapping) else ", a list"
    first = f"outputs{several or ', an array of one row a sample'}"
    return f"It gets two arguments: {first}; and labels{named}."


def _takes_labels_first(function: Function, outputs: Any, labels: list[Any]) -> bool:
    """True where the metric runs with its arguments swapped."""
    try:
        with refused("swapped"):
            np.asarray(function(labels, outputs), dtype=np.float64)
    except (DataError, TypeError, ValueError):
        return False
    return True


class OwnTally:
    """What a user's metric says about one model, beside another.

    Args:
        wanted: the function, or its spelling.
    """

    def __init__(self, wanted: Wanted, function: Function) -> None:
        self._user = UserScores(wanted.key, function)
        self._one_output = wanted.output is not None
        self.sign = -1.0 if lower_is_better(wanted.name, wanted.options, function) else 1.0
        self.latest: float | None = None

    def add(self, answer: Answer, index: int) -> None:  # noqa: ARG002 - the order is the same for all models
        """Takes in one sample."""
        outputs = {answer.output: answer.outputs[answer.output]} if self._one_output else answer.outputs
        named = {name: label for name, label in answer.labels.items() if name != WEIGHT}
        if named and answer.label is not None:
            named.setdefault("label", answer.label)
        self._user.add(outputs, named or answer.label)

    def merge(self, following: OwnTally) -> None:
        """Takes in the samples that follow."""
        self._user.merge(following._user)

    @property
    def scores(self) -> Array | None:
        """One score for each sample, or None."""
        return self._user.scores()

    def undefined(self) -> str | None:
        """Why the metric is no finite number, or None."""
        scores = self.scores
        values = np.array([self._user.value()]) if scores is None else scores
        bad = np.flatnonzero(~np.isfinite(values))
        if not bad.size:
            return None
        value = f"{values[bad[0]]:g}".replace("nan", "NaN")
        where = "over all samples" if scores is None else f"for {bad.size} of {len(values)} samples"
        return (
            f"The metric '{self._user.spec}' returned {value} {where}, so this model cannot be compared. "
            "Return finite numbers."
        )

    def estimate(self) -> Estimate:
        """The metric with its interval: of a mean, or by the jackknife."""
        scores = self.scores
        if scores is not None:
            return mean_score(scores)
        value = self._user.value()
        return value, *_jackknife([self._user.value(fold) for fold in self._user.folds()], value, 0.95)

    def change(self, reference: OwnTally) -> Change:
        """How the metric changed; both models leave out the same samples."""
        scores, before = self.scores, reference.scores
        if scores is not None and before is not None:
            return paired_change(before, scores, self.sign)
        own, other = self._user, reference._user
        changes = [self.sign * (own.value(fold) - other.value(fold)) for fold in other.folds()]
        change = self.sign * (own.value() - other.value())
        return Change(change, *_jackknife(changes, change, 0.95))


def _jackknife(left_out: list[float], estimate: float, confidence: float) -> Interval:
    """The grouped jackknife: ``estimate ± t sqrt((g - 1) / g · Σ (θ_i - mean θ)²)`` over g groups.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.
    """
    groups = len(left_out)
    if groups < _FEWEST_FOLDS or not np.isfinite(left_out).all():
        return None, None
    spread = float(((np.array(left_out) - np.mean(left_out)) ** 2).sum())
    half = student_quantile(confidence, groups - 1) * math.sqrt((groups - 1) / groups * spread)
    return estimate - half, estimate + half
