"""The recoveries in the one order in which they must run, one row each.

What moves weights comes after what chooses their type, and biases are fitted to the weights that stay.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tightfit.errors import OptionError, unknown_name
from tightfit.graph.ir import Array, Model
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.quantization.ranges import Ranges
from tightfit.recovery.bias_correction import correct_fast, correct_in_sequence
from tightfit.recovery.layers import collect_moments, layers_of
from tightfit.recovery.learned import round_with_data
from tightfit.recovery.mixed_precision import widen
from tightfit.recovery.moments import Moments
from tightfit.recovery.sensitivity import measure_sensitivities

Progress = Callable[[str, int, int], None]

SENSITIVITY_SAMPLES: Final = 24
SPARE_SHARE: Final = 0.179
"""Up to this share of the float file, mixed precision spends bytes when no size is asked for."""


@dataclass
class Work:
    """A model on its way through the recoveries.

    Args:
        original: the float model. plan: made for it with ``ranges``.
        samples: starts the calibration samples anew at each call.
        float_bytes: size of the float file. size_bytes: the most that the result may have, None for
            ``SPARE_SHARE`` of it.
        overrides: those that ``plan`` was made with.
        moments: layer name → second moments; filled when a step needs them, and worth keeping.
        progress: hears what is done, how much of how many.
        model: the weights as they are so far. notes: what each step did.
    """

    original: Model
    plan: Plan
    ranges: Ranges
    samples: Callable[[], Iterator[Mapping[str, Array]]]
    float_bytes: int
    size_bytes: int | None = None
    overrides: Overrides = ()
    moments: dict[str, Moments] = field(default_factory=dict)
    progress: Progress | None = None
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

    def seen(self) -> dict[str, Moments]:
        """The moments of every layer of the plan, collected once."""
        wanted = {layer.op.name for layer in layers_of(self.original.main, self.plan.graphs[0].ops)}
        if not wanted <= set(self.moments):
            report, count = self.tell(f"what {len(wanted)} layers see"), itertools.count(1)
            found = collect_moments(
                self.original, self.plan, self.samples(), progress=lambda: report(next(count), 0)
            )
            self.moments.update(found)
        return self.moments


def mixed_precision(work: Work) -> None:
    """Stores the layers whose few-bit weights cost most in eight bits, as far as the bytes go."""
    chosen = [dict(s) for s, _ in zip(work.samples(), range(SENSITIVITY_SAMPLES), strict=False)]
    moments, report = work.seen(), work.tell("sensitivity of each layer")
    found = measure_sensitivities(work.original, work.plan, moments, chosen, progress=report)
    limit = work.size_bytes or int(SPARE_SHARE * work.float_bytes)
    spare = limit - len(serialize(apply_plan(work.original, work.plan)))
    assignment = widen(found, spare)
    work.notes.append(assignment.summary())
    if assignment.wider:
        overrides = [*work.overrides, *assignment.overrides("int8")]
        work.plan = make_plan(work.original, work.plan.scheme, work.ranges, overrides=overrides)


def rounding(work: Work) -> None:
    """Rounds every layer's weights with data, biases included (``learned.round_with_data``)."""
    work.model, work.plan = round_with_data(work.original, work.plan, work.seen())
    work.notes.append("weights rounded with data")


def bias_correction(work: Work) -> None:
    """Fits biases to the mean error of each layer's own weights (``bias_correction.correct_fast``)."""
    work.model = correct_fast(work.original, work.model, work.plan, work.seen())
    work.notes.append("biases corrected for the weights' mean error")


def bias_sequence(work: Work) -> None:
    """Fits biases to the mean error of each layer and those before it, measured on LiteRT."""
    work.model = correct_in_sequence(
        work.original,
        work.model,
        work.plan,
        work.seen(),
        work.samples,
        progress=work.tell("biases, layer by layer"),
    )
    work.notes.append("biases corrected layer by layer on the device's inputs")


STEPS: Final[dict[str, Callable[[Work], None]]] = {
    "mixed-precision": mixed_precision,
    "rounding": rounding,
    "bias-correction": bias_correction,
    "bias-sequence": bias_sequence,
}


def recover(work: Work, steps: Sequence[str]) -> Work:
    """Runs the named steps in their legal order; the work holds the model, the plan and the notes.

    Raises:
        OptionError: a step is unknown; the closest one is named.
    """
    for name in steps:
        if name not in STEPS:
            raise OptionError(unknown_name("recovery", name, STEPS))
    for name, step in STEPS.items():
        if name in steps:
            step(work)
    return work
