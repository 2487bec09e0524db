"""The state of a model during recovery: the graph, its plan, and statistics of calibration samples."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.evaluation.slices.output_quality import OutputQuality
from tightfit.graph.ir import Model
from tightfit.quantization.allowed import Allowed
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.collect_moments import collect_means, collect_moments
from tightfit.quantization.calibration.layers import layers_of
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.streaming.moments import Moments
from tightfit.types import Array, Stage

Vector = npt.NDArray[np.float64]

SPARE_SHARE: Final = 0.179
"""Size limit of mixed precision as a fraction of the float file, when no size is given."""


LEAST_NOISE: Final = 0.01
"""Default noise limit of mixed activations: 1 % of the power is a cosine of 0.995 between output vectors."""


@dataclass
class RecoveryState:
    """The state of a model during recovery; each step changes it.

    Args:
        original: the float model.
        plan: the plan made for it with ``ranges``.
        ranges: the calibrated ranges.
        samples: starts the calibration samples anew at each call.
        float_bytes: size of the float file in bytes.
        size_bytes: largest size of the result in bytes; None for ``SPARE_SHARE`` of the float file.
        noise: largest output noise of mixed activations, as a fraction of the outputs' power, 0–1.
        overrides: the overrides that ``plan`` was made with.
        known: tensor key → range that a step found; it replaces the calibrated range.
        moments: layer name → second moments of its input; collected when a step first needs them.
        holds_weights: whether zeros or shared values of weights must stay: only biases are then fitted.
        allowed: what the device that the file is for takes.
        judged: the quality of outputs after remedies, on samples that fitted none of them.
        held_out: samples (0 for the first) that weights and biases are not fitted to, because they judge.
        progress: progress callback, called with (stage, steps done, steps in total).
        folder: folder of checkpoints, from which a stopped step resumes; None for no checkpoints.
        model: the float model with the weights found so far.
        notes: one sentence for each step.
        input_means: layer name → mean input, once they were collected.
    """

    original: Model
    plan: Plan
    ranges: Ranges
    samples: Callable[[], Iterator[Mapping[str, Array]]]
    float_bytes: int
    size_bytes: int | None = None
    noise: float = LEAST_NOISE
    overrides: Overrides = ()
    known: dict[str, Range] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    holds_weights: bool = False
    allowed: Allowed = field(default_factory=Allowed)
    judged: tuple[OutputQuality, ...] = ()
    held_out: frozenset[int] = frozenset()
    progress: Stage | None = None
    folder: Path | None = None
    model: Model = field(init=False)
    notes: list[str] = field(default_factory=list)
    input_means: dict[str, Vector] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.original

    def twin(self) -> RecoveryState:
        """Return a state that further steps change without changing this one."""
        made = copy.copy(self)
        made.known, made.notes = dict(self.known), list(self.notes)
        return made

    def stage_progress(self, what: str) -> Callable[[int, int], None]:
        """Return the progress callback of one stage, called with (steps done, steps in total)."""

        def report(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(what, done, total)

        return report

    def fitting(self) -> Iterator[Mapping[str, Array]]:
        """Return the samples, started anew, without those that are held out."""
        return (sample for i, sample in enumerate(self.samples()) if i not in self.held_out)

    def layer_moments(self) -> dict[str, Moments]:
        """Return the second moments of every layer's input, collected once.

        Returns:
            Layer name → moments.

        Raises:
            RuntimeFailureError: LiteRT cannot run the float model.
        """
        layers = layers_of(self.original.main, self.plan.graphs[0].ops)
        wanted = {layer.op.name for layer in layers if layer.is_measurable}
        if not wanted <= set(self.moments):
            report, count = self.stage_progress(f"input moments of {len(wanted)} layers"), itertools.count(1)
            found = collect_moments(
                self.original, self.plan, self.fitting(), progress=lambda: report(next(count), 0)
            )
            self.moments.update(found)
        return self.moments

    def layer_means(self, most: int | None = None) -> dict[str, Vector]:
        """Return the mean input of every layer of the plan, taken from the moments where they are collected.

        Args:
            most: samples that are read at most; None for all.

        Returns:
            Layer name → mean, (K,), or (channels, K) for depthwise.
        """
        layers = layers_of(self.original.main, self.plan.graphs[0].ops)
        if all(layer.op.name in self.input_means for layer in layers):
            return self.input_means
        if all(layer.op.name in self.moments for layer in layers):
            return {la.op.name: self.moments[la.op.name].mean()[..., :-1, -1] for la in layers}
        report, count = self.stage_progress(f"input means of {len(layers)} layers"), itertools.count(1)
        found = collect_means(
            self.original,
            self.plan,
            itertools.islice(self.fitting(), most),
            progress=lambda: report(next(count), 0),
        )
        self.input_means = {name: means.mean() for name, means in found.items()}
        return self.input_means

    def adopt(self, model: Model) -> None:
        """Replace the float model by another of the same function; ranges and plan are made anew.

        Raises:
            TightfitError: LiteRT cannot run the model, or no plan can be made for it.
        """
        report, count = self.stage_progress("ranges of the changed model"), itertools.count(1)
        detailed = any(seen.detailed for graph in self.ranges.statistics for seen in graph.values())
        seen = calibrate(model, self.samples(), detailed=detailed, progress=lambda: report(next(count), 0))
        self.original = self.model = model
        self.ranges = Ranges([seen.statistics], self.ranges.observers)
        for key, limits in self.known.items():
            for dtype in self.ranges.observers:
                self.ranges.set(0, key, dtype, limits)
        self.input_means = {}
        self.moments = {}  # a new dict: other candidates may share the old one
        self.plan = make_plan(model, self.plan.scheme, self.ranges, overrides=self.overrides)
