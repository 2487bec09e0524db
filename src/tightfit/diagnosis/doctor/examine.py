"""Runs the float model on calibration samples and collects what the calibration doctor judges.

Everything streams: extremes are taken in the runtime's child processes, a few numbers a sample are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sample import InputSpec, Sample
from tightfit.data.sources import check_data, open_part, refuse_unused
from tightfit.data.split import split
from tightfit.diagnosis.doctor.diagnosis import Diagnosis
from tightfit.diagnosis.doctor.evidence import (
    Evidence,
    HeldOut,
    ModelAnswer,
)
from tightfit.diagnosis.doctor.input_checks import WORTH_TRYING
from tightfit.diagnosis.doctor.input_trials import Trials
from tightfit.diagnosis.doctor.input_variants import KINDS, ORDER
from tightfit.diagnosis.doctor.observed_facts import (
    by_input_name,
    decides_classes,
    output_facts,
    range_excess,
    shift_facts,
    tapped,
    tensor_facts,
)
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.evaluation.slices.model_slices import by_name
from tightfit.graph.signatures import input_names, output_names
from tightfit.kinds import DataLike, ModelLike
from tightfit.pipeline.source import Source, open_source
from tightfit.quantization.calibration.calibrate import Calibration
from tightfit.quantization.calibration.observing import observe_model
from tightfit.runtime.session import Session
from tightfit.streaming.extremes import Answers, Extremes
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
    evidence.outputs = [output_facts(n, o) for n, o in outputs.items()]
    deciding = next((n for n, o in outputs.items() if o.answers and decides_classes(o, evidence)), None)
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
    check_data(data, calibration_data)
    source = open_source(model)
    specs = [
        InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in input_names(source.model).items()
    ]
    evaluated = calibrated = open_part(data, image=image, inputs=specs)
    if calibration_data is not None:
        calibrated = open_part(calibration_data, image=image, inputs=specs)
    refuse_unused(image, [evaluated, calibrated])
    count = len(calibrated)
    chosen = min(calibration, count)
    used, rest = split(calibrated.labels(), count, chosen, seed=seed, overlap=True)
    rest = np.setdiff1d(rest, used) if calibrated is evaluated else np.arange(len(evaluated))
    return examine(source, calibrated, used, rest, evaluation_set=evaluated, progress=progress)


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
        if calibrating is not None:
            self.log.look_over(self.dataset, np.setdiff1d(np.arange(len(self.dataset)), calibrating))
        evidence = self.log.evidence()
        if not evidence.samples:
            return evidence
        tensors = {k: o for k, o in seen.items() if isinstance(o, Extremes) and k in self.inner}
        outputs = {name: o for name, key in self.ends.items() if isinstance(o := seen[f"out {key}"], Answers)}
        evidence.tensors = [tensor_facts(self.inner[key], o) for key, o in tensors.items()]
        evidence.outputs = [output_facts(name, o) for name, o in outputs.items()]
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
        feed = (by_input_name(sample, names) for sample in samples)
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
        deciding = next((n for n, o in outputs.items() if o.answers and decides_classes(o, evidence)), None)
        labels = self.dataset.labels() if self.dataset.has_labels else None
        if deciding is None:
            return
        if labels is not None and labels.dtype.kind == "i":
            evidence.data_classes = frozenset(np.unique(labels).tolist())
        answers = outputs[deciding]
        evidence.classes = 0 if answers.low is None else int(answers.low.size)
        evidence.answers = [ModelAnswer(place, confidence) for place, confidence in answers.answers]
        evidence.shift = shift_facts(evidence)
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
            self.inner[key].name: range_excess(mine.width(), theirs.width())
            for key, mine in tensors.items()
            if isinstance(theirs := seen[key], Extremes)
        }
        return HeldOut(len(log.samples), shared, 0 if shared else copies, excess)
