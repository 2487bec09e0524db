"""``tightfit track``: a search in MLflow or TensorBoard."""

from __future__ import annotations

from pathlib import Path

import click

from tightfit.api.track import track as run_track
from tightfit.cli.options.shared_options import json_option
from tightfit.plain_values import json_text


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--mlflow", metavar="EXPERIMENT", help="MLflow experiment; candidates are runs within the run.")
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow's server, database or folder, as sqlite:///mlflow.db; by default what MLflow is set to.",
)
@click.option("--tensorboard", type=click.Path(path_type=Path), help="Folder for event files of TensorBoard.")
@click.option("--name", metavar="NAME", help="Name of the run; by default the model's name and the date.")
@json_option
def track(
    report: Path,
    mlflow: str | None,
    tracking_uri: str | None,
    tensorboard: Path | None,
    name: str | None,
    *,
    as_json: bool,
) -> int:
    """Log the search of REPORT to MLflow or TensorBoard: parameters, metrics, candidates, files.

    REPORT is a folder of 'optimize' or a report.json.
    """
    found = run_track(report, mlflow=mlflow, tracking_uri=tracking_uri, tensorboard=tensorboard, name=name)
    if as_json:
        click.echo(json_text(found.to_dict()))
        return 0
    if found.mlflow_run is not None:
        click.echo(f"MLflow run {found.mlflow_run} ({found.name})")
    if found.tensorboard is not None:
        click.echo(f"{found.tensorboard}: tensorboard --logdir {tensorboard}")
    return 0
