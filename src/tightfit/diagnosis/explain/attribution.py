"""Which op of a quantized file loses the accuracy, why, and which remedy brings how much back, measured."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.split import Indices, split
from tightfit.diagnosis.explain.causes import find_causes
from tightfit.diagnosis.explain.explanation import ExplainRequest, Explanation, OpReport
from tightfit.diagnosis.explain.file_options import options_of
from tightfit.diagnosis.explain.graph_matching import Pairing
from tightfit.diagnosis.explain.layer_error import layer_errors
from tightfit.diagnosis.explain.model_explorer import overlay
from tightfit.diagnosis.explain.op_branches import NoBranchError
from tightfit.diagnosis.explain.op_facts import Cause, Facts
from tightfit.diagnosis.explain.own_error import OwnError, injected, own_errors, places
from tightfit.diagnosis.explain.remedies import damage, trials
from tightfit.diagnosis.explain.remedy_trials import (
    BASELINE,
    SIDE_BY_SIDE,
    RemedyTrials,
    int8_share,
    parts,
    try_remedies,
)
from tightfit.errors import ModelError, OptionError, RuntimeFailureError
from tightfit.evaluation.accuracy import Accuracy, evaluate
from tightfit.evaluation.metrics import MOST_DB
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.files import atomic_file
from tightfit.graph.ir import Model, Op
from tightfit.graph.ops.macs import weight_tensors
from tightfit.graph.reader import read_model
from tightfit.graph.scheme_detection import describe_scheme
from tightfit.graph.signatures import input_names, output_names
from tightfit.paths import check_paths
from tightfit.pipeline.builder import Builder
from tightfit.pipeline.source import open_source
from tightfit.quantization.calibration.calibrate import Calibration, calibrate
from tightfit.quantization.scheme import SCHEMES, Scheme
from tightfit.scratch import scratch_folder
from tightfit.types import Array, Steps

ERROR_SAMPLES: Final = 8
"""Samples that the error of each op is measured on."""

INJECTED: Final = 8
"""Ops whose own error is followed to the model's outputs: those whose channels it spoils most."""

EXPLAINED: Final = 5
"""Ops whose causes are looked for."""

REMEDIED: Final = 2
"""Ops that remedies are tried for: those that hurt the outputs most."""

Stage = Callable[[str, int], None]


def explain(
    request: ExplainRequest, *, stage: Stage | None = None, advance: Steps | None = None
) -> Explanation:
    """Return the ops that lose the accuracy of a quantized file, ranked, with causes and measured remedies.

    Args:
        request: the files and the data.
        stage: called with the name and the length of each piece of work.
        advance: called with the steps done and the steps in all.

    Raises:
        ModelError: the float model is none, or the file was not made from it.
        DataError: the data does not fit. RuntimeFailureError: LiteRT does not run one of the two.
    """
    read = {"float model": request.model, "quantized model": request.file, "data": request.data}
    check_paths(read, {"The output": request.output})
    return _Explaining(request, stage or _silent, advance or _silent).run()


def _silent(*_: object) -> None:
    """Ignores progress."""


class _Explaining:
    """One run."""

    def __init__(self, request: ExplainRequest, stage: Stage, advance: Steps) -> None:
        self.request, self.stage, self.advance = request, stage, advance
        self.source = open_source(request.model)
        self.notes = _same_file(request, quantized=self.source.start is not None)
        candidate = _candidate(request, quantized_first=self.source.start is not None)
        self.made_with = options_of(candidate)
        self.pairing = Pairing(self.source.model, candidate)
        if not any(self.pairing.twin(op) for op in self.source.model.main.ops):
            raise ModelError(
                f"'{request.file}' has no op in common with '{request.model}'. "
                "Give the float model that it was made from."
            )
        named = input_names(self.source.model).items()
        specs = [InputSpec(n, t.shape_signature or t.shape, t.dtype) for n, t in named]
        outputs = list(output_names(self.source.model))
        self.dataset = open_data(request.data, image=request.image, inputs=specs, outputs=outputs)
        self.calibrating, self.evaluating = self._split()
        self.targets = {name: target for name, _, target in places(self.pairing)}

    def _split(self) -> tuple[Indices, Indices]:
        count, request = len(self.dataset), self.request
        calibration = min(request.calibration, max(1, count // 2))
        labels = self.dataset.classes()
        return split(labels, count, calibration, request.evaluation, seed=request.seed, overlap=count < 2)

    def run(self) -> Explanation:
        request, count = self.request, len(self.evaluating)
        self.stage(f"both models on {count} samples", count)
        reference, found = self._evaluate([Path(request.file)], self.advance)
        if found.failure is not None:
            raise RuntimeFailureError(f"'{request.file}' does not run: {found.failure}")
        scheme = self._scheme()
        own = self._own_errors()
        result = Explanation(
            str(request.model), str(request.file), scheme.name if scheme else "unknown", reference.metric,
            reference.value, found, Path(request.file).stat().st_size, ops=self._ranked(own),
            notes=self.notes, made_with=self.made_with.words(),
            overlay=overlay(self.pairing, {e.name: -e.snr_db for e in own}),
        )  # fmt: skip
        if result.ops:
            seen = self._calibrate()
            causes = self._causes([r.name for r in result.ops[:EXPLAINED]], seen)
            result = replace(result, ops=[replace(r, causes=causes.get(r.name, ())) for r in result.ops])
            return self._remedied(result, scheme, seen)
        return result

    def _scheme(self) -> Scheme | None:
        """The scheme that remedies start from, None for a file that tightfit has none for."""
        name = describe_scheme(self.pairing.candidate)
        if name == "mixed":
            layers = [op for op in self.source.model.main.ops if weight_tensors(op)]
            found = Counter(self.pairing.scheme(op) for op in layers).most_common()
            name = next((n for n, _ in found if n in SCHEMES), name)
        return SCHEMES.get(name)

    def _evaluate(self, models: Sequence[Path | bytes], steps: Steps = _silent) -> list[Accuracy]:
        """The accuracy of the float model and of others beside it."""
        every = [self.source.path, *models]
        metric = self.request.metric
        slices = slices_of(self.source.model)
        return evaluate(every, self.dataset, self.evaluating, metric=metric, progress=steps, slices=slices)

    # -- errors ------------------------------------------------------------------------------------

    def _own_errors(self) -> list[OwnError]:
        few = self.evaluating[:ERROR_SAMPLES]
        self.stage(f"each op by itself on {len(few)} samples", 1)
        own = own_errors(self.pairing, self.dataset.samples(few))
        self.advance(1, 1)
        return [e for e in own if e.snr_db < MOST_DB]

    def _ranked(self, own: Sequence[OwnError]) -> list[OpReport]:
        """The ops by what their own error does to the outputs, then by that error."""
        self.stage("each op with all before it", 1)
        few = self.dataset.samples(self.evaluating[:ERROR_SAMPLES])
        together = {e.name: e.snr_db for e in layer_errors(self.source.model, self.request.file, few)}
        self.advance(1, 1)
        worst = sorted(own, key=lambda e: e.channel_db)
        effects = self._effects([e.name for e in worst[:INJECTED]])
        reports = [_report(e, together.get(e.name), effects.get(e.name)) for e in worst]
        return sorted(reports, key=lambda r: (r.effect_db is None, r.effect_db or 0.0))

    def _effects(self, names: Sequence[str]) -> dict[str, Accuracy]:
        """What each op's own error alone does to the outputs."""
        models: list[tuple[str, bytes]] = []
        for name in names:
            try:
                models.append((name, injected(self.pairing, self.targets[name])))
            except NoBranchError:
                continue
        self.stage(f"the error of {len(models)} single ops in the float model", len(models))
        effects: dict[str, Accuracy] = {}
        for group in parts(models, SIDE_BY_SIDE):
            results = self._evaluate([model for _, model in group])[1:]
            effects |= {n: r for (n, _), r in zip(group, results, strict=True) if r.failure is None}
            self.advance(len(effects), len(models))
        return effects

    # -- causes and remedies -----------------------------------------------------------------------

    def _calibrate(self) -> Calibration:
        self.stage(f"calibrating on {len(self.calibrating)} samples", 1)
        seen = calibrate(self.source.model, self._inputs())
        self.advance(1, 1)
        return seen

    def _inputs(self) -> Iterator[dict[str, Array]]:
        return (s.inputs for s in self.dataset.samples(self.calibrating))

    def _causes(self, names: Sequence[str], seen: Calibration) -> dict[str, tuple[Cause, ...]]:
        few = self.dataset.samples(self.evaluating[:ERROR_SAMPLES])
        errors = own_errors(self.pairing, few, only=names, parts=True)
        return {e.name: tuple(find_causes(self._facts(e, seen))) for e in errors}

    def _facts(self, error: OwnError, seen: Calibration) -> Facts:
        target = self.targets[error.name]
        keys = self.source.model.main.keys()
        if not isinstance(target, Op):
            return Facts(error, None, None, self.pairing.held(target), seen.statistics.get(keys[target]))
        value = target.outputs[0]
        statistics = seen.statistics.get(keys[value])
        return Facts(error, target, self.pairing.twin(target), self.pairing.held(value), statistics)

    def _remedied(self, result: Explanation, scheme: Scheme | None, seen: Calibration) -> Explanation:
        if scheme is None:
            result.notes.append("The file has no scheme that tightfit writes, so no remedy was tried.")
        if scheme is None or not self.request.remedies:
            return result
        with scratch_folder() as folder:
            builder = Builder(self.source, self._inputs, seen=seen)
            attempts = RemedyTrials(builder, scheme, Path(folder), self.made_with)
            attempts.adopt_overrides(self.pairing)
            state, _ = attempts.state(BASELINE)
            share = int8_share(state.model, state.plan)
            wanted = trials([damage(r.name, self.targets[r.name]) for r in result.ops[:REMEDIED]], scheme)
            self.stage(f"{len(wanted)} remedies", len(wanted) + 1)
            remedies, files = try_remedies(
                attempts, wanted, lambda paths: self._evaluate(paths)[1:], result.accuracy, self.advance
            )
            result = replace(result, int8_share=share, remedies=remedies)
            self._keep(result, files)
        return result

    def _keep(self, result: Explanation, files: dict[str, Path]) -> None:
        """Copies the file of the first remedy to where it was asked for."""
        output, first = self.request.output, result.remedies[0]
        if output is None:
            return
        if not first.helps:
            result.notes.append(f"No remedy helped, so '{output}' was not written.")
            return
        with files[first.title].open("rb") as data, atomic_file(output) as file:
            shutil.copyfileobj(data, file)
        result.notes.append(f"'{output}' was written: {first.title}.")


def _same_file(request: ExplainRequest, *, quantized: bool) -> list[str]:
    """A note where a quantized file is compared with itself; a float file beside itself explains nothing.

    Raises:
        OptionError: both are the same float file.
    """
    if Path(request.model).resolve() != Path(request.file).resolve():
        return []
    if not quantized:
        raise OptionError(
            f"Received '{request.file}' as the float model and as the quantized one; expected the float "
            "model first, then the file that was made of it."
        )
    return [
        "Both are one file: its ops are compared with the reals that its integers stand for. What was lost "
        "when it was made is not seen; give the float model first."
    ]


def _candidate(request: ExplainRequest, *, quantized_first: bool) -> Model:
    """The file to explain; the float model in its place is refused by name, whatever it was saved as."""
    swapped = ModelError(
        f"'{request.model}' is quantized and '{request.file}' is not; expected the float model first: "
        "swap the two."
    )
    try:
        candidate = read_model(request.file)
    except ModelError as error:
        if quantized_first and Path(request.file).suffix != ".tflite" and Path(request.file).exists():
            raise swapped from error
        raise
    if quantized_first and describe_scheme(candidate) == "float32":
        raise swapped
    return candidate


def _report(error: OwnError, together: float | None, effect: Accuracy | None) -> OpReport:
    if effect is None:
        return OpReport(error.name, error.kind, error.snr_db, together)
    agreement, drop = effect.agreement, effect.drop
    return OpReport(error.name, error.kind, error.snr_db, together, effect.snr_db, agreement, drop)
