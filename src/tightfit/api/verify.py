"""The verbs ``verify`` and ``diff``: does a file still answer as it did, and in what do two files differ."""

from __future__ import annotations

from pathlib import Path

from tightfit.api.model_inputs import Pathlike, model_inputs
from tightfit.data.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.difference import FileDifference, difference
from tightfit.provenance.replay import Replay, replay


def verify(model: Pathlike, data: str | None = None, *, image: ImageOptions | None = None) -> Replay:
    """Replays the probes that travel inside a file on this machine's LiteRT.

    Args:
        data: to be told whether the file was made with it.

    Raises:
        ModelError: the file cannot be read or carries no provenance. RuntimeFailureError: it does not run.
    """
    if data is None:
        return replay(model)
    return replay(model, fingerprint=open_data(data, image=image, inputs=model_inputs(model)).fingerprint())


def diff(
    first: Pathlike,
    second: Pathlike,
    data: str | None = None,
    *,
    image: ImageOptions | None = None,
    limit: int = 100,
) -> FileDifference:
    """Compares two files: ends, ops, storage, weights, sizes, and answers on samples or seeded noise.

    Raises:
        ModelError: a file cannot be read. DataError: the data does not fit the first.
    """
    if data is None:
        return difference(Path(first), Path(second))
    dataset = open_data(data, image=image, inputs=model_inputs(first))
    indices = None
    if limit < len(dataset):
        indices, _ = split(dataset.labels(), len(dataset), limit, overlap=True)
    return difference(Path(first), Path(second), dataset.samples(indices))
