"""Opens what a DATA argument names: an ``.npz``, a folder of images, a manifest, or ``module:function``.

Each kind of data is a file of its own; here is only the choice between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tightfit.data.arrays import NpzArrays, array_names
from tightfit.data.dataset import Dataset, DataSource
from tightfit.data.function_source import FunctionData
from tightfit.data.image_files import ImageFile, ImageFiles, folder_images
from tightfit.data.image_options import ImageOptions, missing_options
from tightfit.data.manifest import JsonArrays, manifest_images
from tightfit.data.sample import InputSpec, Sample, TensorLike
from tightfit.data.user_code import load_function
from tightfit.errors import DataError, unknown_name

__all__ = ["Dataset", "ImageOptions", "InputSpec", "Sample", "open_data"]

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
_EXPECTED = (
    "Expected an .npz file, an .npy file, a folder of images, a .csv or .jsonl manifest, or module:function"
)


def open_data(spec: str, *, image: ImageOptions | None = None, inputs: Sequence[TensorLike]) -> Dataset:
    """The samples that a DATA argument names, checked against the model's inputs as they are read.

    Args:
        spec: ``photos/``, ``set.npz``, ``set.npz:x_test,y_test``, ``list.csv``, ``list.jsonl`` or
            ``module:function``.
        image: how images become arrays; needed for images only.
        inputs: the model's inputs: ``InputSpec``, or what else has its fields, such as a session's inputs.

    Raises:
        DataError: when it is missing, empty, not understood, or needs image options.
    """
    specs = tuple(InputSpec.of(each) for each in inputs)
    try:
        return Dataset(_source(spec, image, specs), specs)
    except OSError as error:
        raise DataError(f"The data '{spec}' cannot be read: {error}.") from error


def _source(spec: str, image: ImageOptions | None, inputs: tuple[InputSpec, ...]) -> DataSource:
    path = Path(spec)
    if path.is_dir():
        return _images(path.resolve().name, folder_images(path), image, inputs)
    if path.is_file():
        return _file(path, image, inputs)
    file, colon, names = spec.rpartition(":")
    if colon and file.lower().endswith(".npz"):
        if not Path(file).is_file():
            raise DataError(f"The data file '{file}' does not exist. {_EXPECTED}.")
        return _chosen_arrays(Path(file), names.split(","), inputs)
    if colon and Path(file).is_file():
        raise DataError(f"Only .npz files hold arrays to choose from; '{file}' takes no ':{names}'.")
    if _FUNCTION.fullmatch(spec):
        function = load_function(spec, "a function that returns an iterable of samples")
        return FunctionData(spec, function, inputs)
    raise DataError(f"The data '{spec}' does not exist. {_EXPECTED}.")


def _file(path: Path, image: ImageOptions | None, inputs: tuple[InputSpec, ...]) -> DataSource:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _default_arrays(path, inputs)
    if suffix == ".npy":
        return _single_array(path, inputs)
    if suffix not in (".csv", ".jsonl"):
        raise DataError(f"The data '{path.name}' is a {suffix or 'nameless'} file. {_EXPECTED}.")
    files = manifest_images(path)
    return JsonArrays(path) if files is None else _images(path.name, files, image, inputs)


def _single_array(path: Path, inputs: tuple[InputSpec, ...]) -> FunctionData:
    """One array of samples without labels; rows are read when they are wanted."""
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(
            f"'{path.name}' holds no array of numbers ({error}). Write one with numpy.save."
        ) from error
    if rows.ndim < 1 or len(inputs) != 1:
        raise DataError(
            f"'{path.name}' holds one array of shape {list(rows.shape)}, but the model has {len(inputs)} "
            "input(s), each with one array of samples. Pass an .npz file with an array for each."
        )
    return FunctionData(path.name, lambda: (np.array(row) for row in rows), inputs)


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


def _default_arrays(path: Path, inputs: tuple[InputSpec, ...]) -> NpzArrays:
    """Arrays named as the inputs (or ``x`` for the only one), and ``y`` for labels when there is one."""
    held = array_names(path)
    names = [spec.name for spec in inputs]
    label = "y" if "y" in held and "y" not in names else None
    if set(names) <= set(held):
        return NpzArrays(path, {name: name for name in names}, label)
    if len(names) == 1 and "x" in held:
        return NpzArrays(path, {names[0]: "x"}, label)
    expected = f"'x' or '{names[0]}'" if len(names) == 1 else ", ".join(f"'{name}'" for name in names)
    raise DataError(
        f"'{path.name}' holds the arrays {', '.join(held) or 'none'}. Expected {expected} and, for labels, "
        f"'y'; or choose arrays, as in {path.name}:x_test,y_test."
    )


def _chosen_arrays(path: Path, names: list[str], inputs: tuple[InputSpec, ...]) -> NpzArrays:
    """The arrays that the user listed: the inputs, then perhaps the labels."""
    held = array_names(path)
    for name in names:
        if name not in held:
            raise DataError(unknown_name(f"array in '{path.name}'", name, held))
    wanted = [spec.name for spec in inputs]
    if len(wanted) == 1 and len(names) <= 2:
        return NpzArrays(path, {wanted[0]: names[0]}, names[1] if len(names) == 2 else None)
    rest = [name for name in names if name not in wanted]
    if len(wanted) == 1 or not set(wanted) <= set(names) or len(rest) > 1:
        raise DataError(
            f"{len(names)} arrays of '{path.name}' were chosen: {', '.join(names)}. Expected the model's "
            f"inputs ({', '.join(wanted)}) and at most one array of labels."
        )
    return NpzArrays(path, {name: name for name in wanted}, rest[0] if rest else None)
