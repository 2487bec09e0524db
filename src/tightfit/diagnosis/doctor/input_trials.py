"""Runs the float model on a few samples as they are and preprocessed in other ways (``input_variants``)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.diagnosis.doctor.evidence import InputReading
from tightfit.diagnosis.doctor.input_variants import KINDS, READINGS, OtherReading, Seen
from tightfit.runtime.session import Session
from tightfit.streaming.extremes import probabilities
from tightfit.types import Array

TRIED: Final = 48
"""Samples that each reading is tried on."""

FIRST: Final = 8
"""Samples, spread evenly, on which a reading must be promising to be tried on the others."""

_STUCK: Final = 0.5
"""From this share of equal decisions on, answers say too little to give a reading up early."""

_WIDER: Final = 0.05
"""A smaller growth of the answers' variety on a few samples is chance."""

_BYTES: Final = 64 << 20


class Trials:
    """Keeps up to 48 samples, spread evenly over those that go by, and tries readings on them.

    Args:
        total: how many samples will go by.
    """

    def __init__(self, total: int) -> None:
        self._step = max(1, total // TRIED)
        self._seen = self._held = 0
        self.samples: list[Sample] = []
        self.places: list[int] = []

    def offer(self, sample: Sample) -> None:
        """Keeps every n-th sample, as long as they are not too large together."""
        wanted = self._seen % self._step == 0 and len(self.samples) < TRIED
        self._seen += 1
        size = sum(a.nbytes for a in sample.inputs.values())
        if wanted and self._held + size <= _BYTES:
            self.samples.append(sample)
            self.places.append(self._seen - 1)
            self._held += size

    def readings(
        self,
        session: Session,
        output: str,
        kinds: Collection[str] = KINDS,
        answers: Sequence[Array] | None = None,
    ) -> list[InputReading]:
        """How the model answers under each reading of some kinds; none without exactly one real input.

        Args:
            session: the float model, running.
            output: name of the output that is judged.
            kinds: kinds of readings to try.
            answers: what the model gives in that output to the samples as they are; None to run
                them.
        """
        name = self._real_input()
        if name is None:
            return []
        arrays = [s.inputs[name] for s in self.samples]
        low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
        seen = Seen(low, high, arrays[0].shape)
        rows = [row for row in READINGS.values() if row.kind in kinds and row.applies(seen)]
        if not rows:
            return []
        whole = range(len(arrays))
        first = np.unique(np.linspace(0, len(arrays) - 1, min(len(arrays), FIRST)).astype(int)).tolist()
        before = (
            self._run(session, output, arrays, name, whole) if answers is None else _probabilities(answers)
        )
        found = []
        for row in rows:
            others = [row.apply(a, seen) for a in arrays]
            after = self._run(session, output, others, name, first)
            reading = self._compare(row, before, after, first)
            if len(first) < len(arrays) and is_promising(reading):
                after = self._run(session, output, others, name, whole)
                reading = self._compare(row, before, after, whole)
            found.append(reading)
        return found

    def _real_input(self) -> str | None:
        names = (
            [n for n, a in self.samples[0].inputs.items() if a.dtype == np.float32] if self.samples else []
        )
        return names[0] if len(names) == 1 and self.samples[0].inputs[names[0]].size > 1 else None

    def _run(
        self, session: Session, output: str, arrays: Sequence[Array], name: str, chosen: Sequence[int]
    ) -> npt.NDArray[np.float64]:
        """Probabilities, one row a chosen sample."""
        read = (Sample({**self.samples[i].inputs, name: arrays[i]}, self.samples[i].label) for i in chosen)
        inputs = (adapt_inputs(sample, session.inputs) for sample in read)
        return _probabilities([o[output] for o in session.run_many(inputs)])

    def _compare(
        self,
        row: OtherReading,
        whole: npt.NDArray[np.float64],
        after: npt.NDArray[np.float64],
        chosen: Sequence[int],
    ) -> InputReading:
        labels = [label if isinstance(label := self.samples[i].label, int) else None for i in chosen]
        before = whole[list(chosen)]
        pairs = list(zip(labels, before.argmax(axis=1), after.argmax(axis=1), strict=True))
        labelled = [(bool(k == a), bool(k == b)) for k, a, b in pairs if k is not None]
        _, confidence_z = _mean_and_z(after.max(axis=1) - before.max(axis=1))
        known = [(i, k) for i, k in enumerate(labels) if k is not None and 0 <= k < before.shape[1]]
        truth_gain, truth_z = _mean_and_z(np.array([after[i, k] - before[i, k] for i, k in known]))
        return InputReading(
            row.name,
            samples=len(pairs),
            labelled=len(labelled),
            hits_before=sum(a for a, _ in labelled),
            hits_after=sum(b for _, b in labelled),
            wins=sum(b and not a for a, b in labelled),
            losses=sum(a and not b for a, b in labelled),
            share_before=_share(before),
            share_after=_share(after),
            spread_before=_spread(before),
            spread_after=_spread(after),
            confidence_before=float(before.max(axis=1).mean()),
            confidence_after=float(after.max(axis=1).mean()),
            confidence_z=confidence_z,
            truth_gain=truth_gain,
            truth_z=truth_z,
        )


def is_promising(reading: InputReading) -> bool:
    """Return False where a few samples show that a reading makes answers no better in any way that is judged.

    The checks need more right labels, more probability of them, or surer or more various answers.
    """
    labels = reading.wins > reading.losses or reading.truth_gain > 0
    clearer = reading.confidence_after > reading.confidence_before
    wider = reading.spread_after > reading.spread_before + _WIDER
    return labels or clearer or wider or reading.share_before >= _STUCK


def _probabilities(answers: Sequence[Array]) -> npt.NDArray[np.float64]:
    return np.stack([probabilities(a.astype(np.float64).reshape(-1)) for a in answers])


def _mean_and_z(gains: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The mean of paired differences, and that ÷ its standard error."""
    if len(gains) < 2:
        return 0.0, 0.0
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return float(gains.mean()), float(gains.mean()) / error if error > 0 else 0.0


def _share(rows: npt.NDArray[np.float64]) -> float:
    return float(np.bincount(rows.argmax(axis=1)).max() / len(rows))


def _spread(rows: npt.NDArray[np.float64]) -> float:
    """Mean total variation distance from the mean answer."""
    return float(np.abs(rows - rows.mean(axis=0)).sum(axis=1).mean() / 2)
