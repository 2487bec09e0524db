"""Refuses the weights of a Keras file that read other files, or declare far more than they store.

An HDF5 file may hold links to other files, data sets whose values lie in other files, virtual ones that are
put together from others, and shapes without bounds; the zip archive of a ``.keras`` may name members outside
of itself and expand without bound. Keras writes none of these. What is refused here never reaches Keras.
"""

from __future__ import annotations

import io
import math
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from tightfit.errors import ModelError, printable

_MOST_NODES: Final = 200_000
_MOST_RATIO: Final = 1100  # DEFLATE, the filter of HDF5 and zip, gives at most 1032 bytes for one
_FREE_BYTES: Final = 1 << 20  # what may be declared without being stored


def check_archive(path: Path) -> None:
    """Checks the members of a ``.keras`` archive, and the weights in it.

    Raises:
        ModelError: names what no Keras file holds.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _check_member(info, path.name)
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                with archive.open(info) as member:
                    _check_h5(io.BytesIO(member.read()), path.name)
            elif info.filename.endswith(".npz"):
                with archive.open(info) as member:
                    _check_npz(io.BytesIO(member.read()), path.name)


def check_h5(path: Path) -> None:
    """Checks an ``.h5`` file.

    Raises:
        ModelError: names what no Keras file holds.
    """
    with path.open("rb") as file:
        _check_h5(file, path.name)


def _check_member(info: zipfile.ZipInfo, file: str) -> None:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise _refusal(
            file, f"the member '{printable(info.filename, 60)}', which lies outside of the archive"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise _refusal(file, f"the member '{printable(info.filename, 60)}', which is a link")
    if info.file_size > _FREE_BYTES + _MOST_RATIO * info.compress_size:
        raise _refusal(
            file, f"the member '{printable(info.filename, 60)}' of {info.file_size:,} bytes in a few"
        )


def _check_h5(file: IO[bytes], name: str) -> None:
    import h5py  # type: ignore[import-untyped] # noqa: PLC0415 - comes with Keras

    with h5py.File(file, "r") as root:
        waiting, seen = [root], 0
        while waiting:
            group = waiting.pop()
            for key in group:
                seen += 1
                if seen > _MOST_NODES:
                    raise _refusal(name, f"more than {_MOST_NODES:,} entries")
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise _refusal(name, f"'{printable(key, 60)}', a link to another place or file")
                node = group[key]
                if isinstance(node, h5py.Group):
                    waiting.append(node)
                elif isinstance(node, h5py.Dataset):
                    _check_dataset(node, name)


def _check_dataset(node: Any, name: str) -> None:
    what = f"'{printable(node.name, 60)}'"
    if node.is_virtual:
        raise _refusal(name, f"{what}, put together from other files")
    if node.external:
        raise _refusal(name, f"{what}, whose values lie in another file")
    declared = math.prod(int(n) for n in node.shape or (0,)) * int(node.dtype.itemsize)
    if declared > _FREE_BYTES + _MOST_RATIO * int(node.id.get_storage_size()):
        raise _refusal(name, f"{what}, which declares {declared:,} bytes and stores a few")


def _check_npz(file: IO[bytes], name: str) -> None:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            _check_member(info, name)


def _refusal(file: str, found: str) -> ModelError:
    return ModelError(
        f"'{file}' has {found}; Keras writes no such file. Save the model again with model.save()."
    )
