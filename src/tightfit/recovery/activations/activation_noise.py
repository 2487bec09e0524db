"""Measure the output noise of each int8 activation on LiteRT, with few samples.

    noise(S) = mean over the samples of |y − y_S|² / |y|²

``y_S`` are the outputs with the set S of activations rounded (see ``switchable_rounding``) and float
everywhere else. Noise is nearly additive, so a set with little noise need not be split: the noisiest set is
halved until the noise of the remaining sets is small against the allowed noise.

Departure from one run for each op: a few dozen runs find the few activations that matter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.errors import DataError
from tightfit.recovery.activations.switchable_rounding import Edge, SwitchableRounding
from tightfit.recovery.output_noise import Inputs, sample_noise
from tightfit.types import Array

MOST_RUNS: Final = 240
"""Most sets that are measured."""

_FINE: Final = 0.02
"""Sets below this fraction of the allowed noise are not split."""


NoiseOf = Callable[[Sequence[Sequence[Array]], Sequence[Sequence[Array]]], float]
"""(float outputs, others), each a list of outputs a sample → noise."""


@dataclass(frozen=True)
class EdgeNoise:
    """The output noise of rounding one input of one op to int8.

    Args:
        edge: the input.
        noise: noise as a fraction of the outputs' power.
    """

    edge: Edge
    noise: float


def measure_activations(
    gates: SwitchableRounding,
    samples: Sequence[Inputs],
    allowed: float,
    *,
    most_runs: int = MOST_RUNS,
    noise_of: NoiseOf = sample_noise,
    progress: Callable[[int, int], None] | None = None,
) -> list[EdgeNoise]:
    """Return the noise of every edge, in order; the edges of a set that is not split share its noise equally.

    Args:
        gates: the model with switchable rounding.
        samples: 4 to 8 samples, kept in memory.
        allowed: noise that a plan may have, as a fraction of the outputs' power.
        most_runs: largest number of sets that are measured.
        noise_of: (float outputs, outputs with roundings) → noise.
        progress: progress callback, called with (sets measured, most sets).

    Raises:
        DataError: there is no sample.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    if not samples:
        raise DataError("There is no sample to measure activations with; give about 8.")
    noise = [0.0] * len(gates.edges)
    with gates.open() as session:
        wanted = list(gates.answers(session, samples))

        def of(chosen: range) -> float:
            return noise_of(wanted, list(gates.answers(session, samples, chosen)))

        every = range(len(noise))
        sets = [(-of(every), every.start, every.stop)] if noise else []
        runs, ready = 1, []
        while sets:
            cost, start, stop = heapq.heappop(sets)
            quiet = -cost < _FINE * allowed
            if stop - start == 1 or quiet or runs >= most_runs:
                ready.append((cost, start, stop))
                continue
            middle = (start + stop) // 2
            for half in (range(start, middle), range(middle, stop)):
                heapq.heappush(sets, (-of(half), half.start, half.stop))
                runs += 1
            if progress is not None:
                progress(runs, most_runs)
    for cost, start, stop in ready:
        noise[start:stop] = [-cost / (stop - start)] * (stop - start)
    return [EdgeNoise(e, n) for e, n in zip(gates.edges, noise, strict=True)]
