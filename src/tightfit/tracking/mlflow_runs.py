"""Records as runs of MLflow: one for the result, one within it for each candidate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError
from tightfit.tracking.records import Record

_NEEDED: Final = "Logging to MLflow needs mlflow: pip install 'tightfit[mlflow]'."
_ALLOWED: Final = "MLFLOW_ALLOW_FILE_STORE"


def log_mlflow(record: Record, experiment: str, uri: str | None) -> str:
    """Write a record and return the identifier of its run.

    Args:
        record: the result.
        experiment: name of the experiment; it is made where there is none.
        uri: tracking server, database or folder; None for what MLflow is set to.

    Raises:
        OptionError: mlflow is not installed, or the server or store cannot be used.
    """
    try:
        import mlflow  # noqa: PLC0415 - an extra
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - the same
    except ImportError as error:
        raise OptionError(_NEEDED) from error
    if uri is not None and _is_folder(uri):
        os.environ.setdefault(_ALLOWED, "true")  # MLflow 3.7 refuses folders that nobody asked for
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if found is None else found.experiment_id
        return _log(client, number, record, None)
    except (MlflowException, OSError) as error:
        said = str(error).partition("\n")[0][:300]
        raise OptionError(f"MLflow refused the run: {said} Give another tracking_uri.") from error


def _is_folder(uri: str) -> bool:
    return uri.startswith("file:") or "://" not in uri


def _log(client: Any, experiment: str, record: Record, parent: str | None) -> str:
    """Write one run and those within it."""
    tags = {} if parent is None else {"mlflow.parentRunId": parent}
    run = client.create_run(experiment, run_name=record.name, tags=tags)
    number: str = run.info.run_id
    try:
        for name, text in record.params.items():
            client.log_param(number, name, text)
        for name, value in record.metrics.items():
            client.log_metric(number, name, value)
        for step, row in enumerate(record.history):
            for name, value in row.items():
                client.log_metric(number, name, value, step=step)
        for file in record.files:
            client.log_artifact(number, str(Path(file)))
        if record.text:
            client.log_text(number, record.text, "candidates.md")
        for part in record.parts:
            _log(client, experiment, part, number)
    except BaseException:
        client.set_terminated(number, status="FAILED")
        raise
    client.set_terminated(number)
    return number
