"""The noise of a model's worst slice: what is lost of an output does not show in the noise of all outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.evaluation.slices.quality import signal_power
from tightfit.graph.ir import Model
from tightfit.graph.signatures import output_names
from tightfit.recovery.output_noise import LOST, Inputs, named_outputs_of, sample_noise
from tightfit.streaming.slice_sums import SliceFacts, SliceSums
from tightfit.types import Array

Rows = Sequence[Sequence[Array]]
"""One list of outputs a sample, in the order of ``output_names``."""


class SliceNoise:
    """The larger of the noise of all outputs together and that of the worst slice, beside float answers.

    An output whose power is that of boxes in pixels may lose its scores without a change of the first.

    Args:
        model: the float model.
        samples: inputs by name, kept in memory.
    """

    def __init__(self, model: Model, samples: Sequence[Inputs]) -> None:
        self.slices, self.names, self.samples = slices_of(model), list(output_names(model)), samples
        self.wanted = self.answers(model)

    def of_model(self, model: Model) -> float:
        """Return the noise of another model of the same outputs.

        Raises:
            RuntimeFailureError: LiteRT cannot run the model.
        """
        return self.between(self.wanted, self.answers(model))

    def between(self, wanted: Rows, got: Rows) -> float:
        """Return the noise of some answers as a share of what it is compared with, 0 to 4.

        Args:
            wanted: the float model's answers.
            got: as many others. Entries of one unit (classes, an embedding) count together.
        """
        sums = SliceSums(self.slices)
        for row, found in zip(wanted, got, strict=True):
            sums.add(*(dict(zip(self.names, values, strict=True)) for values in (found, row)))
        rows = [row for facts in sums.facts().values() for row in facts]
        return max([sample_noise(wanted, got), *(_share(r) for r in rows if not (r.one_unit and r.is_entry))])

    def answers(self, model: Model) -> list[list[Array]]:
        """Return what a model of the same outputs answers to the samples.

        Raises:
            RuntimeFailureError: LiteRT cannot run the model.
        """
        return [[row[name] for name in self.names] for row in named_outputs_of(model, self.samples)]


def _share(row: SliceFacts) -> float:
    share = LOST if row.bad else row.noise / max(signal_power(row), 1e-30)
    return min(share, LOST) if math.isfinite(share) else LOST
