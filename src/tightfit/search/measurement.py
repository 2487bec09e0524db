"""Everything that is measured about one file: accuracy, latency, memory, sizes, error per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tightfit.diagnosis.explain.layer_error import layer_errors
from tightfit.errors import TightfitError
from tightfit.evaluation.accuracy import THREADS, Accuracy, evaluate
from tightfit.evaluation.early_stopping import Limit
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.metrics.metric import NUMBER, SHARE
from tightfit.evaluation.metrics.table import find_metric
from tightfit.evaluation.parallel_runs import Runnable
from tightfit.evaluation.slices.files import slices_of
from tightfit.pipeline.source import Source
from tightfit.search.candidates.candidate import Candidate, LayerError
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

    def accuracy(self, candidate: Candidate, path: Path, progress: Callable[[int, int], None]) -> None:
        """Fills accuracy, drop, agreement and signal-to-noise beside the recorded float answers."""
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
        self.take(candidate, results[-1])

    def take(self, candidate: Candidate, result: Accuracy) -> None:
        """Fill in what an evaluation found; that of the original is what others are compared with."""
        candidate.failure = result.failure
        candidate.metric, candidate.accuracy = result.metric, result.value
        candidate.agreement = result.agreement
        candidate.snr_db = result.snr_db
        candidate.outputs = [output.to_dict() for output in result.outputs]
        candidate.metrics = {name: score.to_dict() for name, score in result.metrics.items()}
        self.notes = list(result.notes)
        if candidate.is_original:
            candidate.drop, candidate.drop_interval = 0.0, (0.0, 0.0)
            self._reference, self._main = result.scores, result.metric
            return
        candidate.drop = result.drop
        if result.drop_low is not None and result.drop_high is not None:
            candidate.drop_interval = (result.drop_low, result.drop_high)
        if result.failure is None and result.n < len(self.evaluating):
            candidate.scored_samples = result.n
            candidate.steps.append(
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

    def sizes(self, candidate: Candidate, path: Path, *, layers: bool = True) -> None:
        """Fills sizes, and the error per layer if asked."""
        sizes = footprint(path)
        candidate.size_bytes = sizes.size_bytes
        candidate.compressed_bytes = {"zip": sizes.zip_bytes, "zstd": sizes.zstd_bytes}
        candidate.sha256 = file_sha256(path)
        if layers:
            self.layers(candidate, path)

    def latency(self, candidates: Sequence[Candidate]) -> None:
        """Fills the latency of several candidates, interleaved with the float model's, and their memory."""
        others = [c for c in candidates if not c.is_original]
        files = [self.source.path, *(self.job.output / (c.path or "") for c in others)]
        found = compare_latency(
            files,
            threads=self.job.threads,
            budget_s=self.effort.latency_seconds * len(candidates),
            precision=self.effort.latency_precision,
        )
        self.take_latency(candidates, found)

    def take_latency(self, candidates: Sequence[Candidate], found: Sequence[Latency]) -> None:
        """Fill in the latencies of the float model, the first one, and of the other candidates in order."""
        others = [c for c in candidates if not c.is_original]
        for candidate in candidates:
            number = 0 if candidate.is_original else 1 + others.index(candidate)
            _fill(candidate, found[number])

    def layers(self, candidate: Candidate, path: Path) -> None:
        """Fills the error per layer, or says why it could not be measured."""
        if candidate.is_original or candidate.failure is not None:
            return
        samples = self.dataset.samples(self.evaluating[:ERROR_SAMPLES])
        try:
            errors = layer_errors(self.source.model, path, samples)
        except TightfitError as error:
            candidate.steps.append(f"the error per layer could not be measured: {error}")
            return
        candidate.layer_error = [LayerError(e.name, e.kind, e.snr_db) for e in errors]

    def close(self) -> None:
        """Drops the recording."""
        self.recording.close()


def _fill(candidate: Candidate, latency: Latency) -> None:
    candidate.failure = latency.reason
    candidate.latency_ms, candidate.latency_ratio = latency.median_ms, latency.ratio
    candidate.peak_memory_bytes = latency.peak_memory_bytes
    candidate.latency_percentiles = dict(latency.percentiles_ms)
    if latency.ratio_low is not None and latency.ratio_high is not None:
        candidate.latency_interval = (latency.ratio_low, latency.ratio_high)
