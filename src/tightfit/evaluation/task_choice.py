"""The task of each metric that is wanted: the output that it scores, how that decides, its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from tightfit.errors import DataError, unknown_name
from tightfit.evaluation.labels import label_kinds as meaning
from tightfit.evaluation.labels.class_ranges import is_distribution, options_for
from tightfit.evaluation.labels.label_kinds import Head, Probe, Reading
from tightfit.evaluation.labels.read_labels import read_labels
from tightfit.evaluation.metric_options import (
    box_options,
    decided_outputs,
    decision_threshold,
    pixel_range,
    scores_classes,
)
from tightfit.evaluation.metrics.classes import units
from tightfit.evaluation.metrics.metric import Metric
from tightfit.evaluation.metrics.metric_table import METRICS
from tightfit.evaluation.metrics.spelling import AUTO, Wanted, parse_metrics
from tightfit.evaluation.task import KINDS_OF, Task, Tasks
from tightfit.types import Array

DEFAULTS: Final = {
    meaning.CLASS: ("top1",),
    meaning.SEVERAL: ("f1",),
    meaning.PLACES: ("top1", "miou"),
    meaning.VALUES: ("mae",),
    meaning.INPUT: ("mae",),
    meaning.RANK: ("top1",),
    meaning.TEXT: ("cer",),
    meaning.SPAN: ("span_f1", "em"),
    meaning.BOXES: ("map50",),
}
"""Kind of label → what ``auto`` measures, the first of them limited by a budget of one number."""


def choose_tasks(
    wanted: str | Sequence[Wanted],
    probes: Sequence[Probe],
    scalars: Mapping[str, Array] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Tasks:
    """Return the task of each metric that is wanted; ``auto`` stands for those that labels and outputs show.

    Without labels ``auto`` is ``agreement`` where outputs are probabilities of classes, and ``cosine`` for
    every other output.

    Args:
        wanted: as ``parse_metrics`` reads it.
        probes: the first samples with the reference's outputs.
        scalars: the numbers of all samples by key, of labels that are one number each.
        kinds: output → kind of its labels that the user says, see ``labels.read_labels``.

    Raises:
        DataError: for labels that do not belong to an output, or an unknown output.
    """
    asked = parse_metrics(wanted) if isinstance(wanted, str) else list(wanted)
    outputs = probes[0].outputs
    for each in asked:
        if each.output is not None and each.output not in outputs:
            raise DataError(unknown_name("output", each.output, outputs))
    chosen = next((w.output for w in asked if w.output is not None), None)
    strictly = any(w.name == AUTO for w in asked)
    said = {**_kinds_said(asked, probes), **(kinds or {})}
    reading = _read(probes, scalars or {}, chosen, said, strictly=strictly or bool(kinds))
    tasks: list[Task] = []
    for each in asked:
        if each.name == AUTO:
            tasks += _automatic(each, reading, probes)
        else:
            tasks.append(_task(each, reading, probes, scalars or {}))
    return Tasks(tasks, reading, tuple(outputs))


def choose_task(metric: str, probes: Sequence[Any], labels: Array | None = None) -> Task:
    """Return the main task of a metric's name; see ``choose_tasks``.

    Args:
        metric: its name, or ``auto``.
        probes: ``Probe`` or (label, outputs).
        labels: numbers of all samples, where labels are numbers.
    """
    given = [Probe(*each) for each in probes]
    return choose_tasks(metric, given, {} if labels is None else {meaning.PLAIN: labels}).tasks[0]


def _kinds_said(asked: Sequence[Wanted], probes: Sequence[Probe]) -> dict[str, str]:
    """The kinds that the metrics say: 0 and 1 of a single unit are numbers where only numbers are scored."""
    reads: dict[str, set[str]] = {}
    for each in asked:
        if each.row is not None and each.row.needs_labels:
            reads.setdefault(each.output or "", set()).add(each.row.reads)
    alone = all(a.size == units(a) == 1 for a in probes[0].outputs.values())
    return {name: meaning.VALUES for name, kinds in reads.items() if alone and kinds == {"values"}}


def _read(
    probes: Sequence[Probe],
    scalars: Mapping[str, Array],
    output: str | None,
    kinds: Mapping[str, str],
    *,
    strictly: bool,
) -> Reading:
    """What the labels mean; a named metric may read what ``auto`` does not understand."""
    try:
        return read_labels(probes, scalars, output, kinds)
    except DataError:
        if strictly:
            raise
        return Reading()


def _automatic(asked: Wanted, reading: Reading, probes: Sequence[Probe]) -> list[Task]:
    """The default metrics of every labelled output; without labels, closeness to the reference."""
    if not reading.heads:
        return _proxies(asked, probes)
    found = []
    many = len(reading.heads) > 1
    for head in reading.heads:
        for name in DEFAULTS[head.kind]:
            output = head.output if (many or asked.output) and head.output else None
            found.append(_of_head(replace(asked, name=name, output=output), METRICS[name], head, probes))
    return found


def _proxies(asked: Wanted, probes: Sequence[Probe]) -> list[Task]:
    outputs = [asked.output] if asked.output else list(probes[0].outputs)
    deciding = [name for name in outputs if scores_classes(probes, name)]
    tasks = []
    if deciding:
        agreement = replace(asked, name="agreement")
        tasks.append(_of_head(agreement, METRICS["agreement"], Head(deciding[0], ""), probes))
    others = [name for name in outputs if name not in deciding]
    if not deciding and not asked.output:
        return [_of_head(replace(asked, name="cosine"), METRICS["cosine"], Head(outputs[0], ""), probes)]
    cosines = [(replace(asked, name="cosine", output=name), Head(name, "")) for name in others]
    return tasks + [_of_head(each, METRICS["cosine"], head, probes) for each, head in cosines]


def _task(asked: Wanted, reading: Reading, probes: Sequence[Probe], scalars: Mapping[str, Array]) -> Task:
    """The task of a named metric, on the named output, else on the labelled one that suits it."""
    row, first = asked.row, probes[0]
    output = asked.output or next(iter(first.outputs))
    if row is None:
        return Task(None, output, decided_outputs("", probes, output), wanted=asked)
    labelled = first.label is not None or bool(first.labels)
    if row.needs_labels and not labelled and asked.options.get("truth") != "input":
        raise DataError(
            f"The metric '{row.name}' needs labels, and the data has none. Pass some, or use 'agreement'."
        )
    head = _suiting(row, reading, asked.output)
    if head is None or head.kind not in KINDS_OF[row.reads]:
        head = _own_head(row, asked, head, probes, scalars)
    return _of_head(asked, row, head, probes)


def _suiting(row: Metric, reading: Reading, output: str | None) -> Head | None:
    heads = [h for h in reading.heads if output is None or h.output in (output, "")]
    suiting = [h for h in heads if h.kind in KINDS_OF[row.reads]]
    return next(iter([*suiting, *heads]), None)


def _own_head(
    row: Metric, asked: Wanted, head: Head | None, probes: Sequence[Probe], scalars: Mapping[str, Array]
) -> Head:
    """The head as the named metric reads it, where the labels by themselves show another kind or none."""
    first = probes[0]
    output = asked.output or (head.output if head is not None else "") or next(iter(first.outputs))
    key = head.key if head is not None else meaning.PLAIN
    if first.at(key) is None:
        key = next(iter(first.labels), meaning.PLAIN)
    if row.reads != "classes" or first.at(key) is None or not row.needs_labels:
        return Head(output, "", key)
    labels = [label for p in probes if (label := p.at(key)) is not None]
    outputs = [p.outputs[output] for p in probes]
    single = np.asarray(labels[0]).size == 1
    kind = meaning.CLASS if single else meaning.PLACES
    return Head(output, kind, key, options_for(kind, labels, outputs, scalars.get(key), output))


def _of_head(asked: Wanted, row: Metric, head: Head, probes: Sequence[Probe]) -> Task:
    output = head.output or next(iter(probes[0].outputs))
    decided = decided_outputs(row.name, probes, output)
    options = {**head.options, **asked.options}
    if not row.needs_labels and asked.output:
        options["only"] = True
        if row.name == "agreement":
            decided = (output,)
    if row.reads == "boxes":
        options |= box_options(probes, head, options)
    elif row.reads == "image":
        options.setdefault("found_range", pixel_range(probes, head.key))
    elif row.name == "perplexity":
        options["probabilities"] = all(is_distribution(p.outputs[output]) for p in probes)
    if row.reads == "sequence" and probes[0].outputs[output].dtype.kind in "iu":
        options["indices"] = True
    task = Task(row, output, decided, decision_threshold(probes, output), head.key, options, asked)
    _try(task, row, probes[0])
    return task


def _try(task: Task, row: Metric, probe: Probe) -> None:
    """Scores the reference's first answer: labels that do not fit are refused before anything runs."""
    function = row.score or row.sums or row.record
    if function is None or (row.needs_labels and probe.label is None and not probe.labels):
        return
    function(task.answer(probe.outputs, probe.outputs, probe.label, probe.labels, probe.inputs))
