"""``verify``, ``sign`` and ``diff``: replay recorded outputs, sign a file, and compare two files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import model_inputs
from tightfit.conversion.formats import require_tflite
from tightfit.conversion.open_model import open_model
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.difference import difference
from tightfit.diagnosis.file_difference import FileDifference
from tightfit.errors import OptionError
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.provenance.replay import Replay, replay
from tightfit.provenance.signature import is_signed_by
from tightfit.provenance.signature import sign as sign_file
from tightfit.runtime.emulator import emulator_of
from tightfit.spoken import verb


@verb()
def verify(
    model: Pathlike,
    data: DataLike | None = None,
    *,
    image: Image = None,
    key: Pathlike | None = None,
    on: str | None = None,
) -> Replay:
    """Replay the probes inside a file on this machine's LiteRT and compare with the recorded outputs.

    Args:
        model: the file.
        data: data to compare with the data that the file was made with.
        image: preprocessing of images.
        key: a public key (PEM), to check whether the file is signed by it and unchanged.
        on: ``arm`` or ``arm:CORE`` replays on an emulated core instead of on this computer.

    Returns:
        how far the outputs are from the recorded ones, and whether data and signature match.

    Raises:
        ModelError: the file cannot be read or has no provenance.
        RuntimeFailureError: LiteRT cannot run the file.
        OptionError: the key cannot be used, or no emulator is found.

    Example:
        ``tightfit.verify("model.tflite", data="samples.npz")``
    """
    require_tflite(model, "verify")
    _refuse_lone_image(data, image)
    emulator = None if on is None else emulator_of(on)
    signed = None if key is None else is_signed_by(model, key)
    fingerprint = None
    if data is not None:
        dataset = open_data(data, image=image_options(image), inputs=model_inputs(model))
        next(iter(dataset.samples([0])))  # it fits the model
        fingerprint = dataset.fingerprint()
    return replace(replay(model, fingerprint=fingerprint, on=emulator), signature_matches=signed)


@verb()
def sign(model: Pathlike, output: Pathlike, key: Pathlike) -> Path:
    """Write a signed copy of a file and return its path; see ``provenance.signature``.

    Args:
        model: the file; it is not changed.
        output: the file to write.
        key: a private Ed25519 key (PEM).

    Returns:
        the path of the signed file.

    Raises:
        OptionError: the key cannot be used.
        ModelError: the file cannot be read or written.

    Example:
        ``tightfit.sign("model.tflite", "signed.tflite", "private.pem")``
    """
    require_tflite(model, "sign")
    check_paths({"model": model, "key": key}, {"The output": output})
    return sign_file(model, output, key)


@verb()
def diff(
    first: ModelLike,
    second: ModelLike,
    data: DataLike | None = None,
    *,
    image: Image = None,
    limit: int = 100,
) -> FileDifference:
    """Compare two files: inputs and outputs, ops, storage, weights, sizes, and results.

    Args:
        first: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        second: another one.
        data: samples to compare the results on; None for seeded noise.
        image: preprocessing of images.
        limit: most samples.

    Returns:
        what differs in ops, tensors, sizes and outputs.

    Raises:
        ModelError: a file cannot be read.
        DataError: the data does not fit the first.

    Example:
        ``tightfit.diff("old.tflite", "new.tflite")``
    """
    _refuse_lone_image(data, image)
    one, other = open_model(first), open_model(second)
    if data is None:
        return difference(one, other)
    dataset = open_data(data, image=image_options(image), inputs=model_inputs(one))
    indices = None
    if limit < len(dataset):
        indices, _ = split(dataset.labels(), len(dataset), limit, overlap=True)
    return difference(one, other, dataset.samples(indices))


def _refuse_lone_image(data: DataLike | None, image: Image) -> None:
    """Refuses preprocessing without data that it could be for."""
    if data is None and image_options(image) is not None:
        raise OptionError("Received --image without data; expected the pictures that it prepares. Give both.")
