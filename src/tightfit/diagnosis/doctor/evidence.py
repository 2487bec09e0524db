"""What was seen of a model and its samples, in plain numbers, and what a check finds in them.

Filled by ``diagnosis.doctor.examine``, which runs the float model; judged by ``doctor``. Nothing here runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tightfit.evaluation.labels.label_shift import Shift
from tightfit.streaming.columns import Columns

ERROR: Final = "error"
WARNING: Final = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with the data or with how it is fed, proven by numbers.

    Args:
        kind: a key of ``doctor.CHECKS``.
        what: what was seen.
        why: what it does to the result.
        fix: what to do.
        numbers: the measurements that it rests on, by name; never empty.
        severity: ``error`` for what spoils the result, ``warning`` for what may.
    """

    kind: str
    what: str
    why: str
    fix: str
    numbers: Mapping[str, float]
    severity: str = WARNING


@dataclass(frozen=True)
class SampleFacts:
    """A few numbers about one sample.

    Args:
        index: in the data.
        name: what messages call it.
        low: over its inputs.
        high: see ``low``.
        digest: 64 bits of a hash over its inputs.
        label: its class, or None.
    """

    index: int
    name: str
    low: float
    high: float
    digest: int
    label: int | None = None

    @property
    def is_blank(self) -> bool:
        """True when every value is the same."""
        return self.low == self.high


@dataclass(frozen=True)
class ModelAnswer:
    """What the float model made of one sample.

    Args:
        decision: the class with the largest score.
        confidence: its probability, 0-1.
    """

    decision: int
    confidence: float


@dataclass(frozen=True)
class TensorFacts:
    """How the range of one activation came about; ranges include zero, as integers need it.

    Args:
        low: over all samples.
        high: see ``low``.
        growth: share of the width that one half of the samples does not see, mean of both halves.
        lone_sample: position of the sample without which the range would shrink most.
        lone_ratio: width with that sample ÷ width without it.
        channels: of its last axis; dead ones have one value in all samples.
        dead: see ``channels``.
    """

    name: str
    low: float
    high: float
    growth: float
    lone_sample: int
    lone_ratio: float
    channels: int
    dead: int


@dataclass(frozen=True)
class OutputFacts:
    """What an output of the float model did over the samples.

    Args:
        bad: samples with NaN or infinity.
        saturated: samples whose every entry is -1, 0 or 1 within 1e-6.
        variation: largest change of an entry between samples ÷ largest magnitude.
        entries: of the last axis.
        dead: those with one value at all places in all samples.
        crushed: entries that vary by less than ten int8 steps of the whole output, the first of them, how far
            that varies, and the step; None without one.
    """

    name: str
    samples: int
    bad: int
    saturated: int
    variation: float
    entries: int = 0
    dead: int = 0
    crushed: tuple[int, int, float, float] | None = None


@dataclass(frozen=True)
class InputReading:
    """How the float model answers the same samples as they are and read in another way.

    Args:
        name: a key of ``readings.READINGS``.
        samples: how many were tried.
        labelled: of these, how many have a class as label.
        hits_before: right decisions among the labelled.
        hits_after: see ``hits_before``.
        wins: right only when read otherwise, right only as they are.
        losses: see ``wins``.
        share_before: share of the most frequent decision.
        share_after: see ``share_before``.
        spread_before: mean total variation distance of an answer from the mean answer, 0-1.
        spread_after: see ``spread_before``.
        confidence_before: mean probability of the decision.
        confidence_after: see ``confidence_before``.
        confidence_z: mean of the paired differences in confidence ÷ its standard error.
        truth_gain: how much more probability the labels' classes get when read otherwise, on average.
        truth_z: that ÷ its standard error, paired; 0 without labels.
    """

    name: str
    samples: int
    labelled: int
    hits_before: int
    hits_after: int
    wins: int
    losses: int
    share_before: float
    share_after: float
    spread_before: float
    spread_after: float
    confidence_before: float
    confidence_after: float
    confidence_z: float
    truth_gain: float = 0.0
    truth_z: float = 0.0


@dataclass(frozen=True)
class HeldOut:
    """What evaluation samples do to the ranges that calibration saw.

    Args:
        samples: evaluation samples that ran.
        shared: indices that are in both lists.
        copies: of the run samples, those equal to a calibration one.
        excess: tensor name → how far its range reaches beyond the calibrated one ÷ width of that one.
    """

    samples: int
    shared: int
    copies: int
    excess: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Evidence:
    """Everything that the checks look at; parts that were not measured are empty or None.

    Args:
        samples: one a calibration sample, without those of ``bad``.
        bad: names of the samples with NaN or infinity in an input.
        finite: samples that were only looked over for these and have none.
        classes: number of scores of the output that decides, None where none does.
        answers: one a sample, when an output decides.
        tensors: of the float model over the calibration samples.
        outputs: see ``tensors``.
        data_classes: classes among all labels of the data, None without.
        shift: the labels that fit better one higher or lower, None when they do not.
        columns: of each input with few columns, by its name.
        has_labels: whether the data has labels of any kind.
        evaluation_samples: how many are left to evaluate with, None where that was not asked.
    """

    samples: Sequence[SampleFacts] = ()
    bad: list[str] = field(default_factory=list)
    finite: int = 0
    classes: int | None = None
    answers: list[ModelAnswer] = field(default_factory=list)
    tensors: list[TensorFacts] = field(default_factory=list)
    outputs: list[OutputFacts] = field(default_factory=list)
    readings: list[InputReading] = field(default_factory=list)
    data_classes: frozenset[int] | None = None
    shift: Shift | None = None
    held_out: HeldOut | None = None
    columns: dict[str, Columns] = field(default_factory=dict)
    has_labels: bool = False
    evaluation_samples: int | None = None

    def labelled(self) -> list[tuple[int, ModelAnswer]]:
        """Label and answer of each sample that has both."""
        pairs = zip(self.samples, self.answers, strict=False)
        return [(s.label, a) for s, a in pairs if s.label is not None]
