"""What ``finetune`` returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tightfit.api.results.ruin import is_ruined
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.footprint import Footprint
from tightfit.evaluation.metrics import MOST_DB
from tightfit.result import Result, Row
from tightfit.weights.statistics import weight_values
from tightfit.weights.zeros import COUNTED


@dataclass(frozen=True, repr=False)
class FinetuneResult(Result):
    """A trained file.

    Args:
        path: the file.
        original: accuracy of the float model on the held-out samples.
        accuracy: accuracy of the file on the same samples, with the paired change.
        footprint: sizes of the file.
        before: sizes of the float model.
        zeros: share of zeros in the stored weights.
        values: the most distinct values in one of them.
        history: one row an epoch.
        backend: that Keras ran.
        notes: what a reader should know.
        layers: name, op, number of weights and of zeros of each weight tensor of 256 elements or more.
        kept: ``trained``, or ``start`` where the model before the training was better on validation data.
        reference_is_source: False where another teacher taught: the file is then compared with a model that
            it was not made from.
        keras_model: a Keras model with the trained weights, where a compiled one trained on; else None.
    """

    path: Path
    original: Accuracy
    accuracy: Accuracy
    footprint: Footprint
    before: Footprint
    zeros: float
    values: int
    history: list[dict[str, object]]
    backend: str
    notes: list[str] = field(default_factory=list)
    layers: list[dict[str, object]] = field(default_factory=list)
    kept: str = "trained"
    reference_is_source: bool = True
    keras_model: object = field(default=None, repr=False, compare=False)

    def headline(self) -> str:
        """Return the metric before and after."""
        values = ", ".join("failed" if a.value is None else f"{a.value:.4g}" for a in self._both())
        return f"FinetuneResult('{self.path}', {self.accuracy.metric} {values})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the float model beside the file."""
        sizes = (self.before.size_bytes, self.footprint.size_bytes)
        rows = [("bytes", *sizes), (self.accuracy.metric, *(a.value for a in self._both()))]
        return ("", "float model", "file"), rows

    def _both(self) -> tuple[Accuracy, Accuracy]:
        return self.original, self.accuracy

    @property
    def ruined(self) -> bool:
        """Whether nothing was trained, or the file lost what nobody ships unasked; the notes say what.

        Training may change what an output is, and another teacher what it should be. So slices do not decide
        here, but NaN does, and the metrics where the reference is the model that was trained.
        """
        if not self.history:
            return True
        accuracy = self.accuracy
        broken = any(s.snr_db <= -MOST_DB for output in accuracy.outputs for s in output.lost)
        return broken or accuracy.failure is not None or (self.reference_is_source and is_ruined(accuracy))

    def facts(self) -> dict[str, object]:
        """Return ``to_dict()``, under its name of an earlier release."""
        return self.to_dict()

    def to_dict(self) -> dict[str, object]:
        """Return plain data; sizes in bytes, accuracies and shares as fractions."""
        plain = asdict(replace(self, keras_model=None)) | {"path": str(self.path), "ruined": self.ruined}
        plain.pop("keras_model")
        return plain | {"original": self.original.to_dict(), "accuracy": self.accuracy.to_dict()}


def layer_facts(output: Path) -> list[dict[str, object]]:
    """The weights and zeros of each large weight tensor of a file."""
    large = [t for t in weight_values(output).tensors if t.size >= COUNTED]
    return [{"name": t.name, "op": t.op, "weights": t.size, "zeros": round(t.zeros * t.size)} for t in large]
