"""Runs models on the same samples and says how accurate each is, and how sure that is.

The first model is the reference. Each sample is read once and goes to all models, each in a child process of
its own; only scores are kept, so memory does not grow with the samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from tightfit.data.dataset import Dataset
from tightfit.errors import DataError
from tightfit.evaluation.early_stopping import Limit, drop_bound
from tightfit.evaluation.label_shift import LabelCheck
from tightfit.evaluation.parallel_runs import ModelRun, Runnable, RunRound, run_side_by_side
from tightfit.evaluation.scorecard import Accuracy, Scorecard
from tightfit.evaluation.slices.parts import Slices
from tightfit.evaluation.task import choose_task
from tightfit.evaluation.user_metric import load_metric
from tightfit.types import Array, Steps

__all__ = ["THREADS", "Accuracy", "evaluate"]

THREADS: Final = 2
"""CPU threads of each model."""


_PROBES = 16  # answers that show what the task is
_PROBE_BYTES = 32 << 20  # fewer of them when outputs are large
_CHECK_AFTER = 64  # samples after which shifted labels are reported, rather than at the end


def evaluate(  # noqa: PLR0913 - the options of one verb
    models: Sequence[Runnable],
    dataset: Dataset,
    indices: Sequence[int] | Array | None = None,
    *,
    metric: str = "auto",
    progress: Steps | None = None,
    limit: Limit | None = None,
    slices: Slices | None = None,
) -> list[Accuracy]:
    """The accuracy of each model on the samples, with the drop from the first model.

    Args:
        models: files, bytes of files, or functions that open a session; the first is the reference.
        dataset: made for the first model's inputs.
        indices: the samples; None takes all.
        metric: see ``choose_task``, or ``module:function`` (see ``user_metric``).
        progress: called with the samples done and the samples in all.
        slices: of the outputs, see ``slices.trace``; their last axes by default.
        limit: ends early, with the numbers of the samples so far, once the last model must lose more.

    Returns:
        One ``Accuracy`` a model, in order. A model that cannot run has a ``failure`` and no numbers.

    Raises:
        DataError: for data that does not fit the reference, or labels that do not fit its outputs.
        RuntimeFailureError: when the reference fails.
    """
    total = len(dataset) if indices is None else len({int(i) for i in indices})
    if not models or not total:
        raise DataError(f"Received {len(models)} models and {total} samples. Pass at least one of each.")
    runs = [ModelRun(model, THREADS) for model in models]
    with closing(run_side_by_side(dataset.samples(indices), runs)) as rounds:
        probes = _take_probes(rounds)
        task = choose_task(metric, [(r.label, r.reference) for r in probes], dataset.labels(indices))
        function = load_metric(metric.partition("@")[0]) if task.metric is None else None
        cards = [Scorecard(task.metric.name if task.metric else metric, task, function, slices) for _ in runs]
        check, bound = LabelCheck(), drop_bound(task.metric, limit, total)
        for done, each in enumerate(itertools.chain(probes, rounds), 1):
            for card, outputs in zip(cards, each.answers, strict=True):
                card.add(outputs, each.reference, each.label)
            check.add(each.label, each.reference[task.output])
            if done in (_CHECK_AFTER, total):
                check.verify()
            if progress is not None:
                progress(done, total)
            score = cards[-1].latest
            if bound is not None and score is not None and bound.exceeded(score):
                break
    for card, lane in zip(cards, runs, strict=True):
        card.failure = card.failure or lane.failure
    return [card.accuracy(cards[0]) for card in cards]


def _take_probes(rounds: Iterator[RunRound]) -> list[RunRound]:
    """The first answers, held until the task is known: 16, or fewer when outputs are large."""
    probes: list[RunRound] = []
    held = 0
    for each in rounds:
        probes.append(each)
        held += sum(array.nbytes for array in each.reference.values()) * len(each.answers)
        if len(probes) == _PROBES or held > _PROBE_BYTES:
            break
    return probes
