"""Facts of tensors and outputs as data for a finding."""

from __future__ import annotations

from tightfit.data.sample import Sample
from tightfit.diagnosis.doctor.evidence import (
    Evidence,
    OutputFacts,
    TensorFacts,
)
from tightfit.evaluation.labels.label_shift import LabelCheck, Shift
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.ops.macs import WEIGHTS
from tightfit.graph.signatures import output_names, tap
from tightfit.quantization.calibration.calibrate import watched_tensors
from tightfit.streaming.extremes import Answers, Extremes
from tightfit.types import Array


def tapped(model: Model) -> tuple[Model, dict[str, Tensor], dict[str, str]]:
    """Return a copy with the results of weighted ops as outputs beside its own.

    Returns:
        the copy, the watched tensors by key, and output name → key of the original outputs.
    """
    twin = copy_model(model)
    graph, keys = twin.main, twin.main.keys()
    weighted = [t for op in graph.ops if op.kind in WEIGHTS for t in op.outputs if t.dtype == "float32"]
    watched = weighted or [t for t in watched_tensors(graph) if t.producer is not None]
    ends = {name: t for name, t in output_names(twin).items() if t.producer is not None}
    outputs = {keys[t]: t for t in dict.fromkeys([*watched, *ends.values()])}
    # A tensor that is watched and an output is observed twice, under two names.
    outputs |= {f"out {keys[t]}": t for t in ends.values()}
    tap(twin, outputs)
    return twin, {keys[t]: t for t in watched}, {name: keys[t] for name, t in ends.items()}


def by_input_name(sample: Sample, names: list[str]) -> dict[str, Array]:
    """The sample's arrays; a model of one input may call it otherwise than the data."""
    if len(names) == len(sample.inputs) == 1:
        return {names[0]: next(iter(sample.inputs.values()))}
    return dict(sample.inputs)


def decides_classes(answers: Answers, evidence: Evidence) -> bool:
    """True for probabilities of classes, or scores whose index is what the labels name."""
    if answers.low is None or answers.high is None:
        return False
    labels = [s.label for s in evidence.samples if s.label is not None]
    is_probability = bool(answers.low.min() >= 0 and answers.high.max() <= 1.02)
    return is_probability or (bool(labels) and max(labels) <= answers.low.size)


def output_facts(name: str, seen: Answers) -> OutputFacts:
    """Return what the answers of one output show, as plain data."""
    dead, entries = seen.dead
    return OutputFacts(
        name, seen.count, seen.bad, seen.saturated, seen.variation, entries, dead, seen.crushed
    )


def tensor_facts(tensor: Tensor, seen: Extremes) -> TensorFacts:
    """Return what the extremes of a tensor show: its range, how it grew, a lone value, dead channels."""
    low, high = seen.width()
    halves = [seen.width(half) for half in (0, 1)]
    growth = 0.0
    if high > low and seen.count > 1:
        growth = 1 - sum(b - a for a, b in halves) / 2 / (high - low)
    place, ratio = seen.lone()
    channels = 0 if seen.low is None else seen.low.shape[1]
    return TensorFacts(tensor.name, low, high, growth, place, ratio, channels, seen.dead)


def range_excess(calibrated: tuple[float, float], evaluated: tuple[float, float]) -> float:
    """Return by which share of its width the calibrated range is exceeded; inf where it has none."""
    width = calibrated[1] - calibrated[0]
    together = max(calibrated[1], evaluated[1]) - min(calibrated[0], evaluated[0])
    if together <= width:
        return 0.0
    return together / width - 1 if width > 0 else float("inf")


def shift_facts(evidence: Evidence) -> Shift | None:
    """Return whether the labels are shifted against the decisions; None where they are not."""
    check = LabelCheck()
    for label, answer in evidence.labelled():
        check.count(label, answer.decision, evidence.classes or 0)
    return check.found()
