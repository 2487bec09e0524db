"""The one builder: samples → ranges → plan → recoveries → file, for every verb that quantizes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tightfit import recovery, targets
from tightfit.errors import RuntimeFailureError
from tightfit.evaluation.slices.model_slices import by_name, refuse_unanswered, slices_of
from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.evaluation.slices.quality import lower
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.signatures import keeps_state
from tightfit.pipeline.build_spec import FEWEST_TO_HOLD_OUT, JUDGES, BuildSpec
from tightfit.pipeline.quantization_result import UNFIT, QuantizationResult
from tightfit.pipeline.recurrent_form import reason_to_unroll, write_out
from tightfit.pipeline.source import Source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import Calibration, calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.checking import random_probes
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import INTEGER
from tightfit.quantization.planning import check_overrides, make_plan
from tightfit.recovery.slices.normalized_columns import poor_inputs
from tightfit.recovery.state import LEAST_NOISE, RecoveryState
from tightfit.recovery.steps import recover
from tightfit.streaming.moments import Moments
from tightfit.streaming.slice_axes import Slices
from tightfit.types import Samples, Stage

if TYPE_CHECKING:
    from tightfit.recovery import HeldOutNoise


_FAILED: Final = re.compile(r"Node number \d+ \((\w+)\) failed to invoke")


_MOST_FAILING: Final = 3


def failing_op(error: RuntimeFailureError) -> Override | None:
    """Return the rule that keeps ops of the kind whose kernel failed in float; None where none is named.

    Example:
        >>> failing_op(RuntimeFailureError("div.cc:262 … Node number 12 (DIV) failed to invoke.")).pattern
        'DIV'
    """
    found = _FAILED.search(str(error))
    if found is None:
        return None
    return Override(found[1], "float", "its integer kernel fails on a sample", is_optional=True)


@dataclass
class Builder:
    """Builds files of one float model; the samples are calibrated once for all of them.

    Args:
        source: the float model.
        samples: starts the calibration samples anew at each call; None where there are none.
        count: number of samples, for progress; 0 where it is not known.
        stage: progress of calibration and recoveries.
        seen: what calibration saw, where that is known already.
        moments: layer name → second moments, shared by all files.
    """

    source: Source
    samples: Samples | None = None
    count: int = 0
    stage: Stage | None = None
    seen: Calibration | None = None
    moments: dict[str, Moments] = field(default_factory=dict)
    _repaired: dict[tuple[Any, ...], RecoveryState] = field(default_factory=dict, repr=False)
    _unrolled: tuple[Model, list[str]] | None = field(default=None, repr=False)
    _seen_unrolled: Calibration | None = field(default=None, repr=False)

    def calibration(self, *, detailed: bool = True) -> Calibration | None:
        """Return what the samples showed, collected once; None without samples.

        Raises:
            DataError: a sample does not fit the model, or is not finite.
        """
        if self.seen is None and self.samples is not None:
            self.seen = calibrate(
                self.source.model,
                self.samples(),
                detailed=detailed,
                progress=self._counter(),
            )
            refuse_unanswered(self.source.model, self.seen.probes)
        return self.seen

    def begin(self, spec: BuildSpec) -> RecoveryState:
        """Return the plan of a file, before any recovery.

        Raises:
            OptionError: the scheme or a recovery needs samples, or an override matches nothing.
            TightfitError: the model cannot be calibrated or planned.
        """
        spec.check_samples(given=self.samples is not None or self.seen is not None)
        model, notes = self._form(spec)
        rules = check_overrides(model, spec.overrides)
        seen = self._seen_of(model, spec)
        ranges = Ranges([seen.statistics] if seen else [], spec.observers)
        if spec.target is not None and seen is not None:
            rules = targets.overrides_for(spec.target, model, spec.scheme, ranges, rules)
        state = RecoveryState(
            model,
            make_plan(model, spec.scheme, ranges, overrides=rules),
            ranges,
            self.samples or _no_samples,
            self.source.path.stat().st_size,
            size_bytes=spec.max_size_bytes,
            noise=spec.max_noise or LEAST_NOISE,
            overrides=rules,
            moments=self.moments,
            progress=self.stage,
            folder=spec.folder,
        )
        state.notes += notes
        return state

    def _form(self, spec: BuildSpec) -> tuple[Model, list[str]]:
        """The model as the file has it, and what was changed in it."""
        why = reason_to_unroll(self.source.model, spec)
        if why is None:
            return self.source.model, []
        if self._unrolled is None:
            twin = copy_model(self.source.model)
            self._unrolled = twin, write_out(twin)
        twin, done = self._unrolled
        return twin, [f"{sentence.rstrip('.')}: {why}." for sentence in done]

    def _seen_of(self, model: Model, spec: BuildSpec) -> Calibration | None:
        """What the samples showed of the model or of its written-out twin, each collected once."""
        seen = self.calibration(detailed=spec.detailed)
        if model is self.source.model or self.samples is None:
            return seen
        if self._seen_unrolled is None:
            self._seen_unrolled = calibrate(model, self.samples(), detailed=True)
        return self._seen_unrolled

    def write(
        self, state: RecoveryState, spec: BuildSpec, output: Path, facts: dict[str, Any] | None
    ) -> QuantizationResult:
        """Write the file of a recovered plan.

        Args:
            state: from ``begin``, after its recoveries.
            spec: of the file.
            output: the file to write.
            facts: for the provenance; None leaves it out.

        Raises:
            TightfitError: see ``write_plan``.
        """
        source = replace(self.source, model=state.model, facts=facts, reference=self.source.model)
        probes = self.seen.kept if self.seen else random_probes(source.path, source.model)
        adapt = (
            partial(targets.rewrites_for, spec.target)
            if spec.target is not None and self._adapts(spec)
            else None
        )
        made = write_plan(
            source,
            state.plan,
            output,
            layout=spec.layout,
            probes=probes,
            adapt=adapt,
            slices=self.slices(spec),
        )
        return replace(made, samples=len(probes) if self.seen else 0)

    def slices(self, spec: BuildSpec) -> Slices:
        """Return the slices of the float model's outputs, those that the user named included."""
        return slices_of(self.source.model, spec.slices)

    def mend(
        self, state: RecoveryState, spec: BuildSpec, found: Sequence[OutputQuality] | None = None
    ) -> bool:
        """Try remedies for poor slices; see ``recovery.slices``.

        Args:
            state: changed where a remedy helps.
            spec: of the file.
            found: the quality of the file that the state gives, None to measure it.

        Returns:
            True where something was tried.
        """
        if not spec.mends or self.seen is None:
            return False
        before, answered = len(state.notes), by_name(self.source.model, self.seen.kept)
        _allow(state, spec)
        recovery.mend(state, answered, self.slices(spec), found)
        return len(state.notes) > before

    def _adapts(self, spec: BuildSpec) -> bool:
        """True when a file is rewritten for its target: integer files, and all for a strict target."""
        return self.samples is not None or (spec.target is not None and spec.target.family.strict)

    def build(self, spec: BuildSpec, output: Path) -> QuantizationResult:
        """Build one file: plan, recover, write.

        An op whose kernel fails on a sample computes in float, with that reason; then the file is built anew.

        Raises:
            TightfitError: see ``begin`` and ``write``.
        """
        for _ in range(_MOST_FAILING):
            try:
                return self._built(spec, output)
            except RuntimeFailureError as error:
                failing = failing_op(error)
                if failing is None or spec.scheme.compute != INTEGER:
                    raise
                spec = replace(spec, overrides=(*spec.overrides, failing))
        return self._built(spec, output)

    def _built(self, spec: BuildSpec, output: Path) -> QuantizationResult:
        state = self.begin(spec)
        if spec.is_automatic:
            state = self.improved(state, spec)
        self.recover(state, spec)
        written = self.write(state, spec, output, self._facts(state))
        if not spec.recovery and self.mend(state, spec, written.outputs):
            written = self.write(state, spec, output, self._facts(state))
            written = replace(written, outputs=lower(written.outputs, state.judged))
        unfit = [f"{UNFIT}{sentence}" for sentence in written.unfit]
        if self.seen is not None and spec.scheme.activations is not None:
            unfit += recovery.comparison_notes(self.source.model, written.outputs)
        return replace(written, notes=[*state.notes, *written.notes, *unfit])

    def recover(self, state: RecoveryState, spec: BuildSpec) -> None:
        """Make attention masks small, mend poor slices where recoveries follow, and run these."""
        masks = spec.mends and self.samples is not None
        recover(state, ("masks",) if masks else ())
        steps = tuple(step for step in spec.recovery if step != "masks" or not masks)
        if steps:
            _allow(state, spec)
            self.mend(state, spec)
        recover(state, steps)

    def _facts(self, state: RecoveryState) -> dict[str, Any] | None:
        facts = self.source.facts
        if facts is None or not state.notes:
            return facts
        return {**facts, "steps": [*facts.get("steps", ()), *state.notes]}

    def improved(self, state: RecoveryState, spec: BuildSpec) -> RecoveryState:
        """Return the state after the automatic recoveries, which run once for all types of inputs.

        Args:
            state: from ``begin``; it is not changed.
            spec: of the file.
        """
        whose = None if spec.target is None else spec.target.name
        own_inputs = spec.target is not None and spec.scheme.interface != "float32"
        key = (replace(spec.scheme, interface="float32"), spec.effort, spec.layout, whose, own_inputs)
        if key not in self._repaired:
            self._repaired[key] = self._improve(state, spec)
        known = self._repaired[key]
        found = known.twin()
        if known.plan.scheme != spec.scheme:
            found.plan = make_plan(found.original, spec.scheme, found.ranges, overrides=found.overrides)
        return found

    def _improve(self, state: RecoveryState, spec: BuildSpec) -> RecoveryState:
        """The improved state; samples of a model with state cannot judge alone."""
        if self.seen is None or keeps_state(self.source.model):
            return state
        state = self._with_even_inputs(state, spec)
        check = judges(state, self.source.model, self.seen)
        may_lift = spec.layout == "cpu" and spec.target is None
        return recovery.improve(state, check, may_lift=may_lift, thorough=spec.effort > 1)

    def _with_even_inputs(self, state: RecoveryState, spec: BuildSpec) -> RecoveryState:
        """The state with columns of inputs mended first: while they are rounded away nothing shows a gain."""
        if not spec.mends or self.seen is None:
            return state
        state, answered = state.twin(), by_name(self.source.model, self.seen.kept)
        if poor_inputs(self.source.model, [inputs for inputs, _ in answered]):
            _allow(state, spec)
            recovery.mend_inputs(state, answered, self.slices(spec))
        return state

    def _counter(self) -> Callable[[], None]:
        counts = itertools.count(1)
        what = f"calibrating on {self.count} samples" if self.count else "calibrating"
        return lambda: None if self.stage is None else self.stage(what, next(counts), self.count)


def _allow(state: RecoveryState, spec: BuildSpec) -> None:
    """Tell the state what the target of a file takes, now that its plan is known."""
    if spec.target is not None:
        state.allowed = targets.allowed_on(spec.target, apply_plan(state.model, state.plan))


def judges(state: RecoveryState, model: Any, seen: Calibration) -> HeldOutNoise:
    """Return the measure of a model's files on a few calibration samples; they fit nothing where many are.

    Args:
        state: its ``held_out`` becomes those samples.
        model: the float model.
        seen: its calibration.
    """
    kept = seen.kept
    spread = np.linspace(0, len(kept) - 1, min(len(kept), JUDGES))
    chosen: list[int] = np.unique(spread.astype(int)).tolist()
    if seen.samples >= FEWEST_TO_HOLD_OUT:
        state.held_out = frozenset(seen.places[i] for i in chosen)
    return recovery.HeldOutNoise(model, [kept[i] for i in chosen])


def _no_samples() -> Any:
    return iter(())
