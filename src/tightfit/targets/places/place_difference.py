"""How far the outputs of a file at another place are from those on this computer, on the same samples."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.errors import TightfitError
from tightfit.evaluation.output_difference import PlaceDifference
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import output_names
from tightfit.provenance.probes import output_steps
from tightfit.runtime.session import Session
from tightfit.targets.places.place import Place
from tightfit.types import Array


def place_difference(path: Path, place: Place, samples: Iterable[Sample]) -> PlaceDifference:
    """Return how far a file's outputs at a place are from those on this computer.

    Args:
        path: the file; its main graph runs.
        place: the other place.
        samples: of a dataset that fits the file.
    """
    outputs = output_names(read_model(path))
    known = output_steps(outputs)
    found = {name: _Sum(known.get(name)) for name in outputs}
    count = 0
    try:
        with Session(path) as here, place.open(path) as there:
            for sample in samples:
                own = here.run(adapt_inputs(sample, here.inputs))
                other = next(iter(there.run_many([adapt_inputs(sample, there.inputs)])))
                for name, total in found.items():
                    total.add(other[name], own[name])
                count += 1
    except TightfitError as error:
        return PlaceDifference(place.title, samples=count, failure=str(error))
    totals = list(found.values())
    steps = [total.steps for total in totals if total.steps is not None]
    share = sum(total.different for total in totals) / max(1, sum(total.size for total in totals))
    relative = max((total.relative for total in totals), default=0.0)
    return PlaceDifference(place.title, max(steps) if steps else None, relative, share, count)


class _Sum:
    """Differences of one output over samples.

    Args:
        step: of a float output that stands for integers, else None.
    """

    def __init__(self, step: float | None) -> None:
        self._step, self._gap, self._span = step, 0.0, 0.0
        self._whole = step is not None
        self.different = self.size = 0

    def add(self, other: Array, own: Array) -> None:
        """Take in one sample."""
        self._whole |= own.dtype.kind in "iu"
        gap = np.abs(np.asarray(other, np.float64) - np.asarray(own, np.float64))
        same = np.isclose(other, own, rtol=0, atol=0, equal_nan=True)
        gap = np.where(same, 0.0, np.nan_to_num(gap, nan=np.inf))
        self.different += int((gap > 0).sum())
        self.size += gap.size
        self._gap = max(self._gap, float(gap.max(initial=0.0)))
        finite = own[np.isfinite(own)] if own.dtype.kind == "f" else own
        if finite.size:
            self._span = max(self._span, float(finite.max()) - float(finite.min()), 1e-30)

    @property
    def steps(self) -> float | None:
        """The largest difference in steps; None for real numbers."""
        return float(np.rint(self._gap / (self._step or 1.0))) if self._whole else None

    @property
    def relative(self) -> float:
        """The largest difference as a fraction of the range."""
        return self._gap / self._span if self._gap else 0.0
