"""Opens what a DATA argument names: an ``.npz``, a folder of images, a manifest, or ``module:function``.

Each kind of data is a file of its own; here is only the choice between them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.data.array_roles import chosen_arrays, default_arrays
from tightfit.data.dataset import Dataset, DataSource
from tightfit.data.divided_inputs import whole_inputs
from tightfit.data.function_source import FunctionData
from tightfit.data.images.image_files import ImageFile, ImageFiles, folder_images
from tightfit.data.images.image_options import ImageOptions, missing_options
from tightfit.data.keras_order import by_name
from tightfit.data.manifest import JsonArrays, manifest_images
from tightfit.data.npz_members import DAMAGE
from tightfit.data.python_objects import is_python_object, restartable
from tightfit.data.sample import InputSpec, Sample, TensorLike
from tightfit.data.tables import parquet_blocks, tar_blocks
from tightfit.data.tables.ray_blocks import RayBlocks, is_ray_dataset
from tightfit.data.tables.row_source import RowBlocks, RowSource
from tightfit.data.tables.tar_blocks import tar_files
from tightfit.data.user_code import load_function
from tightfit.errors import DataError, OptionError, first_line
from tightfit.plugins import entries, load_entry
from tightfit.types import Array

__all__ = [
    "Dataset",
    "ImageOptions",
    "InputSpec",
    "Sample",
    "check_data",
    "open_data",
    "open_part",
    "refuse_unused",
]

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
_EXPECTED = (
    "Expected an .npz file, an .npy file, a folder of images, a .csv or .jsonl manifest, .parquet files, "
    "tars of samples, or module:function"
)
_SINGLE: Final = frozenset({".npz", ".npy", ".csv", ".jsonl"})
_TABLES: Final[dict[str, Callable[[str, list[Path]], RowBlocks]]] = {
    parquet_blocks.SUFFIX: parquet_blocks.ParquetBlocks,
    tar_blocks.SUFFIX: tar_blocks.TarBlocks,
}


def open_data(
    spec: Any, *, image: ImageOptions | None = None, inputs: Sequence[TensorLike], outputs: Sequence[str] = ()
) -> Dataset:
    """Return the samples that a DATA argument names or is, checked against the model's inputs.

    Args:
        spec: see ``open_part``.
        image: how images become arrays; needed for images only.
        inputs: the model's inputs.
        outputs: names of the model's outputs, which labels may have.

    Raises:
        DataError: it is missing, empty, not understood, or needs image options.
        OptionError: it has image options and no images.
    """
    dataset = open_part(spec, image=image, inputs=inputs, outputs=outputs)
    refuse_unused(image, [dataset])
    return dataset


def check_data(*specs: object) -> None:
    """Refuse data that names nothing on disk, before a model is converted for it; objects are left alone.

    Args:
        specs: as ``open_data`` takes them, or None.

    Raises:
        DataError: names the data that is not there.

    Example:
        >>> check_data(None, "package.module:function")
    """
    for spec in specs:
        text = os.fspath(spec) if isinstance(spec, str | os.PathLike) else None
        if text == "":
            raise DataError(f"Received '' as the data. {_EXPECTED}.")
        if isinstance(text, str) and not _FUNCTION.fullmatch(text) and _is_nothing(text):
            raise DataError(f"The data '{text}' does not exist. {_EXPECTED}.")
        if isinstance(text, str) and Path(text).is_file():
            _check_kind(Path(text))


def _check_kind(path: Path) -> None:
    """Refuse a file of no kind that holds samples.

    Raises:
        DataError: says which kinds there are.
    """
    suffix = path.suffix.lower()
    if suffix not in _SINGLE and suffix not in _TABLES and suffix[1:] not in entries("data"):
        raise DataError(f"The data '{path.name}' is a {suffix or 'nameless'} file. {_EXPECTED}.")


def _is_nothing(spec: str) -> bool:
    """True for what is neither a file or folder, nor tars, nor arrays of a file."""
    try:
        several = tar_files(spec) != [Path(spec)]
        found = several or Path(spec).exists() or Path(spec.rpartition(":")[0] or spec).is_file()
    except (OSError, ValueError):  # no name that a disk may have: opening it says so
        return False
    return not found


def refuse_unused(image: ImageOptions | None, datasets: Sequence[Dataset]) -> None:
    """Refuse image options where no set has images that they would prepare.

    Raises:
        OptionError: names the data.
    """
    if image is None or any(d.source.decodes for d in datasets):
        return
    names = " and ".join(dict.fromkeys(f"'{d.source.name}'" for d in datasets))
    raise OptionError(
        f"Received --image for {names}, which has no pictures; arrays are taken as they are. Leave --image "
        "out, or give image files."
    )


def open_part(
    spec: Any, *, image: ImageOptions | None = None, inputs: Sequence[TensorLike], outputs: Sequence[str] = ()
) -> Dataset:
    """Return the samples of one of several DATA arguments; the image options may be for another.

    Args:
        spec: ``photos/``, ``set.npz``, ``set.npz:x_test,y_test``, ``list.csv``, ``list.jsonl``,
            ``rows.parquet``, ``train-{000..099}.tar``, a folder of these two, or ``module:function``; or an
            object, see ``python_objects``, or a ``ray.data`` dataset.
        image: how images become arrays; needed for images only.
        inputs: the model's inputs: ``InputSpec``, or what else has its fields, such as a session's inputs;
            of an input in pieces the data holds the whole.
        outputs: names of the model's outputs, which labels may have; without them only unnamed labels are
            read.

    Raises:
        DataError: when it is missing, empty, not understood, or needs image options.
    """
    takes = tuple(InputSpec.of(each) for each in inputs)
    specs = whole_inputs(takes)
    if is_ray_dataset(spec):
        return Dataset(RowSource(RayBlocks(spec), specs, tuple(outputs), image), takes)
    if isinstance(spec, RayBlocks):
        return Dataset(RowSource(spec, specs, tuple(outputs), image), takes)
    if is_python_object(spec):
        spec = by_name(spec, specs, outputs)
        name, function = restartable(spec, [s.name for s in specs], outputs)
        return Dataset(FunctionData(name, function, specs, image), takes)
    try:
        return Dataset(_source(os.fspath(spec), image, specs, tuple(outputs)), takes)
    except OSError as error:
        raise DataError(f"The data '{spec}' cannot be read: {error}.") from error


def _source(
    spec: str, image: ImageOptions | None, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...]
) -> DataSource:
    path = Path(spec)
    blocks = _blocks(spec, path)
    if blocks is not None:
        return RowSource(blocks, inputs, outputs, image)
    if path.is_dir():
        return _images(path.resolve().name, folder_images(path), image, inputs)
    if path.is_file():
        return _file(path, image, inputs, outputs)
    file, colon, names = spec.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        if not Path(file).is_file():
            raise DataError(f"The data file '{file}' does not exist. {_EXPECTED}.")
        return chosen_arrays(Path(file), names.split(","), [s.name for s in inputs])
    if colon and Path(file).is_file():
        raise DataError(f"Only .npz files hold arrays to choose from; '{file}' takes no ':{names}'.")
    if _FUNCTION.fullmatch(spec):
        function = load_function(spec, "a function that returns an iterable of samples")
        return FunctionData(spec, function, inputs, image)
    raise DataError(f"The data '{spec}' does not exist. {_EXPECTED}.")


def _blocks(spec: str, path: Path) -> RowBlocks | None:
    """Parquet files or tars: one, a folder of them, or ``name-{000..099}.tar``; None for other data."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else tar_files(spec)
    for suffix, kind in _TABLES.items():
        own = [p for p in files if p.suffix.lower() == suffix]
        if own and (path.is_dir() or len(own) == len(files)):
            absent = next((p for p in own if not p.is_file()), None)
            if absent is not None:
                raise DataError(f"The data file '{absent}' does not exist. {_EXPECTED}.")
            return kind(path.name, own)
    return None


def _file(
    path: Path, image: ImageOptions | None, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...]
) -> DataSource:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return default_arrays(path, [s.name for s in inputs], outputs)
    if suffix == ".npy":
        return _single_array(path, inputs)
    if suffix[1:] in entries("data"):
        reader = load_entry("data", suffix[1:])
        return FunctionData(path.name, lambda: reader(path), inputs)
    _check_kind(path)
    files = manifest_images(path, outputs)
    names = [name for name in outputs if name not in {s.name for s in inputs}]
    return JsonArrays(path, names) if files is None else _images(path.name, files, image, inputs)


def _single_array(path: Path, inputs: tuple[InputSpec, ...]) -> FunctionData:
    """One array of samples without labels; rows are read when they are wanted."""
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        raise DataError(
            f"'{path.name}' holds no array of numbers ({first_line(error).rstrip('.')}). Write one with "
            "numpy.save."
        ) from error
    if rows.ndim < 1 or len(inputs) != 1:
        raise DataError(
            f"'{path.name}' holds one array of shape {list(rows.shape)}, but the model has {len(inputs)} "
            "input(s), each with one array of samples. Pass an .npz file with an array for each."
        )
    if not rows.flags.c_contiguous:
        whole = np.array(rows)
        return FunctionData(path.name, lambda: iter(whole), inputs)
    layout = _Rows(path, rows.offset, rows.shape, rows.dtype)
    return FunctionData(path.name, layout.read, inputs)


@dataclass(frozen=True)
class _Rows:
    """The rows of an ``.npy`` file, one after another; a map would end this process where the file is cut."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self) -> Iterator[Array]:
        """Yield each row.

        Raises:
            DataError: the file has become shorter.
        """
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for number in range(self.shape[0]):
                data = file.read(size)
                if len(data) < size:
                    raise DataError(
                        f"'{self.path.name}' ends in row {number} of {self.shape[0]}; it was whole when "
                        "it was opened. Run the command again when the file stays as it is."
                    )
                yield np.frombuffer(data, self.dtype).reshape(self.shape[1:])


def _images(
    name: str, files: list[ImageFile], image: ImageOptions | None, inputs: tuple[InputSpec, ...]
) -> ImageFiles:
    if len(inputs) != 1:
        names = ", ".join(f"'{spec.name}'" for spec in inputs)
        raise DataError(
            f"'{name}' holds images, but the model has {len(inputs)} inputs: {names}. Pass an .npz file."
        )
    if image is None:
        raise missing_options(f"'{name}'", inputs[0])
    return ImageFiles(name, files, image.for_input(inputs[0]))
