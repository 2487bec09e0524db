"""Runs the float model on calibration samples and collects what the calibration doctor judges.

Everything streams: extremes are taken in the runtime's child processes, a few numbers a sample are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec, Sample
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.doctor.checks import diagnose
from tightfit.diagnosis.doctor.evidence import (
    Evidence,
    Finding,
    HeldOut,
    ModelAnswer,
    OutputFacts,
    TensorFacts,
)
from tightfit.diagnosis.doctor.extremes import Answers, Extremes
from tightfit.diagnosis.doctor.input_checks import WORTH_TRYING
from tightfit.diagnosis.doctor.input_trials import Trials
from tightfit.diagnosis.doctor.input_variants import KINDS, ORDER
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.diagnosis.doctor.slice_checks import power
from tightfit.evaluation.labels.label_shift import LabelCheck, Shift
from tightfit.evaluation.slices.files import by_name
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Signature, Tensor
from tightfit.graph.ops.macs import WEIGHTS
from tightfit.graph.signatures import input_names, output_names
from tightfit.kinds import DataLike, ModelLike
from tightfit.pipeline.source import Source, open_source
from tightfit.quantization.calibration.calibrate import Calibration, watched_tensors
from tightfit.quantization.calibration.observing import observe_model
from tightfit.result import Result, Row, plain
from tightfit.runtime.session import Session
from tightfit.types import Array, Steps

HELD_OUT: Final = 32
"""Evaluation samples that are run to see whether they leave the calibrated ranges."""

Indices = Sequence[int] | Array
Observed = dict[str, Extremes | Answers]


def examine(
    model: str | Path | Source,
    dataset: Dataset,
    calibration_indices: Indices | None = None,
    evaluation_indices: Indices | None = None,
    *,
    evaluation_set: Dataset | None = None,
    progress: Steps | None = None,
) -> Diagnosis:
    """Return what is wrong with the calibration samples of a float model, errors first.

    Args:
        model: a float ``.tflite``, or what ``open_source`` made of it.
        dataset: made for the model's inputs.
        calibration_indices: the samples that calibrate; None takes all.
        evaluation_indices: the samples that evaluate, of which up to 32 are run; None leaves them out.
        evaluation_set: where these come from, if not from ``dataset``.
        progress: called with the samples done and the samples in all.

    Raises:
        DataError: a sample does not fit the model. RuntimeFailureError: LiteRT cannot run the float model.
    """
    source = model if isinstance(model, Source) else open_source(model)
    total = len(dataset) if calibration_indices is None else len(np.unique(np.asarray(calibration_indices)))
    return Diagnosis(
        _Examination(source, dataset, total, progress).run(
            calibration_indices, evaluation_indices, evaluation_set or dataset
        )
    )


def look(source: Source, log: SampleLog, seen: Calibration) -> Evidence:
    """Return what the samples that calibration kept show of the float model's answers.

    Raises:
        RuntimeFailureError: LiteRT cannot run the float model.
    """
    kept = by_name(source.model, seen.kept)
    evidence = Evidence(samples=[log.samples[i] for i in seen.places])
    outputs = {name: Answers() for name in output_names(source.model) if all(name in y for _, y in kept)}
    for _, answered in kept:
        for name, answers in outputs.items():
            answers.update(answered[name])
    evidence.outputs = [_output_facts(n, o) for n, o in outputs.items()]
    deciding = next((n for n, o in outputs.items() if o.answers and _decides(o, evidence)), None)
    if deciding is None:
        return evidence
    evidence.answers = [ModelAnswer(*pair) for pair in outputs[deciding].answers]
    trials = Trials(len(kept))
    for facts, (inputs, _) in zip(evidence.samples, kept, strict=True):
        trials.offer(Sample(dict(inputs), facts.label))
    given = [kept[i][1][deciding] for i in trials.places]
    with Session(source.path, threads=2, shared=True) as session:
        evidence.readings = trials.readings(session, deciding, _kinds(evidence), given)
    return evidence


def _kinds(evidence: Evidence) -> Sequence[str]:
    """The readings worth a trial: where nearly all labels are right, no other range can be better enough."""
    labelled = evidence.labelled()
    wrong = sum(label != answer.decision for label, answer in labelled)
    return KINDS if not labelled or wrong >= WORTH_TRYING * len(labelled) else (ORDER,)


def doctor(  # noqa: PLR0913 - the options of one verb
    model: ModelLike,
    data: DataLike,
    *,
    image: ImageOptions | None = None,
    calibration: int = 100,
    calibration_data: DataLike | None = None,
    seed: int = 0,
    progress: Steps | None = None,
) -> Diagnosis:
    """Return what is wrong with data to calibrate a float model with, errors first.

    Args:
        model: a float ``.tflite``.
        data: samples, as all commands take them.
        image: how images become arrays.
        calibration: how many samples calibrate; the others evaluate.
        calibration_data: samples of their own to calibrate with; then all of ``data`` evaluates.
        seed: of the split, the same as in ``optimize``.
        progress: called with the samples done and the samples in all.

    Raises:
        ModelError: no float model. DataError: the data does not fit it.
    """
    source = open_source(model)
    specs = [
        InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in input_names(source.model).items()
    ]
    evaluated = calibrated = open_data(data, image=image, inputs=specs)
    if calibration_data is not None:
        calibrated = open_data(calibration_data, image=image, inputs=specs)
    count = len(calibrated)
    chosen = min(calibration, count)
    used, rest = split(calibrated.labels(), count, chosen, seed=seed, overlap=True)
    rest = np.setdiff1d(rest, used) if calibrated is evaluated else np.arange(len(evaluated))
    return examine(source, calibrated, used, rest, evaluation_set=evaluated, progress=progress)


class Diagnosis(Result, list[Finding]):
    """Findings, errors first, with what the samples could not have shown.

    Attributes:
        power: one or two sentences.
    """

    def __init__(self, evidence: Evidence) -> None:
        super().__init__(diagnose(evidence))
        labelled = sum(s.label is not None for s in evidence.samples)
        self.power = power(len(evidence.samples), labelled)

    @property
    def path(self) -> None:
        """A diagnosis writes no file."""

    @property
    def notes(self) -> list[str]:
        """What the samples could not have shown."""
        return [self.power] if self.power else []

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        return {"findings": [plain(finding) for finding in self], "power": self.power}

    def headline(self) -> str:
        """Return how many findings there are."""
        errors = sum(f.severity == "error" for f in self)
        return f"Diagnosis({errors} errors, {len(self) - errors} warnings)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the findings."""
        return ("", "finding", "what", "fix"), [(f.severity, f.kind, f.what, f.fix) for f in self]


class _Examination:
    """One float model on one set of calibration samples."""

    def __init__(self, source: Source, dataset: Dataset, total: int, progress: Steps | None) -> None:
        self.source, self.dataset, self.total = source, dataset, total
        self.progress = progress
        self.model, self.inner, self.ends = tapped(source.model)
        self.log = SampleLog()
        self.trials = Trials(total)

    def run(
        self, calibrating: Indices | None, evaluating: Indices | None, evaluation_set: Dataset
    ) -> Evidence:
        seen = self._observe(self._offered(self.log.read(self.dataset, calibrating)))
        evidence = self.log.evidence()
        if not evidence.samples:
            return evidence
        tensors = {k: o for k, o in seen.items() if isinstance(o, Extremes) and k in self.inner}
        outputs = {name: o for name, key in self.ends.items() if isinstance(o := seen[f"out {key}"], Answers)}
        evidence.tensors = [_tensor_facts(self.inner[key], o) for key, o in tensors.items()]
        evidence.outputs = [_output_facts(name, o) for name, o in outputs.items()]
        evidence.has_labels = self.dataset.has_labels
        self._decisions(evidence, outputs)
        if evaluating is not None:
            evidence.evaluation_samples = len(np.unique(np.asarray(evaluating, np.int64)))
            evidence.held_out = self._held_out(calibrating, evaluating, evaluation_set, tensors)
        return evidence

    def _observe(self, samples: Iterator[Sample]) -> Observed:
        names = list(input_names(self.model))
        observers: Observed = {key: Extremes() for key in self.inner}
        observers |= {f"out {key}": Answers() for key in self.ends.values()}
        feed = (_named(sample, names) for sample in samples)
        return observe_model(self.model, feed, observers)

    def _offered(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        for done, sample in enumerate(samples, 1):
            self.trials.offer(sample)
            yield sample
            if self.progress is not None:
                self.progress(done, self.total)

    # -- decisions ---------------------------------------------------------------------------------

    def _decisions(self, evidence: Evidence, outputs: Mapping[str, Answers]) -> None:
        """Adds what labels and decisions say, when an output is one row of scores that decides."""
        deciding = next((n for n, o in outputs.items() if o.answers and _decides(o, evidence)), None)
        labels = self.dataset.labels() if self.dataset.has_labels else None
        if deciding is None:
            return
        if labels is not None and labels.dtype.kind == "i":
            evidence.data_classes = frozenset(np.unique(labels).tolist())
        answers = outputs[deciding]
        evidence.classes = 0 if answers.low is None else int(answers.low.size)
        evidence.answers = [ModelAnswer(place, confidence) for place, confidence in answers.answers]
        evidence.shift = _shift(evidence)
        with Session(self.source.path, threads=2, shared=True) as session:
            evidence.readings = self.trials.readings(session, deciding, _kinds(evidence))

    # -- evaluation --------------------------------------------------------------------------------

    def _held_out(
        self,
        calibrating: Indices | None,
        evaluating: Indices,
        evaluation_set: Dataset,
        tensors: Mapping[str, Extremes],
    ) -> HeldOut | None:
        wanted = np.unique(np.asarray(evaluating, np.int64))
        used = np.arange(len(self.dataset)) if calibrating is None else np.asarray(calibrating)
        shared = int(np.isin(wanted, used).sum()) if evaluation_set is self.dataset else 0
        known = {s.digest for s in self.log.samples}
        chosen = wanted[np.unique(np.linspace(0, len(wanted) - 1, min(len(wanted), HELD_OUT)).astype(int))]
        if not len(chosen):
            return None
        log = SampleLog()
        seen = self._observe(log.read(evaluation_set, chosen))
        copies = sum(s.digest in known for s in log.samples)
        excess = {
            self.inner[key].name: _excess(mine.width(), theirs.width())
            for key, mine in tensors.items()
            if isinstance(theirs := seen[key], Extremes)
        }
        return HeldOut(len(log.samples), shared, 0 if shared else copies, excess)


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
    graph.outputs = list(dict.fromkeys([*watched, *ends.values()])) or graph.outputs[:1]
    outputs = {keys[t]: t for t in graph.outputs}
    # A tensor that is watched and an output is observed twice, under two names.
    outputs |= {f"out {keys[t]}": t for t in ends.values()}
    twin.signatures = [Signature("examine", input_names(twin), outputs)]
    return twin, {keys[t]: t for t in watched}, {name: keys[t] for name, t in ends.items()}


def _named(sample: Sample, names: list[str]) -> dict[str, Array]:
    """The sample's arrays; a model of one input may call it otherwise than the data."""
    if len(names) == len(sample.inputs) == 1:
        return {names[0]: next(iter(sample.inputs.values()))}
    return dict(sample.inputs)


def _decides(answers: Answers, evidence: Evidence) -> bool:
    """True for probabilities of classes, or scores whose index is what the labels name."""
    if answers.low is None or answers.high is None:
        return False
    labels = [s.label for s in evidence.samples if s.label is not None]
    is_probability = bool(answers.low.min() >= 0 and answers.high.max() <= 1.02)
    return is_probability or (bool(labels) and max(labels) <= answers.low.size)


def _output_facts(name: str, seen: Answers) -> OutputFacts:
    dead, entries = seen.dead
    return OutputFacts(name, seen.count, seen.bad, seen.saturated, seen.variation, entries, dead)


def _tensor_facts(tensor: Tensor, seen: Extremes) -> TensorFacts:
    low, high = seen.width()
    halves = [seen.width(half) for half in (0, 1)]
    growth = 0.0
    if high > low and seen.count > 1:
        growth = 1 - sum(b - a for a, b in halves) / 2 / (high - low)
    place, ratio = seen.lone()
    channels = 0 if seen.low is None else seen.low.shape[1]
    return TensorFacts(tensor.name, low, high, growth, place, ratio, channels, seen.dead)


def _excess(calibrated: tuple[float, float], evaluated: tuple[float, float]) -> float:
    width = calibrated[1] - calibrated[0]
    together = max(calibrated[1], evaluated[1]) - min(calibrated[0], evaluated[0])
    if together <= width:
        return 0.0
    return together / width - 1 if width > 0 else float("inf")


def _shift(evidence: Evidence) -> Shift | None:
    check = LabelCheck()
    for label, answer in evidence.labelled():
        check.count(label, answer.decision, evidence.classes or 0)
    return check.found()
