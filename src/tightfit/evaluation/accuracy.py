"""Runs models on the same samples and says how accurate each is, and how sure that is.

The first model is the reference. Each sample is read once and goes to all models, each in a child process of
its own; only scores are kept, so memory does not grow with the samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.errors import DataError, OptionError
from tightfit.evaluation.early_stopping import Limit, drop_bound
from tightfit.evaluation.labels.label_kinds import INPUT, PLAIN, Probe
from tightfit.evaluation.metrics.spelling import Wanted, directed, parse_metrics
from tightfit.evaluation.parallel_runs import ModelRun, Runnable, RunRound, run_side_by_side
from tightfit.evaluation.scorecard import Accuracy
from tightfit.evaluation.scoring import THREADS, empty_scores, score_rounds, user_functions
from tightfit.evaluation.task import Tasks
from tightfit.evaluation.task_choice import choose_tasks
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Array, Steps

__all__ = ["PROBES", "THREADS", "Accuracy", "Asked", "evaluate", "understand", "wanted_metrics"]

Asked = (
    str
    | Callable[..., object]
    | Wanted
    | Sequence[str | Callable[..., object] | Wanted]
    | Mapping[str, Callable[..., object]]
)
"""A metric as the user gives it: its spelling, a function, several of either, or functions by name."""

_GLANCE = 4  # answers that show before a search whether labels fit
PROBES: Final = 16
"""Answers that show what the task is."""


_PROBE_BYTES = 32 << 20  # fewer of them when outputs are large


def evaluate(  # noqa: PLR0913 - the options of one verb
    models: Sequence[Runnable],
    dataset: Dataset,
    indices: Sequence[int] | Array | None = None,
    *,
    metric: Asked = "auto",
    progress: Steps | None = None,
    limit: Limit | None = None,
    slices: Slices | None = None,
    kinds: Mapping[str, str] | None = None,
) -> list[Accuracy]:
    """The accuracy of each model on the samples, with the drop from the first model.

    Args:
        models: files, bytes of files, or functions that open a session; the first is the reference.
        dataset: made for the first model's inputs.
        indices: the samples; None takes all.
        metric: see ``choose_tasks``; ``module:function`` or a function (see ``user_metric``); or several.
        progress: called with the samples done and the samples in all.
        slices: of the outputs, see ``slices.trace``; their last axes by default.
        kinds: output → kind of its labels that the user says, see ``labels.read_labels``.
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
        probes = _take_probes(rounds, wanted, kinds or {})
        tasks = _understood(wanted, probes, dataset, indices, kinds)
        main = tasks.tasks[0]
        bound = drop_bound(main.metric if len(tasks.tasks) == 1 else None, limit, total)

        def seen(done: int, score: float | None) -> bool:
            if progress is not None:
                progress(done, total)
            return bound is not None and score is not None and bound.exceeded(score)

        scored = empty_scores(tasks, len(runs), slices)
        score_rounds(itertools.chain(probes, rounds), runs, scored, main.output, total, seen)
    return scored.accuracies((*dataset.notes, *tasks.reading.notes))


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
        options = directed(name, {}, metric)
        return [Wanted(name, getattr(metric, "output", None), options, function=metric)]
    if isinstance(metric, Mapping):
        named = [
            replace(wanted, name=name, options=directed(name, wanted.options, wanted.function))
            for name, f in metric.items()
            for wanted in wanted_metrics(f)
        ]
        return named or parse_metrics("")
    if not isinstance(metric, Iterable):
        raise OptionError(
            f"Received a metric of type {type(metric).__name__}; expected a name, a function of "
            "(outputs, labels), a list of these, or a mapping from names to functions."
        )
    several = [wanted for each in metric for wanted in wanted_metrics(each)]
    return several or parse_metrics("")


def understand(
    model: Runnable,
    dataset: Dataset,
    indices: Sequence[int] | Array | None,
    metric: Asked,
    most: int = _GLANCE,
    kinds: Mapping[str, str] | None = None,
) -> Tasks:
    """Return what labels mean and what is measured, from a model's answers to a few samples.

    Args:
        model: the reference.
        dataset: made for its inputs.
        indices: the samples; None takes all.
        metric: see ``evaluate``.
        most: how many samples; with ``PROBES`` the answer is that of ``evaluate``.
        kinds: as for ``evaluate``.

    Raises:
        DataError: for labels that do not fit the model's outputs.
        OptionError: a metric of the user's own cannot be imported.
    """
    few = sorted({int(i) for i in (range(len(dataset)) if indices is None else indices)})[:most]
    with closing(run_side_by_side(dataset.samples(few), [ModelRun(model, THREADS)])) as rounds:
        wanted = wanted_metrics(metric)
        tasks = _understood(wanted, _take_probes(rounds, wanted, kinds or {}), dataset, indices, kinds)
    user_functions(tasks)  # a metric that cannot be imported is found before the work, not after it
    return tasks


def _understood(
    wanted: list[Wanted],
    rounds: Sequence[RunRound],
    dataset: Dataset,
    indices: Sequence[int] | Array | None,
    kinds: Mapping[str, str] | None,
) -> Tasks:
    probes = [Probe(r.label, r.reference, r.labels, r.inputs) for r in rounds]
    scalars = dataset.named_labels(indices)
    plain = dataset.labels(indices) if rounds[0].label is not None else None
    return choose_tasks(wanted, probes, scalars if plain is None else {**scalars, PLAIN: plain}, kinds)


def _take_probes(
    rounds: Iterator[RunRound], wanted: Sequence[Wanted], kinds: Mapping[str, str]
) -> list[RunRound]:
    """The first answers, held until the task is known: 16, or fewer when they are large."""
    probes: list[RunRound] = []
    held = 0
    for each in rounds:
        compared = INPUT in kinds.values() or _may_be_its_input(each, wanted)
        kept = each if compared else replace(each, inputs=_shapes_of(each.inputs))
        probes.append(kept)
        held += sum(array.nbytes for array in kept.reference.values()) * len(kept.answers)
        held += sum(array.nbytes for array in kept.inputs.values() if array.strides[-1:] != (0,))
        if len(probes) == PROBES or held > _PROBE_BYTES:
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
