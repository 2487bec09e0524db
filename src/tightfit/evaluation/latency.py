"""Latency of several models, interleaved, so that a busy moment of the machine hits all of them alike.

Each round runs every model once, in an order drawn by lot; a ratio is formed within a round. The
processes are started anew twice in between, because where one's memory happens to lie shifts all its timings
by a percent or two (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", ISMM). Medians are
reported, because timings are skewed (Hoefler and Belli 2015, "Scientific benchmarking of parallel computing
systems", SC).
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tightfit.errors import TightfitError
from tightfit.evaluation.machine import available_memory_bytes
from tightfit.runtime.child.child_process import prepare
from tightfit.runtime.session import Session

CONFIDENCE = 0.95
PERCENTILES = (5, 25, 50, 75, 90, 95, 99)
_FEWEST_ROUNDS = 6  # below, no order statistics enclose the median with 95 % confidence
_BURST_MS = 5.0
_LONG_MS = 500.0
_OPENINGS = 3
_LONGEST_BURST = 50
_CHILD_BYTES = 60_000_000
_GROWTH = 6  # float weights unpacked from int8 ones, and XNNPACK's packed copy of them


@dataclass(frozen=True)
class Latency:
    """The latency of a model, and its ratio to the first model of the same comparison.

    Args:
        median_ms: over the rounds; None when the model could not run.
        low_ms: the first quartile over the rounds.
        high_ms: the third quartile.
        ratio: median of the rounds' ratios to the first model, or None when one of the two could not run.
        ratio_low: the lower end of the ratio's 95 % interval, see ``median_interval``.
        ratio_high: its upper end.
        runs: timed invocations.
        threads: CPU threads LiteRT had.
        peak_memory_bytes: the most that the process which ran it held, Python and LiteRT included.
        reason: why the model could not run, or None.
        percentiles_ms: percentile, such as ``"95"``, → ms, over all timed invocations; see ``PERCENTILES``.
    """

    median_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    runs: int = 0
    threads: int = 1
    peak_memory_bytes: int | None = None
    reason: str | None = None
    percentiles_ms: dict[str, float] = field(default_factory=dict)


class Timed(Protocol):
    """What is timed: a ``runtime.Session``, or a session elsewhere."""

    def time(self, runs: int, warmup: int = 0) -> list[float]: ...  # noqa: D102 - see Session

    @property
    def peak_memory_bytes(self) -> int | None: ...  # noqa: D102 - see Session

    def close(self) -> None: ...  # noqa: D102 - see Session


Opens = Callable[[str | Path, int], Timed]
"""Opens a model with a number of threads."""


def compare_latency(  # noqa: PLR0913 - the options of one measurement
    models: Sequence[str | Path],
    *,
    threads: int = 1,
    warmup: int = 3,
    rounds: int = 30,
    budget_s: float = 30.0,
    precision: float = 0.0,
    opens: Opens | None = None,
) -> list[Latency]:
    """Return the latency of each model; ratios are to the first.

    Inputs are random. A model that is refused or dies gets a reason, and the others go on. When not all fit
    into memory together, each is measured in turn together with the first.

    Args:
        models: paths of ``.tflite`` files.
        threads: CPU threads for LiteRT.
        warmup: invocations before the first round, untimed.
        rounds: how many at most. A fast model runs several times a round, which then counts their median.
        budget_s: no round starts after this time, but six rounds are always made.
        precision: once every ratio's interval is narrower than this share of it, no process is started anew.
        opens: opens a model; None for LiteRT on this computer's CPU.
    """
    tracks = [_Track(model, threads, opens) for model in models]
    groups = _groups(tracks)
    for group in groups:
        _measure(group, warmup, rounds, _End(budget_s / len(groups), precision))
    return [track.latency() for track in tracks]


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Distribution-free interval of the median: the order statistics j and n+1-j.

    j is the largest with ``P(Binomial(n, 1/2) < j) <= (1 - confidence) / 2``, and at least 1: fewer than
    six values give their extremes, with less confidence than asked for.

    Example:
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
        (2.0, 8.0)

    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    n, ordered = len(values), sorted(values)
    below, j = 1.0, 0
    while j < n // 2 and below <= (1 - confidence) / 2 * 2.0**n:
        j += 1
        below += math.comb(n, j)
    j = max(j, 1)
    return ordered[j - 1], ordered[n - j]


def _open(model: str | Path, threads: int) -> Session:
    return Session(model, threads=threads)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the ``PERCENTILES`` of values, linear between two order statistics.

    Example:
        >>> percentiles([1.0, 2.0, 3.0])["50"]
        2.0
    """
    found = np.percentile(values, PERCENTILES)
    return {str(name): float(value) for name, value in zip(PERCENTILES, found, strict=True)}


class _Track:
    """One model's session while it is open, and what was measured: a time a round, a ratio a shared round."""

    def __init__(self, model: str | Path, threads: int, opens: Opens | None = None) -> None:
        self.model = model
        self.threads = threads
        self.opens: Opens = opens or _open
        self.is_here = opens is None
        self.times_ms: list[float] = []
        self.calls_ms: list[float] = []
        self.ratios: list[float] = []
        self.runs = 0
        self.reason: str | None = None
        self.peak_memory_bytes: int | None = None
        self._session: Timed | None = None
        self._burst = 1
        self._refill = 1

    def open(self, warmup: int) -> None:
        """Loads the model, unless it failed before, and finds how many invocations a round takes."""
        if self.reason is not None:
            return
        with self._noted():
            self._session = self.opens(self.model, self.threads)
            first = self._session.time(max(1, warmup))[-1]
            self._burst = min(_LONGEST_BURST, max(1, math.ceil(_BURST_MS / max(first, 1e-6))))
            # The first call after another model's finds its weights out of the caches; that takes a few
            # milliseconds, so a long call does not need the extra one.
            self._refill = 1 if first < _LONG_MS else 0

    def round_ms(self) -> float | None:
        """The median of this round's burst, or None once the model could not run."""
        if self._session is None:
            return None
        with self._noted():
            burst = self._session.time(self._burst, warmup=self._refill)
            self.runs += len(burst)
            self.calls_ms += burst
            self.times_ms.append(statistics.median(burst))
            return self.times_ms[-1]
        return None

    def close(self) -> None:
        """Ends the session, after its memory was read."""
        if self._session is not None:
            with contextlib.suppress(TightfitError):
                self.peak_memory_bytes = self._session.peak_memory_bytes
            self._session.close()
        self._session = None

    def uncertainty(self) -> float:
        """The width of the ratio's interval ÷ the ratio; 0 for a model that does not run."""
        if self.reason is not None or not self.ratios:
            return 0.0
        low, high = median_interval(self.ratios)
        return (high - low) / statistics.median(self.ratios)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Turns a refusal or a crash into the reason, and ends the session."""
        try:
            yield
        except TightfitError as error:
            self.reason = str(error)
            self.close()

    def latency(self) -> Latency:
        """The summary of the rounds."""
        if self.reason is not None or not self.times_ms:
            return Latency(threads=self.threads, runs=self.runs, reason=self.reason)
        low, median, high = np.quantile(self.times_ms, [0.25, 0.5, 0.75])
        timed = Latency(
            float(median),
            float(low),
            float(high),
            runs=self.runs,
            threads=self.threads,
            peak_memory_bytes=self.peak_memory_bytes,
            percentiles_ms=percentiles(self.calls_ms),
        )
        if not self.ratios:
            return timed
        ratio_low, ratio_high = median_interval(self.ratios)
        ratio = statistics.median(self.ratios)
        return replace(timed, ratio=ratio, ratio_low=ratio_low, ratio_high=ratio_high)


class _End:
    """When enough was measured, and six rounds are over.

    Args:
        budget_s: seconds from now.
        precision: see ``compare_latency``.
    """

    def __init__(self, budget_s: float, precision: float) -> None:
        self._deadline, self._precision = time.monotonic() + budget_s, precision

    def is_due(self, rounds: int) -> bool:
        """True when no other round should start."""
        return rounds >= _FEWEST_ROUNDS and time.monotonic() > self._deadline

    def is_sure(self, tracks: Sequence[_Track]) -> bool:
        """True when the ratios are as precise as asked for."""
        return all(track.uncertainty() < self._precision for track in tracks[1:])


def _measure(tracks: Sequence[_Track], warmup: int, rounds: int, end: _End) -> None:
    """Runs the rounds, in fresh processes every third of them; ratios refer to the first track."""
    share = math.ceil(rounds / _OPENINGS)
    order = np.random.default_rng(0)
    for start in range(0, rounds, share):
        if end.is_due(start) or (start >= _FEWEST_ROUNDS and end.is_sure(tracks)):
            break
        try:
            prepare(
                sum(track.reason is None and track.is_here for track in tracks)
            )  # they start side by side
            for track in tracks:
                track.open(warmup)
            for number in range(start, min(start + share, rounds)):
                if end.is_due(number):
                    break
                _run_round(tracks, order.permutation(len(tracks)).tolist())
        finally:
            for track in tracks:
                track.close()


def _run_round(tracks: Sequence[_Track], order: Sequence[int]) -> None:
    times = {id(tracks[i]): tracks[i].round_ms() for i in order}
    base = times[id(tracks[0])]
    for track in tracks:
        own = times[id(track)]
        if own is not None and base:
            track.ratios.append(own / base)


def _groups(tracks: Sequence[_Track]) -> list[list[_Track]]:
    """All tracks together when they fit into half of the free memory, else each with the first."""
    sizes = [Path(t.model).stat().st_size if Path(t.model).is_file() else 0 for t in tracks]
    need = sum(_CHILD_BYTES + _GROWTH * size for size in sizes)
    if len(tracks) <= 2 or need <= available_memory_bytes() / 2:
        return [list(tracks)] if tracks else []
    return [[tracks[0], track] for track in tracks[1:]]
