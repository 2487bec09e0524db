"""``tightfit cluster``: weights that share few values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tightfit.api.cluster import cluster as run_cluster
from tightfit.api.progress.terminal_bars import Bars, Stages
from tightfit.cli.options.shared_options import data_options
from tightfit.cli.options.weight_options import centroid_options, compressed_file_options, compression_options
from tightfit.cli.terminal.compression_view import show_compression
from tightfit.compression.clustering import Clusters


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=False, by_signature=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .tflite to write.")
@click.option("--clusters", required=True, type=int, help="Number of centroids, 2 to 256.")
@centroid_options
@compressed_file_options
def cluster(model: Path, output: Path, as_json: bool, **options: Any) -> int:
    """Cluster the weights of MODEL: each layer uses a few distinct values, so the file compresses well."""
    wanted = Clusters(options["clusters"], options["per"], options["initial"])
    with Bars(quiet=as_json) as bars:
        return show_compression(
            run_cluster(model, output, wanted, compression_options(options), Stages(bars)),
            model,
            as_json=as_json,
        )
