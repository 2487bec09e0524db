"""What explaining a quantized file takes and gives, in plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tightfit.data.images.image_options import ImageOptions
from tightfit.diagnosis.explain.op_facts import Cause
from tightfit.evaluation.accuracy import Accuracy, Asked
from tightfit.kinds import DataLike
from tightfit.result import Result, Row, plain
from tightfit.units import short_name


@dataclass(frozen=True)
class OpReport:
    """What one op does to the accuracy.

    Args:
        name: the float model's; an input of the model has the kind ``INPUT``.
        kind: see ``name``.
        own_db: signal-to-noise of its result when only it is quantized.
        all_db: in the file, with everything before it; None where the file does not have its result.
        effect_db: of the model's outputs when only this op's own error is added to the float model; None
            where it was not followed.
        effect_agreement: see ``effect_db``.
        effect_drop: see ``effect_db``.
        causes: why, the most telling first.
    """

    name: str
    kind: str
    own_db: float
    all_db: float | None = None
    effect_db: float | None = None
    effect_agreement: float | None = None
    effect_drop: float | None = None
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Remedy:
    """What a remedy brought, measured on the evaluation samples.

    Args:
        kind: what was done.
        title: see ``kind``.
        op: for which op, "" for the whole model.
        options: of ``tightfit quantize``, "" where that command has none for it.
        snr_db: of the outputs.
        gain_db: that minus what the same samples give without the remedy (for ``again``: minus the file's),
            so that another calibration does not pass for it.
        drop: accuracy lost against the float model.
        helps: better than the file that is explained.
        size_bytes: of the written file.
        int8_share: of the multiply–accumulates that stay on int8, 0-1.
        failure: why it could not be applied, or None.
    """

    kind: str
    title: str
    op: str
    options: str
    snr_db: float | None = None
    gain_db: float | None = None
    value: float | None = None
    drop: float | None = None
    agreement: float | None = None
    size_bytes: int | None = None
    int8_share: float | None = None
    helps: bool = False
    failure: str | None = None


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """Everything that was found, ops and remedies ranked.

    Args:
        model: the float model.
        file: the quantized file.
        scheme: of the file.
        metric: what accuracy is measured by.
        float_value: the metric of the float model; None where it compares with the float model itself.
        accuracy: of the file.
        size_bytes: of the file.
        int8_share: fraction of the file's multiply–accumulates in int8, 0–1.
        ops: the ops with their error and its causes, the most harmful first.
        remedies: what was tried, the best first.
        notes: what a reader should know.
        overlay: node data for Model Explorer, as JSON.
        made_with: options of ``tightfit quantize`` that the file shows: its target, the type of its ends.
    """

    model: str
    file: str
    scheme: str
    metric: str
    float_value: float | None
    accuracy: Accuracy
    size_bytes: int
    int8_share: float | None = None
    ops: list[OpReport] = field(default_factory=list)
    remedies: list[Remedy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overlay: str = ""
    made_with: str = ""

    @property
    def path(self) -> Path:
        """The file that is explained."""
        return Path(self.file)

    def to_dict(self) -> dict[str, object]:
        """Return plain data, without the samples' scores; the overlay is an object in it."""
        found = plain({f.name: getattr(self, f.name) for f in fields(self) if f.name != "overlay"})
        overlay = json.loads(self.overlay) if self.overlay else None
        return {**found, "overlay": overlay} if isinstance(found, dict) else {}

    def headline(self) -> str:
        """Return the op that costs most."""
        worst = f", most by {self.ops[0].kind} '{short_name(self.ops[0].name)}'" if self.ops else ""
        value = "failed" if self.accuracy.value is None else f"{self.accuracy.value:.4g}"
        return f"Explanation({self.scheme}, {self.metric} {value}{worst})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the ops, ranked, each with its first cause."""
        rows = [(o.name, o.kind, o.effect_db, o.causes[0].words if o.causes else "") for o in self.ops]
        return ("op", "kind", "outputs, dB", "cause"), rows


@dataclass(frozen=True)
class ExplainRequest:
    """What is to be explained.

    Args:
        model: the float ``.tflite``.
        file: what was made of it. data, image: as all commands take them.
        calibration: samples to calibrate remedies with.
        evaluation: samples to measure on at most.
        remedies: False only finds the op and the cause.
        output: where the best remedy's file goes, or None.
    """

    model: str | Path
    file: str | Path
    data: DataLike
    image: ImageOptions | None = None
    calibration: int = 100
    evaluation: int = 64
    metric: Asked = "auto"
    seed: int = 0
    remedies: bool = True
    output: Path | None = None
