"""The calibration doctor in passing: what ``quantize`` and ``optimize`` say about the data they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.sample import Sample
from tightfit.diagnosis.doctor.checks import diagnose
from tightfit.diagnosis.doctor.evidence import Evidence, Finding
from tightfit.diagnosis.doctor.examine import add_decisions, add_outputs, examine, kinds_worth_trying
from tightfit.diagnosis.doctor.extremes import Answers, probabilities
from tightfit.diagnosis.doctor.input_trials import Trials
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import TightfitError
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.pipeline.source import Source
from tightfit.quantization.calibration.calibrate import Calibration
from tightfit.runtime.session import Session
from tightfit.types import Array

Indices = Sequence[int] | Array


def observers(model: Model) -> dict[str, Answers]:
    """Gives the observers of the float model's outputs that a quick check needs, by output name."""
    return {name: Answers() for name in output_names(model)}


def quick_check(source: Source, dataset: Dataset, log: SampleLog, seen: Calibration) -> list[str]:
    """Gives what is wrong with calibration samples as notes, from the pass that calibrated.

    Args:
        log: has noted the samples on their way. seen: with ``observers`` and ``kept_places``.
    """
    evidence = log.evidence()
    outputs = {name: found for name, found in seen.observed.items() if isinstance(found, Answers)}
    add_outputs(evidence, outputs)
    deciding = add_decisions(evidence, outputs, dataset)
    failure = []
    try:
        if deciding is not None:
            _add_readings(source, evidence, deciding, seen)
    except TightfitError as error:
        failure = [f"doctor: could not run the float model: {error}"]
    return [*notes_of(diagnose(evidence)), *failure]


def _add_readings(source: Source, evidence: Evidence, deciding: str, seen: Calibration) -> None:
    """Tries other readings of the kept samples, whose answers as they are the pass has kept, too."""
    key = source.model.main.keys()[output_names(source.model)[deciding]]
    labels = [s.label for s in evidence.samples]
    trials = Trials.of(
        [
            Sample(dict(inputs), labels[place])
            for place, (inputs, _) in zip(seen.places, seen.probes, strict=True)
        ]
    )
    before = [probabilities(np.asarray(outputs[key], np.float64).reshape(-1)) for _, outputs in seen.probes]
    opened = partial(Session, source.path, threads=2, shared=True)
    kinds = kinds_worth_trying(evidence)
    evidence.readings = trials.promising(opened, deciding, kinds, np.stack(before))


def full_check(
    source: Source,
    calibration: tuple[Dataset, Indices],
    evaluation: tuple[Dataset, Indices],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Gives everything that the doctor finds as notes; a failure is one, too."""
    (dataset, used), (others, rest) = calibration, evaluation
    try:
        found = examine(source, dataset, used, rest, evaluation_set=others, progress=progress)
    except TightfitError as error:
        return [f"doctor: could not run the float model: {error}"]
    return notes_of(found)


def notes_of(findings: Sequence[Finding]) -> list[str]:
    """Gives each finding as one line: what and how to mend it.

    Example:
        >>> notes_of([Finding("blank", "3 are blank.", "No value.", "Leave them out.", {}, "warning")])
        ['doctor: 3 are blank. Fix: Leave them out. (blank)']
    """
    return [f"doctor: {f.what} Fix: {f.fix} ({f.kind})" for f in findings]
