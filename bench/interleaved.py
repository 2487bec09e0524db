"""Latency of several models relative to the first, measured in turns: a busy machine hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tightfit.runtime.session import Session

_RUNS, _WARMUP = 5, 2


def latency_ratios(paths: Sequence[Path], rounds: int = 5, threads: int = 1) -> list[float]:
    """Gives for each model its median call over the first model's, median over the rounds."""
    ratios: list[list[float]] = [[] for _ in paths]
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(path, threads=threads)) for path in paths]
        for _ in range(rounds):
            times = [statistics.median(session.time(_RUNS, _WARMUP)) for session in sessions]
            for of_model, time_ms in zip(ratios, times, strict=True):
                of_model.append(time_ms / times[0])
    return [statistics.median(of_model) for of_model in ratios]
