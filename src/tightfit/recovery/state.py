"""A model on its way through the recoveries: the graph, its plan, and what samples showed of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Model
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.collect_moments import collect_means, collect_moments
from tightfit.quantization.calibration.layers import layers_of
from tightfit.quantization.calibration.moments import Moments
from tightfit.quantization.calibration.observers import Range
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.types import Array, Stage

Vector = npt.NDArray[np.float64]

SPARE_SHARE: Final = 0.179
"""Up to this share of the float file, mixed precision spends bytes when no size is asked for."""


LEAST_NOISE: Final = 0.01
"""1 % of the power is a cosine of 0.995 between vectors: what mixed activations aim at when not told."""


@dataclass
class RecoveryState:
    """A model on its way through the recoveries.

    Args:
        original: the float model. plan: made for it with ``ranges``.
        samples: starts the calibration samples anew at each call.
        float_bytes: size of the float file. size_bytes: the most that the result may have, None for
            ``SPARE_SHARE`` of it.
        noise: the most that mixed activations may cost, as a share of the outputs' power.
        overrides: those that ``plan`` was made with.
        known: tensor key → the range that a step found integers to need, whatever calibration saw.
        moments: layer name → second moments; filled when a step needs them, and worth keeping.
        held_out: the samples (0 for the first) that weights and biases are not fitted to, as they judge.
        progress: hears what is done, how much of how many.
        folder: where long steps keep what they finished, to go on when they were stopped; None for nowhere.
        model: the weights as they are so far. notes: what each step did.
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
    held_out: frozenset[int] = frozenset()
    progress: Stage | None = None
    folder: Path | None = None
    model: Model = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = self.original

    def tell(self, what: str) -> Callable[[int, int], None]:
        """Gives what a step calls with (done, total)."""

        def report(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(what, done, total)

        return report

    def fitting(self) -> Iterator[Mapping[str, Array]]:
        """Start the samples anew without those that are held out."""
        return (sample for i, sample in enumerate(self.samples()) if i not in self.held_out)

    def seen(self) -> dict[str, Moments]:
        """The moments of every layer of the plan, collected once."""
        layers = layers_of(self.original.main, self.plan.graphs[0].ops)
        wanted = {layer.op.name for layer in layers if layer.is_measurable}
        if not wanted <= set(self.moments):
            report, count = self.tell(f"what {len(wanted)} layers see"), itertools.count(1)
            found = collect_moments(
                self.original, self.plan, self.fitting(), progress=lambda: report(next(count), 0)
            )
            self.moments.update(found)
        return self.moments

    def means(self) -> dict[str, Vector]:
        """The mean input of every layer of the plan: of the moments, where they are known.

        Returns:
            layer name → (K,), or (channels, K) for depthwise.
        """
        layers = layers_of(self.original.main, self.plan.graphs[0].ops)
        if all(layer.op.name in self.moments for layer in layers):
            return {la.op.name: self.moments[la.op.name].mean()[..., :-1, -1] for la in layers}
        report, count = self.tell(f"means of what {len(layers)} layers see"), itertools.count(1)
        found = collect_means(
            self.original, self.plan, self.fitting(), progress=lambda: report(next(count), 0)
        )
        return {name: means.mean() for name, means in found.items()}

    def adopt(self, model: Model) -> None:
        """Goes on with another float model of the same function: ranges and plan are made anew.

        Raises:
            TightfitError: LiteRT cannot run it, or it cannot be planned.
        """
        report, count = self.tell("ranges of the changed model"), itertools.count(1)
        seen = calibrate(
            model, self.samples(), detailed=self.ranges.detailed, progress=lambda: report(next(count), 0)
        )
        self.original = self.model = model
        self.ranges = Ranges([seen.statistics], self.ranges.observers)
        for key, limits in self.known.items():
            for dtype in self.ranges.observers:
                self.ranges.set(0, key, dtype, limits)
        self.moments = {}  # not cleared: the old ones may serve other candidates
        self.plan = make_plan(model, self.plan.scheme, self.ranges, overrides=self.overrides)
