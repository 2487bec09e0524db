"""Which op of a quantized file loses the accuracy, why, and which remedy brings how much back: all measured."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.dataset import Dataset
from tightfit.data.image_options import ImageOptions
from tightfit.data.samples import Array, InputSpec
from tightfit.data.sources import open_data
from tightfit.data.split import Indices, split
from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.evaluation.accuracy import Accuracy, evaluate
from tightfit.evaluation.branches import NoBranchError
from tightfit.evaluation.causes import Cause, Facts, find_causes
from tightfit.evaluation.isolation import INPUT, OwnError, injected, own_errors, places
from tightfit.evaluation.layer_error import layer_errors
from tightfit.evaluation.overlay import overlay
from tightfit.evaluation.pairing import Pairing
from tightfit.evaluation.remedies import Damage, Trial, Workshop, damage, integer_share, trials
from tightfit.graph.ir import Op
from tightfit.graph.reader import read_model
from tightfit.graph.scheme_detection import describe_scheme
from tightfit.quantization.calibration import calibrate, input_names
from tightfit.quantization.pipeline import Source, open_source
from tightfit.quantization.plan import EXACT, INTEGER
from tightfit.quantization.scheme import SCHEMES, Scheme

ERROR_SAMPLES: Final = 8
"""Samples that the error of each op is measured on."""

INJECTED: Final = 8
"""Ops whose own error is followed to the model's outputs: those with the lowest signal-to-noise."""

REMEDIED: Final = 2
"""Ops that remedies are tried for: those that hurt the outputs most."""

EXPLAINED: Final = 5
"""Ops whose causes are looked for."""

_SIDE_BY_SIDE: Final = 4
_AS_GOOD_DB: Final = 3.0

Stage = Callable[[str, int], None]
Steps = Callable[[int, int], None]


@dataclass(frozen=True)
class OpReport:
    """What one op does to the accuracy.

    Args:
        name, kind: the float model's; an input of the model has the kind ``INPUT``.
        own_db: signal-to-noise of its result when only it is quantized. all_db: in the file, with everything
            before it; None where the file does not have its result.
        effect_db, effect_agreement, effect_drop: of the model's outputs when only this op's own error is
            added to the float model; None where it was not followed.
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
        kind, title: what was done. op: for which op, "" for the whole model.
        options: of ``tightfit quantize``, "" where that command has none for it.
        gain_db: signal-to-noise of the outputs minus the file's. drop: accuracy lost against the float model.
        size_bytes: of the written file. int8_share: of the multiply–accumulates that stay on int8, 0-1.
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
    failure: str | None = None


@dataclass
class Explanation:
    """Everything that was found, ops and remedies ranked.

    Args:
        scheme: of the file. metric, float_value: of the float model. accuracy: of the file.
        int8_share: of the file's multiply–accumulates. overlay: for Model Explorer, JSON.
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


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Args:
        model: the float ``.tflite``. file: what was made of it. data, image: as all commands take them.
        calibration: samples to calibrate remedies with. evaluation: samples to measure on at most.
        remedies: False only tells which op and why. output: where the best remedy's file goes, or None.
    """

    model: str | Path
    file: str | Path
    data: str
    image: ImageOptions | None = None
    calibration: int = 100
    evaluation: int = 64
    metric: str = "auto"
    seed: int = 0
    remedies: bool = True
    output: Path | None = None


def explain(request: Request, *, stage: Stage | None = None, advance: Steps | None = None) -> Explanation:
    """Gives the ops that lose the accuracy of a quantized file, ranked, with causes and measured remedies.

    Args:
        request: the files and the data.
        stage: called with the name and the length of each piece of work.
        advance: called with the steps done and the steps in all.

    Raises:
        ModelError: the float model is none, or the file was not made from it. DataError: the data does not fit.
        RuntimeFailureError: LiteRT does not run one of the two.
    """
    return _Explaining(request, stage or _silent, advance or _silent).run()


def _silent(*_: object) -> None:
    """Hears nothing."""


class _Explaining:
    """One run."""

    def __init__(self, request: Request, stage: Stage, advance: Steps) -> None:
        self.request, self.stage, self.advance = request, stage, advance
        self.source: Source = open_source(request.model)
        self.pairing = Pairing(self.source.model, read_model(request.file))
        if not any(self.pairing.twin(op) for op in self.source.model.main.ops):
            raise ModelError(
                f"'{request.file}' has no op in common with '{request.model}'. "
                "Give the float model that it was made from."
            )
        named = input_names(self.source.model).items()
        specs = [InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in named]
        self.dataset: Dataset = open_data(request.data, image=request.image, inputs=specs)
        self.calibrating, self.evaluating = self._split()
        self.targets = {name: target for name, _, target in places(self.pairing)}

    def _split(self) -> tuple[Indices, Indices]:
        count, wanted = len(self.dataset), self.request
        calibration = min(wanted.calibration, max(1, count // 2))
        labels = self.dataset.labels()
        overlap = count < 2
        return split(labels, count, calibration, wanted.evaluation, seed=wanted.seed, overlap=overlap)

    def run(self) -> Explanation:
        request = self.request
        count = len(self.evaluating)
        self.stage(f"both models on {count} samples", count)
        reference, found = self._evaluate([Path(request.file)])
        if found.failure is not None:
            raise RuntimeFailureError(f"'{request.file}' does not run: {found.failure}")
        scheme = self._scheme()
        result = Explanation(
            str(request.model), str(request.file), scheme.name if scheme else "unknown", reference.metric,
            reference.value, found, Path(request.file).stat().st_size, notes=list(self.source.notes),
        )  # fmt: skip
        own = self._own_errors()
        result.ops = self._ranked(own)
        result.overlay = overlay(self.pairing, {e.name: -e.snr_db for e in own if math.isfinite(e.snr_db)})
        if scheme is None:
            result.notes.append("The file has no scheme that tightfit writes, so no remedy was tried.")
        self._causes_and_remedies(result, scheme)
        return result

    # -- errors ------------------------------------------------------------------------------------

    def _evaluate(self, models: Sequence[Path | bytes], steps: Steps | None = None) -> list[Accuracy]:
        return evaluate(
            [self.source.path, *models],
            self.dataset,
            self.evaluating,
            metric=self.request.metric,
            progress=steps or self.advance,
        )

    def _own_errors(self) -> list[OwnError]:
        few = self.evaluating[:ERROR_SAMPLES]
        self.stage(f"each op by itself on {len(few)} samples", 1)
        own = own_errors(self.pairing, self.dataset.samples(few))
        self.advance(1, 1)
        return [e for e in own if e.snr_db < 200.0]

    def _ranked(self, own: Sequence[OwnError]) -> list[OpReport]:
        few = self.evaluating[:ERROR_SAMPLES]
        self.stage("each op with all before it", 1)
        together = layer_errors(self.source.model, self.request.file, self.dataset.samples(few))
        self.advance(1, 1)
        accumulated = {e.name: e.snr_db for e in together}
        worst = sorted(own, key=lambda e: e.snr_db)
        effects = self._effects([e.name for e in worst[:INJECTED]])
        reports = [_report(e, accumulated.get(e.name), effects.get(e.name)) for e in worst]
        return sorted(reports, key=lambda r: (r.effect_db is None, r.effect_db or 0.0))

    def _effects(self, names: Sequence[str]) -> dict[str, Accuracy]:
        """What each op's own error alone does to the outputs."""
        models: list[tuple[str, bytes]] = []
        for name in names:
            try:
                models.append((name, injected(self.pairing, self.targets[name])))
            except NoBranchError:
                continue
        self.stage(f"{len(models)} ops alone in the float model", len(models))
        effects = {}
        for part in _parts(models):
            results = self._evaluate([model for _, model in part], _silent)[1:]
            effects |= {n: r for (n, _), r in zip(part, results, strict=True) if r.failure is None}
            self.advance(len(effects), len(models))
        return effects

    # -- causes and remedies -----------------------------------------------------------------------

    def _causes_and_remedies(self, result: Explanation, scheme: Scheme | None) -> None:
        names = [r.name for r in result.ops[:EXPLAINED]]
        count = len(self.calibrating)
        self.stage(f"calibrating on {count} samples", count)
        seen = calibrate(self.source.model, self._inputs())
        keys = {t.name: key for t, key in self.source.model.main.keys().items()}
        parts = own_errors(
            self.pairing, self.dataset.samples(self.evaluating[:ERROR_SAMPLES]), only=names, parts=True
        )
        for i, error in enumerate(parts):
            place = next(n for n, r in enumerate(result.ops) if r.name == error.name)
            target = self.targets[error.name]
            op = target if isinstance(target, Op) else None
            value = op.outputs[0] if op is not None else target
            stored = None if op is None else self.pairing.twin(op)
            statistics = seen.statistics.get(keys.get(error.name, ""))
            held = self.pairing.held(value)  # type: ignore[arg-type]
            causes = find_causes(Facts(error, op, stored, held, statistics))
            result.ops[place] = _with_causes(result.ops[place], causes)
            self.advance(i + 1, len(parts))
        if scheme is None or not self.request.remedies or not result.ops:
            return
        with tempfile.TemporaryDirectory(prefix="tightfit-") as folder:
            shop = Workshop(self.source, scheme, seen, self._inputs, Path(folder), self._present(scheme, seen))
            result.int8_share = integer_share(self.source, shop.plan(None)[1])
            found = [damage(r.name, self.targets[r.name]) for r in result.ops[:REMEDIED]]
            result.remedies = self._remedies(shop, found, result.accuracy)

    def _inputs(self) -> Iterator[dict[str, Array]]:
        return (s.inputs for s in self.dataset.samples(self.calibrating))
