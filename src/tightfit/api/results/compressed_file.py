"""What the results of pruning and clustering share: quality beside the model, by which a file is ruined."""

from __future__ import annotations

from tightfit.api.results.ruin import is_ruined
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.result import Result


class CompressedFile(Result):
    """A smaller file, measured beside its model.

    Attributes:
        accuracy: of the model and of the file, or None.
        outputs: quality of each output, slice by slice.
    """

    accuracy: tuple[Accuracy, Accuracy] | None
    outputs: list[OutputQuality]

    @property
    def ruined(self) -> bool:
        """Whether the file lost what nobody ships unasked; the notes say what."""
        return is_ruined(self.accuracy[1] if self.accuracy else None, self.outputs)

    def to_json(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()

    def quality(self) -> dict[str, object]:
        """Return accuracy and outputs as plain data; the accuracy is left out where there is none."""
        plain: dict[str, object] = {"outputs": [output.to_dict() for output in self.outputs]}
        if self.accuracy is not None:
            plain["accuracy"] = [accuracy.to_dict() for accuracy in self.accuracy]
        return plain
