"""Everything that is measured about one file: accuracy, latency, memory, sizes, error per layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tightfit.data.dataset import Dataset
from tightfit.data.split import Indices
from tightfit.errors import TightfitError
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.lanes import Runnable
from tightfit.evaluation.latency import compare_latency
from tightfit.evaluation.layer_error import layer_errors
from tightfit.quantization.pipeline import Source
from tightfit.quantization.plan import EXACT, INTEGER, Plan
from tightfit.search.candidates import Candidate, FloatOp, LayerError, PlanSummary
from tightfit.search.job import Job
from tightfit.search.journal import file_sha256
from tightfit.search.recorded import Recording

LATENCY_SECONDS: Final = {"quick": 2.0, "normal": 4.0, "thorough": 4.0}
"""Effort → time for the latency of a file: half of it makes the interval 1.4 times as wide."""

ERROR_SAMPLES: Final = 4
ACCURACY_THREADS: Final = 2


class Bench:
    """Measures files against one float model on one list of samples.

    Args:
        job: its metric, its threads for latency and its effort.
    """

    def __init__(self, source: Source, dataset: Dataset, evaluating: Indices, job: Job) -> None:
        self.source = source
        self.dataset = dataset
        self.evaluating = evaluating
        self.job = job
        self.recording = Recording(source.path, ACCURACY_THREADS)

    def accuracy(self, candidate: Candidate, path: Path, progress: Callable[[int, int], None]) -> None:
        """Fills accuracy, drop, agreement and signal-to-noise beside the recorded float answers."""
        models: list[Runnable] = [self.recording.open]
        if not candidate.is_original:
            models.append(path)
        results = evaluate(
            models,
            self.dataset,
            self.evaluating,
            metric=self.job.metric,
            threads=ACCURACY_THREADS,
            progress=progress,
        )
        result = results[-1]
        candidate.failure = result.failure
        candidate.metric, candidate.accuracy = result.metric, result.value
        candidate.agreement = result.agreement
        candidate.snr_db = result.snr_db
        if candidate.is_original:
            candidate.drop, candidate.drop_interval = 0.0, (0.0, 0.0)
            return
        candidate.drop = result.drop
        if result.drop_low is not None and result.drop_high is not None:
            candidate.drop_interval = (result.drop_low, result.drop_high)

    def costs(self, candidate: Candidate, path: Path, *, layers: bool = True) -> None:
        """Fills sizes, latency beside the float model, memory and the error per layer, if asked."""
        sizes = footprint(path)
        candidate.size_bytes = sizes.size_bytes
        candidate.compressed_bytes = {"zip": sizes.zip_bytes, "zstd": sizes.zstd_bytes}
        candidate.sha256 = file_sha256(path)
        self._latency(candidate, path)
        if layers:
            self.layers(candidate, path)

    def _latency(self, candidate: Candidate, path: Path) -> None:
        models = [self.source.path] if candidate.is_original else [self.source.path, path]
        seconds = LATENCY_SECONDS[self.job.effort]
        latency = compare_latency(models, threads=self.job.threads, budget_s=seconds)[-1]
        candidate.failure = latency.reason
        candidate.latency_ms, candidate.latency_ratio = latency.median_ms, latency.ratio
        candidate.peak_memory_bytes = latency.peak_memory_bytes
        if latency.ratio_low is not None and latency.ratio_high is not None:
            candidate.latency_interval = (latency.ratio_low, latency.ratio_high)

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


def summarize(plan: Plan) -> PlanSummary:
    """Gives how many ops of a plan run on integers and in float, and the refused ones with reasons."""
    ops = [op for op in plan.ops() if op.mode != EXACT]
    integer = sum(op.mode == INTEGER for op in ops)
    left = [FloatOp(op.name, op.kind, op.reason) for op in plan.refusals()]
    return PlanSummary(integer, len(ops) - integer, left)
