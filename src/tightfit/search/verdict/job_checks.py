"""Checks a job before anything is opened, and says which outputs no label belongs to."""

from __future__ import annotations

from tightfit.errors import OptionError, unknown_name
from tightfit.evaluation.task import Tasks
from tightfit.quantization.calibration.observers import find_observer
from tightfit.quantization.layouts import LAYOUTS
from tightfit.search.candidates.recipes import find_recipes
from tightfit.search.candidates.target_policy import refuse_unknown
from tightfit.search.effort import find_effort
from tightfit.search.job import Job


def check_job(job: Job) -> None:
    """Checks every option of a job; nothing is opened for it.

    Raises:
        OptionError: an option has a value that it does not take.
    """
    refuse_unknown(job.budget)
    find_recipes(job.recipes)
    find_effort(job.effort)
    if job.layout is not None and job.layout not in LAYOUTS:
        raise OptionError(unknown_name("layout", job.layout, LAYOUTS))
    if job.observer is not None:
        find_observer(job.observer)
    for name in ("calibration", "threads"):
        if getattr(job, name) < 1:
            raise OptionError(f"{name} is {getattr(job, name)}; expected 1 or more.")
    job.metrics()


def unlabelled_note(tasks: Tasks) -> list[str]:
    """Return a note on outputs without labels where others have some."""
    left = tasks.unlabelled
    if not left or not tasks.reading.heads:
        return []
    listed = ", ".join(f"'{name}'" for name in left)
    return [
        f"No labels belong to {'the output' if len(left) == 1 else 'the outputs'} {listed}: "
        f"{'it is' if len(left) == 1 else 'they are'} only compared with the original's."
    ]
