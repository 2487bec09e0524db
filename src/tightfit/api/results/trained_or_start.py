"""Writes the trained file, or the one before the training where validation data shows that to be better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.accuracy import Accuracy, Asked
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.evaluation.slices.quality import newly_poor
from tightfit.graph.ir import Model
from tightfit.pipeline.source import Source
from tightfit.pipeline.write import write_float, write_plan
from tightfit.quantization.checking import random_probes
from tightfit.quantization.plan import Plan
from tightfit.scratch import scratch_folder
from tightfit.search.verdict.metric_words import metric_words
from tightfit.types import Array
from tightfit.units import format_decibels

if TYPE_CHECKING:
    from tightfit.training.loop.training_data import Trained

KEPT_TRAINED: Final = "trained"
KEPT_START: Final = "start"
_ERRORS: Final = 1.5
"""Standard errors by which a metric is better for sure enough."""
_SURELY: Final = 2.5
"""The same where the file before the training lost nothing, so that training has nothing to win back."""
_INTERVAL: Final = 2 * 1.96
"""Standard errors in an interval of 95 %."""
_CLEARLY_LESS: Final = 0.1
"""Where the metric is equal, the trained file is kept when the validation loss fell by this fraction."""


@dataclass(frozen=True)
class JudgedFile:
    """What decides between two files.

    Args:
        dataset: data that trained nothing; None decides nothing.
        indices: the samples of it; None for all.
        metric: as for ``evaluate``.
        kinds: output → kind of its labels that the user says.
    """

    dataset: Dataset | None
    indices: Array | None
    metric: Asked
    kinds: Mapping[str, str]


def write_better(
    source: Source, trained: Trained, output: Path, layout: str, original: Path, judged: JudgedFile
) -> tuple[str, list[str], list[Accuracy]]:
    """Write the better one of the trained file and the file before the training, checked on LiteRT.

    Args:
        source: the float model.
        trained: the result of the training.
        output: the file to write.
        layout: ``cpu``, ``npu`` or ``micro``.
        original: the float file that both are compared with.
        judged: what decides; the trained file is kept where nothing does.

    Returns:
        ``trained`` or ``start``, notes, and the accuracies of the original and of the file before the
        training on the samples that decided; none where nothing did.
    """
    write = partial(_write, source, layout=layout, steps=trained.notes)
    notes = write(trained.model, trained.plan, output)
    if judged.dataset is None or trained.start is None:
        return KEPT_TRAINED, notes, []
    with scratch_folder() as folder:
        before = folder / output.name
        try:
            start_notes = write(*trained.start, before)
        except RuntimeFailureError as error:
            return KEPT_TRAINED, [*notes, f"LiteRT does not run the file before the training: {error}"], []
        files = [original, before, output]
        whole, start, after = evaluate_models(
            files, judged.dataset, judged.indices, metric=judged.metric, kinds=judged.kinds,
            slices=slices_of(source.model),
        )  # fmt: skip
    better = gains(start, after, trained.gained, whole)
    words = _comparison(start, after, "the trained file" if better else "the file before the training")
    if better:
        return KEPT_TRAINED, [*notes, words], [whole, start]
    write(*trained.start, output)
    return KEPT_START, [*start_notes, words], [whole, start]


def gains(
    start: Accuracy, trained: Accuracy, less_loss: float = 0.0, original: Accuracy | None = None
) -> bool:
    """Return whether a trained file is better than the one before.

    Not where its metric is worse, and where it is better by 1.5 standard errors; between the two the loss
    decides, which changes with each sample, also where all decisions stay. Where the file before lost nothing
    by the labels, less loss is no gain, and the metric must be better by 2.5 standard errors. A slice of an
    output that became poor beside the float model decides against the trained file, unless labels show that
    it is better.

    Args:
        start: of the file before the training, on validation data.
        trained: of the trained file, on the same samples.
        less_loss: fraction of the validation loss that the training won.
        original: of the model that both were made from, on the same samples; None counts as better than both.
    """
    if start.failure is not None or trained.failure is not None:
        return trained.failure is None
    keeps_slices = newly_poor(start.outputs, trained.outputs) is None
    if start.value is None or trained.value is None:
        return keeps_slices and less_loss >= _CLEARLY_LESS
    sign = trained.metrics[trained.metric].sign
    change, error = sign * (trained.value - start.value), _error(start, trained)
    if change < 0.0:
        return False
    lost = not _by_labels(trained.metric) or _has_lost(original, start, sign)
    if change > (_ERRORS if lost else _SURELY) * error:
        return keeps_slices or _by_labels(trained.metric)
    return keeps_slices and lost and less_loss >= _CLEARLY_LESS


def _error(start: Accuracy, trained: Accuracy) -> float:
    """The standard error of the difference, of samples' scores or of both changes from the original."""
    if start.scores is not None and trained.scores is not None:
        count = len(start.scores)
        return float(np.std(trained.scores - start.scores, ddof=1)) / count**0.5 if count > 1 else 0.0
    found = [a.metrics[a.metric] for a in (start, trained)]
    ends = [(s.change_low, s.change_high) for s in found]
    spans = [high - low for low, high in ends if low is not None and high is not None]
    return math.hypot(*spans) / _INTERVAL if len(spans) == len(found) else 0.0


def _has_lost(original: Accuracy | None, start: Accuracy, sign: float) -> bool:
    """Whether a file is worse than the original, or that is not known."""
    if original is None or original.value is None or start.value is None:
        return True
    return sign * (original.value - start.value) > 0.0


def _by_labels(metric: str) -> bool:
    """Whether a metric compares with labels, and not with the float model."""
    row = find_metric(metric.partition("@")[0])
    return row is None or row.needs_labels


def _comparison(start: Accuracy, trained: Accuracy, kept: str) -> str:
    """What decided, with both figures."""
    words = metric_words(trained.metric)
    found = [a.failure or ("-" if a.value is None else words.score(a.value)) for a in (start, trained)]
    poor = newly_poor(start.outputs, trained.outputs)
    if poor is not None:
        was = next(o.own_db for o in start.outputs if o.name == poor.name)
        found[1] += (
            f"; the worst slice of the output '{poor.name}' fell from {format_decibels(was)} to "
            f"{format_decibels(poor.own_db)}"
        )
    return (
        f"{words.noun} on {trained.n:,} validation samples that trained nothing: before the training "
        f"{found[0]}, trained {found[1]}; {kept} was kept."
    )


def _write(
    source: Source, model: Model, plan: Plan | None, output: Path, *, layout: str, steps: Sequence[str]
) -> list[str]:
    """Write a float file, or that of a plan, and return its notes."""
    if plan is None:
        write_float(model, source, output, notes=steps)
        return []
    probes = random_probes(source.path, source.model)
    changed = replace(source, model=model, reference=source.compared)
    made = write_plan(changed, plan, output, layout=layout, probes=probes)
    return made.notes
