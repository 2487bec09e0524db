"""The verbs ``verify`` and ``diff``: does a file still answer as it did, and in what do two files differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tightfit.api.model_inputs import Pathlike, model_inputs
from tightfit.data.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.difference import FileDifference, difference
from tightfit.paths import check_paths
from tightfit.provenance.replay import Replay, replay
from tightfit.provenance.signature import is_signed_by
from tightfit.provenance.signature import sign as sign_file


def verify(
    model: Pathlike,
    data: str | None = None,
    *,
    image: ImageOptions | None = None,
    key: Pathlike | None = None,
) -> Replay:
    """Replays the probes that travel inside a file on this machine's LiteRT.

    Args:
        model: the file.
        data: to be told whether the file was made with it.
        image: how images become arrays.
        key: a public key (PEM), to be told whether the file is signed by it and unchanged.

    Raises:
        ModelError: the file cannot be read or carries no provenance. RuntimeFailureError: it does not run.
        OptionError: the key cannot be used.
    """
    signed = None if key is None else is_signed_by(model, key)
    fingerprint = None
    if data is not None:
        fingerprint = open_data(data, image=image, inputs=model_inputs(model)).fingerprint()
    return replace(replay(model, fingerprint=fingerprint), signature_matches=signed)


def sign(model: Pathlike, output: Pathlike, key: Pathlike) -> Path:
    """Writes a signed copy of a file and gives its path; see ``provenance.signature``.

    Args:
        model: the file, left as it is.
        output: the file to write.
        key: a private Ed25519 key (PEM).

    Raises:
        OptionError: the key cannot be used. ModelError: the file cannot be read or written.
    """
    check_paths({"model": model, "key": key}, {"The output": output})
    return sign_file(model, output, key)


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
