"""Writes a quantized file again with a remedy applied, measures it, and ranks what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from tightfit.diagnosis.explain.explanation import Remedy
from tightfit.diagnosis.explain.file_options import FileOptions
from tightfit.diagnosis.explain.graph_matching import Pairing, scheme_name
from tightfit.diagnosis.explain.remedies import Pairs, Trial
from tightfit.errors import OptionError, TightfitError
from tightfit.evaluation.accuracy import Accuracy
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder
from tightfit.quantization.allowed import Allowed
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.plan import INTEGER, Plan
from tightfit.quantization.scheme import Scheme
from tightfit.recovery.state import RecoveryState
from tightfit.recovery.steps import recover
from tightfit.targets.profile import Target
from tightfit.targets.target_planning import allowed_on
from tightfit.types import Steps

SIDE_BY_SIDE: Final = 4
"""Models that run at once, each in its child process."""

_AS_GOOD_DB: Final = 3.0
_ENOUGH_DB: Final = 40.0

BASELINE: Final = Trial("again", "calibrated again with these samples, nothing else")
"""What every remedy is compared with: the file may have been calibrated otherwise."""

Measure = Callable[[Sequence[Path]], list[Accuracy]]
T = TypeVar("T")


@dataclass
class RemedyTrials:
    """Makes the file again, with a remedy or without.

    Args:
        builder: of the float model, with its calibration samples.
        scheme: the file's.
        folder: where files are written.
        made_with: the file's target and its types of inputs and outputs, which every trial keeps.
        present: the overrides that the file shows that it was made with.
    """

    builder: Builder
    scheme: Scheme
    folder: Path
    made_with: FileOptions = field(default_factory=FileOptions)
    present: Pairs = ()
    made: int = field(default=0, init=False)
    _taken: Allowed | None = field(default=None, init=False, repr=False)

    def state(self, trial: Trial) -> tuple[RecoveryState, BuildSpec]:
        """Return the model and its plan with a remedy applied.

        Raises:
            OptionError: the remedy changes nothing in this model, or the file's target does not take it.
        """
        spec = BuildSpec(
            self.made_with.scheme(self.scheme),
            overrides=(*trial.overrides, *self.present),
            observers=dict.fromkeys(("int8", "int16"), trial.observer) if trial.observer else None,
            recovery=tuple(trial.recovery),
            target=self.made_with.target,
            layout=self.made_with.layout,
        )
        state = self.builder.begin(spec)
        if spec.target is not None:
            state.allowed = self._allowed(spec.target, state)
        if trial.recovery and not recover(state, trial.recovery).notes:
            raise OptionError("there is nothing in this model that it would change")
        if spec.target is not None and trial is not BASELINE:
            self._refuse_for(spec.target, state)
        return state, spec

    def _refuse_for(self, target: Target, state: RecoveryState) -> None:
        if not state.allowed.accepts(apply_plan(state.model, state.plan)):
            raise OptionError(f"the target '{target.name}' does not take it, or runs less of it")

    def _allowed(self, target: Target, state: RecoveryState) -> Allowed:
        """Return what the target takes, by the file without a remedy, which the first trial shows."""
        if self._taken is None:
            self._taken = allowed_on(target, apply_plan(state.model, state.plan))
        return self._taken

    def write(self, trial: Trial) -> tuple[Path, float]:
        """The file with a remedy, checked in LiteRT, and its share of work on int8.

        Raises:
            TightfitError: it cannot be planned, or LiteRT does not run it.
        """
        state, spec = self.state(trial)
        self.made += 1
        path = self.folder / f"remedy-{self.made}.tflite"
        self.builder.write(state, spec, path, _facts(spec))
        return path, int8_share(state.model, state.plan)

    def adopt_overrides(self, pairing: Pairing) -> None:
        """Notes where the file computes otherwise than its scheme alone would make it."""
        plan = self.state(BASELINE)[0].plan
        found = []
        for op, row in zip(self.builder.source.model.main.ops, plan.graphs[0].ops, strict=True):
            planned = scheme_name(row.dtype or "float", [s.dtype for s in row.constants.values()])
            actual = pairing.scheme(op)
            if row.mode == INTEGER and planned != actual and pairing.twin(op) is not None:
                found.append((op.name, actual))
        self.present = tuple(found)


def _facts(spec: BuildSpec) -> dict[str, object]:
    """What the file records about the options that it was made with, as ``tightfit quantize`` does."""
    target = "" if spec.target is None else spec.target.name
    chosen = {"target": target, "observers": dict(spec.observers or {})}
    rules = [list(o) if isinstance(o, tuple) else [o.pattern, o.scheme] for o in spec.overrides]
    return {"overrides": rules, "recovery": list(spec.recovery)} | {k: v for k, v in chosen.items() if v}


def int8_share(model: Model, plan: Plan) -> float:
    """The share of a model's multiply–accumulates that run on int8, 0-1; 0 for a model without any."""
    rows = zip(model.main.ops, plan.graphs[0].ops, strict=True)
    on = sum(macs(op) for op, row in rows if row.mode == INTEGER and row.dtype == "int8")
    total = sum(macs(op) for op in model.main.ops)
    return on / total if total else 0.0


def try_remedies(
    trials: RemedyTrials, wanted: Sequence[Trial], measure: Measure, before: Accuracy, steps: Steps
) -> tuple[list[Remedy], dict[str, Path]]:
    """Return every remedy with what it brought, the best first, and the files by title.

    Args:
        trials: the file to be repaired, and how it was made.
        wanted: remedies to try, in order.
        measure: gives the accuracy of files on the evaluation samples, in order.
        before: that of the file to be repaired.
        steps: called with the remedies done and the remedies in all.
    """
    remedies: list[Remedy] = []
    files: dict[str, Path] = {}
    for group in parts([BASELINE, *wanted], SIDE_BY_SIDE):
        written: list[tuple[Remedy, Path]] = []
        for trial in group:
            remedy = Remedy(trial.kind, trial.title, trial.op, trial.options())
            try:
                path, share = trials.write(trial)
            except TightfitError as error:
                remedies.append(replace(remedy, failure=str(error)))
                continue
            written.append((replace(remedy, size_bytes=path.stat().st_size, int8_share=share), path))
            files[trial.title] = path
        results = measure([path for _, path in written]) if written else []
        remedies += [_measured(r, a) for (r, _), a in zip(written, results, strict=True)]
        steps(len(remedies), len(wanted) + 1)
    again = next(
        (r.snr_db for r in remedies if r.kind == BASELINE.kind and r.snr_db is not None), before.snr_db
    )
    return rank([_relative(r, before.snr_db, again) for r in remedies]), files


def parts(items: list[T], size: int) -> Iterator[list[T]]:
    """Groups of at most so many items.

    Example:
        >>> list(parts([1, 2, 3], 2))
        [[1, 2], [3]]
    """
    return (items[i : i + size] for i in range(0, len(items), size))


def _measured(remedy: Remedy, result: Accuracy) -> Remedy:
    if result.failure is not None:
        return replace(remedy, failure=result.failure)
    value, drop, agreement = result.value, result.drop, result.agreement
    return replace(remedy, snr_db=result.snr_db, value=value, drop=drop, agreement=agreement)


def _relative(remedy: Remedy, before: float | None, again: float | None) -> Remedy:
    """The remedy with its gain: over the file calibrated again, and for that one over the file."""
    base = before if remedy.kind == BASELINE.kind else again
    if remedy.snr_db is None or base is None or before is None:
        return remedy
    return replace(remedy, gain_db=remedy.snr_db - base, helps=remedy.snr_db > before)


def rank(remedies: Sequence[Remedy]) -> list[Remedy]:
    """The remedies within 3 dB of the best, or of 40 dB, the cheapest first; then the others, the best first.

    Cheaper is what leaves more of the work on int8, then what is smaller.

    Example:
        >>> a, b = Remedy("float", "a", "", "", snr_db=20.0), Remedy("wider", "b", "", "", snr_db=18.0)
        >>> a, b = replace(a, int8_share=0.1, helps=True), replace(b, int8_share=0.8, helps=True)
        >>> [r.title for r in rank([a, b])]
        ['b', 'a']
    """
    best = min(max((r.snr_db for r in remedies if r.snr_db is not None), default=0.0), _ENOUGH_DB)

    def place(remedy: Remedy) -> tuple[int, float, float, int]:
        if remedy.snr_db is None:
            return 2, 0.0, 0.0, 0
        if remedy.helps and remedy.snr_db >= best - _AS_GOOD_DB:
            return 0, -(remedy.int8_share or 0.0), 0.0, remedy.size_bytes or 0
        return 1, 0.0, -remedy.snr_db, 0

    return sorted(remedies, key=place)
