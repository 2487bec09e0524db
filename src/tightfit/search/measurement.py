"""Everything that is measured about one file: accuracy, latency, memory, sizes, error per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tightfit.diagnosis.explain.layer_error import layer_errors
from tightfit.errors import TightfitError
from tightfit.evaluation.accuracy import THREADS, Accuracy, evaluate
from tightfit.evaluation.early_stopping import Limit
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.metrics.metric import NUMBER, SHARE
from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.evaluation.parallel_runs import Runnable
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.pipeline.source import Source
from tightfit.search.candidates.candidate import Candidate, Interval, LayerError
from tightfit.search.effort import find_effort
from tightfit.search.job import Job
from tightfit.search.journal import file_sha256
from tightfit.search.recorded_answers import Recording
from tightfit.search.search_samples import SearchSamples
from tightfit.types import Array
from tightfit.units import format_count

ERROR_SAMPLES: Final = 4


class Measurer:
    """Measures files against one float model on one list of samples.

    Args:
        job: its metric, its threads for latency and its effort.
    """

    def __init__(self, source: Source, samples: SearchSamples, job: Job) -> None:
        self.source, self.job = source, job
        self.effort = find_effort(job.effort)
        self.dataset, self.evaluating = samples.dataset, samples.evaluating
        self.recording = Recording(source.path, THREADS)
        self.slices = slices_of(source.model, job.slices)
        self.metrics = job.metrics()
        self.notes: list[str] = []
        self._main = ""
        self._reference: Array | None = None

    def accuracy(self, candidate: Candidate, path: Path, progress: Callable[[int, int], None]) -> Candidate:
        """Return it with accuracy, drop, agreement and signal-to-noise beside the recorded float answers."""
        models: list[Runnable] = [self.recording.open]
        if not candidate.is_original:
            models.append(path)
        results = evaluate(
            models,
            self.dataset,
            self.evaluating,
            metric=self.metrics,
            progress=progress,
            limit=self.limit(),
            slices=self.slices,
        )
        return self.take(candidate, results[-1])

    def take(self, candidate: Candidate, result: Accuracy) -> Candidate:
        """Return it with what an evaluation found; that of the original is what others are compared with."""
        self.notes = list(result.notes)
        found = replace(
            candidate,
            failure=result.failure,
            metric=result.metric,
            accuracy=result.value,
            agreement=result.agreement,
            snr_db=result.snr_db,
            outputs=[output.to_dict() for output in result.outputs],
            metrics={name: score.to_dict() for name, score in result.metrics.items()},
        )
        if candidate.is_original:
            self._reference, self._main = result.scores, result.metric
            return replace(found, drop=0.0, drop_interval=(0.0, 0.0))
        interval = _interval(result.drop_low, result.drop_high) or candidate.drop_interval
        found = replace(found, drop=result.drop, drop_interval=interval)
        if result.failure is not None or result.n >= len(self.evaluating):
            return found
        return replace(found, scored_samples=result.n).with_step(
            f"accuracy: of {format_count(result.n, 'sample')} only, as the other "
            f"{len(self.evaluating) - result.n:,} cannot bring it within the budget"
        )

    def limit(self) -> Limit | None:
        """With little effort, what surely loses too much is not measured to the end."""
        allowed = self.job.budget.max_drop
        if not self.effort.stops_early or self.job.recipes or allowed is None or self._reference is None:
            return None
        row = find_metric(self._main.partition("@")[0])
        if row is None or row.unit not in (SHARE, NUMBER):
            return None
        return Limit(allowed, self._reference)

    def sizes(self, candidate: Candidate, path: Path, *, layers: bool = True) -> Candidate:
        """Return it with sizes, and with the error per layer if asked."""
        sizes = footprint(path)
        found = replace(
            candidate,
            size_bytes=sizes.size_bytes,
            compressed_bytes={"zip": sizes.zip_bytes, "zstd": sizes.zstd_bytes},
            sha256=file_sha256(path),
        )
        return self.layers(found, path) if layers else found

    def latency(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return candidates with their latency, interleaved with the float model's, and their memory."""
        others = [c for c in candidates if not c.is_original]
        files = [self.source.path, *(self.job.output / (c.path or "") for c in others)]
        found = compare_latency(
            files,
            threads=self.job.threads,
            budget_s=self.effort.latency_seconds * len(candidates),
            precision=self.effort.latency_precision,
        )
        return self.take_latency(candidates, found)

    def take_latency(self, candidates: Sequence[Candidate], found: Sequence[Latency]) -> list[Candidate]:
        """Return candidates with latencies: first that of the float model, then those of the others."""
        others = iter(found[1:])
        return [_timed(c, found[0] if c.is_original else next(others)) for c in candidates]

    def layers(self, candidate: Candidate, path: Path) -> Candidate:
        """Return it with the error per layer, or with the reason why that could not be measured."""
        if candidate.is_original or candidate.failure is not None:
            return candidate
        samples = self.dataset.samples(self.evaluating[:ERROR_SAMPLES])
        try:
            errors = layer_errors(self.source.model, path, samples)
        except TightfitError as error:
            return candidate.with_step(f"the error per layer could not be measured: {error}")
        return replace(candidate, layer_error=[LayerError(e.name, e.kind, e.snr_db) for e in errors])

    def close(self) -> None:
        """Drops the recording."""
        self.recording.close()


def _timed(candidate: Candidate, latency: Latency) -> Candidate:
    return replace(
        candidate,
        failure=latency.reason,
        latency_ms=latency.median_ms,
        latency_ratio=latency.ratio,
        peak_memory_bytes=latency.peak_memory_bytes,
        latency_percentiles=dict(latency.percentiles_ms),
        latency_interval=_interval(latency.ratio_low, latency.ratio_high) or candidate.latency_interval,
    )


def _interval(low: float | None, high: float | None) -> Interval | None:
    return None if low is None or high is None else (low, high)
