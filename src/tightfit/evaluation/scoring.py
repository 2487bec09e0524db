"""Scores of several models on a run of samples; those of shards merge to the scores of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

from tightfit.data.dataset import Dataset
from tightfit.errors import DataError
from tightfit.evaluation.labels.label_shift import LabelCheck
from tightfit.evaluation.parallel_runs import ModelRun, Runnable, RunRound, run_side_by_side
from tightfit.evaluation.scorecard import Accuracy, Scorecard
from tightfit.evaluation.task import Tasks
from tightfit.evaluation.user_metric import Function, load_metric
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Array, Steps

THREADS: Final = 2
"""CPU threads of each model."""

_CHECK_AFTER: Final = 64  # samples after which shifted labels are reported, rather than at the end


@dataclass
class Scored:
    """The scores of several models on the same samples, the reference's first.

    Args:
        cards: one a model.
        check: of the labels.
    """

    cards: list[Scorecard]
    check: LabelCheck

    def merge(self, following: Scored) -> None:
        """Take in the scores on the samples that follow; see ``PairwiseSum`` for what is bit-equal."""
        for own, more in zip(self.cards, following.cards, strict=True):
            own.merge(more)
        self.check.merge(following.check)

    def accuracies(self, notes: Sequence[str]) -> list[Accuracy]:
        """Return the accuracy of each model, compared with the first.

        Raises:
            DataError: a metric of the user's own has no value for the first model.
        """
        undefined = self.cards[0].undefined()
        if undefined is not None:
            raise DataError(undefined.replace("this model cannot", "no model can"))
        return [replace(card.accuracy(self.cards[0]), notes=tuple(notes)) for card in self.cards]


def score_rounds(
    rounds: Iterable[RunRound],
    runs: Sequence[ModelRun],
    scored: Scored,
    output: str,
    total: int,
    seen: Callable[[int, float | None], bool],
) -> Scored:
    """Score rounds until they end, or until ``seen`` returns True.

    Args:
        rounds: what the models answer.
        runs: the models.
        scored: filled and returned.
        output: the output that is compared with labels of classes.
        total: number of samples, after which labels are checked; 0 where other shards follow.
        seen: is called with the samples done and the last model's main score.
    """
    for done, each in enumerate(rounds, 1):
        for card, outputs in zip(scored.cards, each.answers, strict=True):
            card.add(outputs, each.reference, each.label, each.labels, each.inputs)
        scored.check.add(each.label, each.reference[output])
        if done in (_CHECK_AFTER, total):
            scored.check.verify()
        if seen(done, scored.cards[-1].latest):
            break
    for card, lane in zip(scored.cards, runs, strict=True):
        card.failure = card.failure or lane.failure
    return scored


def empty_scores(
    tasks: Tasks,
    models: int,
    slices: Slices | None = None,
    first: int = 0,
    functions: Mapping[str, Function] | None = None,
) -> Scored:
    """Return scores of no samples yet.

    Args:
        tasks: what is measured.
        models: how many.
        slices: of the outputs.
        first: number of the first sample; a multiple of 256.
        functions: the user's metrics by name; loaded where they are None.
    """
    own = user_functions(tasks) if functions is None else functions
    return Scored([Scorecard(tasks.tasks, own, slices, first) for _ in range(models)], LabelCheck())


def score_shard(
    models: Sequence[Runnable],
    dataset: Dataset,
    indices: Sequence[int] | Array,
    tasks: Tasks,
    first: int = 0,
    **options: Any,
) -> Scored:
    """Return the scores of models on a shard of an evaluation's samples.

    Args:
        models: see ``accuracy.evaluate``.
        dataset: made for the first model's inputs.
        indices: the shard's samples, ascending.
        tasks: what is measured, the same for all shards; see ``accuracy.understand``.
        first: how many samples the shards before have; a multiple of 256.
        options: ``slices`` and ``functions`` of ``empty_scores``, and ``progress``.

    Raises:
        DataError, RuntimeFailureError: see ``accuracy.evaluate``.
    """
    progress: Steps | None = options.pop("progress", None)
    runs = [ModelRun(model, THREADS) for model in models]

    def seen(done: int, score: float | None) -> bool:
        del score
        if progress is not None:
            progress(done, len(indices))
        return False

    scored = empty_scores(tasks, len(models), first=first, **options)
    with closing(run_side_by_side(dataset.samples(indices), runs)) as rounds:
        return score_rounds(rounds, runs, scored, tasks.tasks[0].output, 0, seen)


def user_functions(tasks: Tasks) -> dict[str, Function]:
    """Return the user's own metrics by their names."""
    return {
        task.name: task.wanted.function or load_metric(task.wanted.name)
        for task in tasks.tasks
        if task.metric is None
    }
