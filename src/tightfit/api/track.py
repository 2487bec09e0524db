"""Log a result to MLflow or TensorBoard."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tightfit.api.results.finetune_result import FinetuneResult
from tightfit.errors import OptionError
from tightfit.kinds import Pathlike
from tightfit.report.report import Report, read_report
from tightfit.result import Result
from tightfit.spoken import verb
from tightfit.tracking.mlflow_runs import log_mlflow
from tightfit.tracking.records import Record, numbers_of, report_record, words_of
from tightfit.tracking.tensorboard_events import log_tensorboard

_NOTHING: Final = "Received no tracker; expected --mlflow EXPERIMENT, --tensorboard DIR, or both."


@dataclass(frozen=True, repr=False)
class Tracked(Result):
    """Where a result was logged.

    Args:
        name: of the run.
        mlflow_run: identifier of MLflow's run, or None.
        tensorboard: folder of the event files, or None.
    """

    name: str
    mlflow_run: str | None = None
    tensorboard: Path | None = None

    @property
    def path(self) -> Path | None:
        """The folder of the event files."""
        return self.tensorboard

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()


@verb()
def track(
    result: Report | FinetuneResult | Pathlike,
    *,
    mlflow: str | None = None,
    tracking_uri: str | None = None,
    tensorboard: Pathlike | None = None,
    name: str | None = None,
) -> Tracked:
    """Log a search or a training: parameters, metrics, every candidate, each epoch, and the files.

    Args:
        result: of ``optimize`` or ``finetune``; a report.json, or the folder of one.
        mlflow: name of the MLflow experiment; each candidate is a run within the run of the search.
        tracking_uri: MLflow's server, database or folder; None for what MLflow is set to.
        tensorboard: folder for event files; candidates are in the HParams view.
        name: of the run; None for the model's name and the date.

    Returns:
        Where it was logged.

    Raises:
        OptionError: no tracker is named, its package is not installed, or it refuses the run.
        DataError: the file is no report.

    Example:
        ``tightfit.track("out/report.json", mlflow="mobile")``
    """
    if mlflow is None and tensorboard is None:
        raise OptionError(_NOTHING)
    record = _record(result, name)
    run = None if mlflow is None else log_mlflow(record, mlflow, tracking_uri)
    place = None if tensorboard is None else log_tensorboard(record, Path(tensorboard))
    return Tracked(record.name, run, place)


def _record(result: Report | FinetuneResult | Pathlike, name: str | None) -> Record:
    now = dt.datetime.now(dt.UTC)
    if isinstance(result, FinetuneResult):
        return _training_record(result, name or f"{result.path.stem} {now:%Y-%m-%d %H:%M:%S}")
    if not isinstance(result, Report):
        path = Path(result) / "report.json" if Path(result).is_dir() else Path(result)
        result = replace(read_report(path), folder=str(path.parent))
    made = (result.created or now.isoformat())[:19].replace("T", " ")
    return report_record(result, name or f"{result.model.get('name') or 'model'} {made}")


def _training_record(result: FinetuneResult, name: str) -> Record:
    """A training: the metrics of the file and of the float model, and each epoch."""
    measured: dict[str, object] = {f"file_{k}": s.value for k, s in result.accuracy.metrics.items()}
    measured |= {f"float_{k}": s.value for k, s in result.original.metrics.items()}
    measured |= {"size_bytes": result.footprint.size_bytes, "zeros": result.zeros, "values": result.values}
    params = words_of({"backend": result.backend, "metric": result.accuracy.metric, "file": result.path.name})
    history = [numbers_of(row) for row in result.history]
    files = [result.path] if result.path.is_file() else []
    return Record(name, params, numbers_of(measured), history, files, "\n\n".join(result.notes))
