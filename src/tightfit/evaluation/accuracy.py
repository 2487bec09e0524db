"""Runs models on the same samples and says how accurate each is, and how sure that is.

The first model is the reference. Each sample is read once and goes to all models, each in a child process of
its own; only scores are kept, so memory does not grow with the samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.errors import DataError
from tightfit.evaluation.early_stopping import Limit, drop_bound
from tightfit.evaluation.label_shift import LabelCheck
from tightfit.evaluation.labels import PLAIN, Probe
from tightfit.evaluation.metrics.spelling import Wanted, parse_metrics
from tightfit.evaluation.parallel_runs import ModelRun, Runnable, RunRound, run_side_by_side
from tightfit.evaluation.scorecard import Accuracy, Scorecard
from tightfit.evaluation.slices.parts import Slices
from tightfit.evaluation.task import Tasks, choose_tasks
from tightfit.evaluation.user_metric import Function, load_metric
from tightfit.types import Array, Steps

__all__ = ["THREADS", "Accuracy", "Asked", "evaluate", "understand", "wanted_metrics"]

Asked = str | Callable[..., object] | Wanted | Sequence[str | Callable[..., object] | Wanted]
"""A metric as the user gives it: its spelling, a function, or several of either."""

THREADS: Final = 2
"""CPU threads of each model."""


_GLANCE = 4  # answers that show before a search whether labels fit
_PROBES = 16  # answers that show what the task is
_PROBE_BYTES = 32 << 20  # fewer of them when outputs are large
_CHECK_AFTER = 64  # samples after which shifted labels are reported, rather than at the end


def evaluate(  # noqa: PLR0913 - the options of one verb
    models: Sequence[Runnable],
    dataset: Dataset,
    indices: Sequence[int] | Array | None = None,
    *,
    metric: Asked = "auto",
    progress: Steps | None = None,
    limit: Limit | None = None,
    slices: Slices | None = None,
) -> list[Accuracy]:
    """The accuracy of each model on the samples, with the drop from the first model.

    Args:
        models: files, bytes of files, or functions that open a session; the first is the reference.
        dataset: made for the first model's inputs.
        indices: the samples; None takes all.
        metric: see ``choose_tasks``; ``module:function`` or a function (see ``user_metric``); or several.
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
        wanted = wanted_metrics(metric)
        probes = _take_probes(rounds, wanted)
        tasks = _understood(wanted, probes, dataset, indices)
        main, functions = tasks.tasks[0], _functions(tasks)
        cards = [Scorecard(tasks.tasks, functions, slices) for _ in runs]
        check, bound = LabelCheck(), drop_bound(main.metric if len(tasks.tasks) == 1 else None, limit, total)
        for done, each in enumerate(itertools.chain(probes, rounds), 1):
            for card, outputs in zip(cards, each.answers, strict=True):
                card.add(outputs, each.reference, each.label, each.labels, each.inputs)
            check.add(each.label, each.reference[main.output])
            if done in (_CHECK_AFTER, total):
                check.verify()
            if progress is not None:
                progress(done, total)
            score = cards[-1].latest
            if bound is not None and score is not None and bound.exceeded(score):
                break
    for card, lane in zip(cards, runs, strict=True):
        card.failure = card.failure or lane.failure
    notes = (*dataset.notes, *tasks.reading.notes)
    return [replace(card.accuracy(cards[0]), notes=notes) for card in cards]


def wanted_metrics(metric: Asked) -> list[Wanted]:
    """Return the metrics that a user asks for, parsed.

    Raises:
        OptionError: for an unknown name or option.
    """
    if isinstance(metric, str):
        return parse_metrics(metric)
    if isinstance(metric, Wanted):
        return [metric]
    if callable(metric):
        name = getattr(metric, "__name__", type(metric).__name__).strip("<>")
        options = {} if getattr(metric, "higher_is_better", True) else {"lower": True}
        return [Wanted(name, getattr(metric, "output", None), options, function=metric)]
    return [wanted for each in metric for wanted in wanted_metrics(each)]


def understand(
    model: Runnable, dataset: Dataset, indices: Sequence[int] | Array | None, metric: Asked
) -> Tasks:
    """Return what labels mean and what is measured, from a model's answers to a few samples.

    Raises:
        DataError: for labels that do not fit the model's outputs.
    """
    few = sorted({int(i) for i in (range(len(dataset)) if indices is None else indices)})[:_GLANCE]
    with closing(run_side_by_side(dataset.samples(few), [ModelRun(model, THREADS)])) as rounds:
        wanted = wanted_metrics(metric)
        return _understood(wanted, _take_probes(rounds, wanted), dataset, indices)


def _understood(
    wanted: list[Wanted], rounds: Sequence[RunRound], dataset: Dataset, indices: Sequence[int] | Array | None
) -> Tasks:
    probes = [Probe(r.label, r.reference, r.labels, r.inputs) for r in rounds]
    scalars = dataset.named_labels(indices)
    plain = dataset.labels(indices) if rounds[0].label is not None else None
    return choose_tasks(wanted, probes, scalars if plain is None else {**scalars, PLAIN: plain})


def _functions(tasks: Tasks) -> dict[str, Function]:
    """The user's own metrics."""
    return {
        task.name: task.wanted.function or load_metric(task.wanted.name)
        for task in tasks.tasks
        if task.metric is None
    }


def _take_probes(rounds: Iterator[RunRound], wanted: Sequence[Wanted]) -> list[RunRound]:
    """The first answers, held until the task is known: 16, or fewer when they are large."""
    probes: list[RunRound] = []
    held = 0
    for each in rounds:
        kept = each if _may_be_its_input(each, wanted) else replace(each, inputs=_shapes_of(each.inputs))
        probes.append(kept)
        held += sum(array.nbytes for array in kept.reference.values()) * len(kept.answers)
        held += sum(array.nbytes for array in kept.inputs.values() if array.strides[-1:] != (0,))
        if len(probes) == _PROBES or held > _PROBE_BYTES:
            break
    return probes


def _shapes_of(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays of the same shapes that hold one number: a sample may be large."""
    return {name: np.broadcast_to(np.zeros(1, a.dtype), a.shape) for name, a in inputs.items() if a.ndim}


def _may_be_its_input(each: RunRound, wanted: Sequence[Wanted]) -> bool:
    """True where a metric may compare with the sample's input."""
    if any(w.options.get("truth") == "input" for w in wanted):
        return True
    size = next(iter(each.inputs.values())).size if each.inputs else 0
    labels = [each.label, *each.labels.values()]
    return any(x is not None and not isinstance(x, str) and np.asarray(x).size == size > 1 for x in labels)
