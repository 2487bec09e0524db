"""Opens what a DATA argument names: an ``.npz``, a folder of images, a manifest, or ``module:function``.

Each kind of data is a file of its own; here is only the choice between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tightfit.data.array_roles import chosen_arrays, default_arrays
from tightfit.data.dataset import Dataset, DataSource
from tightfit.data.function_source import FunctionData
from tightfit.data.image_files import ImageFile, ImageFiles, folder_images
from tightfit.data.image_options import ImageOptions, missing_options
from tightfit.data.manifest import JsonArrays, manifest_images
from tightfit.data.sample import InputSpec, Sample, TensorLike
from tightfit.data.user_code import load_function
from tightfit.errors import DataError

__all__ = ["Dataset", "ImageOptions", "InputSpec", "Sample", "open_data"]

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")
_EXPECTED = "Expected an .npz file, a folder of images, a .csv or .jsonl manifest, or module:function"


def open_data(
    spec: str, *, image: ImageOptions | None = None, inputs: Sequence[TensorLike], outputs: Sequence[str] = ()
) -> Dataset:
    """The samples that a DATA argument names, checked against the model's inputs as they are read.

    Args:
        spec: ``photos/``, ``set.npz``, ``set.npz:x_test,y_test``, ``list.csv``, ``list.jsonl`` or
            ``module:function``.
        image: how images become arrays; needed for images only.
        inputs: the model's inputs: ``InputSpec``, or what else has its fields, such as a session's inputs.
        outputs: names of the model's outputs, which labels may have; without them only unnamed labels are
            read.

    Raises:
        DataError: when it is missing, empty, not understood, or needs image options.
    """
    specs = tuple(InputSpec.of(each) for each in inputs)
    try:
        return Dataset(_source(spec, image, specs, tuple(outputs)), specs)
    except OSError as error:
        raise DataError(f"The data '{spec}' cannot be read: {error}.") from error


def _source(
    spec: str, image: ImageOptions | None, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...]
) -> DataSource:
    path = Path(spec)
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
        return FunctionData(spec, function, inputs)
    raise DataError(f"The data '{spec}' does not exist. {_EXPECTED}.")


def _file(
    path: Path, image: ImageOptions | None, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...]
) -> DataSource:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return default_arrays(path, [s.name for s in inputs], outputs)
    if suffix not in (".csv", ".jsonl"):
        raise DataError(f"The data '{path.name}' is a {suffix or 'nameless'} file. {_EXPECTED}.")
    files = manifest_images(path, outputs)
    names = [name for name in outputs if name not in {s.name for s in inputs}]
    return JsonArrays(path, names) if files is None else _images(path.name, files, image, inputs)


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
