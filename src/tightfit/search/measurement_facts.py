"""All that the measurements of a search depend on: a journal of other facts is not used."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from tightfit import __version__
from tightfit.search.job import Job
from tightfit.search.journal import file_sha256
from tightfit.search.search_samples import SearchSamples


def measurement_facts(job: Job, samples: SearchSamples) -> dict[str, Any]:
    """Return fingerprints of model and data, versions and settings, as plain data."""
    return {
        "model": file_sha256(job.model),
        "data": [samples.dataset.fingerprint(), samples.calibration_set.fingerprint()],
        "versions": [version("ai-edge-litert"), __version__],
        "settings": [
            str(job.image),
            job.calibration,
            job.evaluation,
            job.seed,
            _metrics(job),
            job.threads,
        ],
        "layout": [job.layout, job.observer, job.provenance, str(job.slices)],
        "target": [job.budget.target, job.budget.target_memory, job.budget.min_accelerated],
    }


def _metrics(job: Job) -> str:
    """The metrics as they are spelled, with their options."""
    return "; ".join(f"{w.key} {dict(w.options) or ''}".strip() for w in job.metrics())
