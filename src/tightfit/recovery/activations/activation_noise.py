"""How much of the outputs each activation costs in int8, measured on LiteRT with few samples.

    noise(S) = mean over the samples of |y − y_S|² / |y|²

where ``y_S`` are the outputs with the roundings S (see ``gates``) and float everywhere else. Noise of
roundings nearly adds up, so a set that costs next to nothing need not be taken apart: the noisiest set is
halved until what is left in sets is small beside what is allowed.

Departure from a list of one run an op: a few dozen runs find the handful of activations that matter.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.errors import DataError
from tightfit.recovery.activations.switchable_rounding import Edge, SwitchableRounding
from tightfit.recovery.output_noise import Inputs, sample_noise

MOST_RUNS: Final = 240
"""Sets measured at most."""

_FINE: Final = 0.02
"""Sets below this share of the allowed noise are not taken apart."""


@dataclass(frozen=True)
class EdgeNoise:
    """What storing one value in int8 on its way into one op costs: a share of the outputs' power."""

    edge: Edge
    noise: float


def measure_activations(
    gates: SwitchableRounding,
    samples: Sequence[Inputs],
    allowed: float,
    *,
    most_runs: int = MOST_RUNS,
    progress: Callable[[int, int], None] | None = None,
) -> list[EdgeNoise]:
    """Gives the noise of every gate, in order; those of one quiet set share its noise equally.

    Args:
        gates: the gated model. samples: kept in memory; 4 to 8 do.
        allowed: the noise that a plan may have, as a share of the outputs' power.
        most_runs: sets that are measured at most.

    Raises:
        DataError: there is no sample. RuntimeFailureError: LiteRT cannot run the model.
    """
    if not samples:
        raise DataError("Measuring activations takes samples; give about 8.")
    noise = [0.0] * len(gates.edges)
    with gates.open() as session:
        wanted = list(gates.answers(session, samples))

        def of(chosen: range) -> float:
            return sample_noise(wanted, list(gates.answers(session, samples, chosen)))

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
