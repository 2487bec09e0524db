"""Which file belongs to which framework, and what must be installed for it. One row a format."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tightfit.errors import ModelError, OptionError


@dataclass(frozen=True)
class Format:
    """One kind of model.

    Args:
        title: what messages call it.
        module: the module of this package that exports it.
        needs: importable packages.
        extra: the extra of tightfit that installs them.
        fits: whether a path is of this kind.
        reads: options of a conversion that only some formats read.
    """

    title: str
    module: str
    needs: tuple[str, ...]
    extra: str
    fits: Callable[[Path], bool]
    reads: frozenset[str] = frozenset()

    def check_installed(self) -> None:
        """Refuses when a package is missing.

        Raises:
            OptionError: names the package and the command that installs it.
        """
        check_installed(self.title, self.needs, self.extra)


def check_installed(title: str, needs: tuple[str, ...], extra: str) -> None:
    """Refuses when a package that a route needs is missing; see ``Format.check_installed``."""
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        verb = "which is" if len(missing) == 1 else "which are"
        raise OptionError(
            f"Converting {title} needs {' and '.join(missing)}, {verb} not installed: "
            f"pip install 'tightfit[{extra}]'."
        )


def _ends(*suffixes: str) -> Callable[[Path], bool]:
    return lambda path: path.suffix.lower() in suffixes


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


_JAX: Final = ("jax", "litert_converter")

_ANY: Final = frozenset({"batch", "shapes"})

KERAS: Final = Format(
    "a Keras model", "keras.keras_export", ("keras", *_JAX), "keras", _ends(".keras", ".h5", ".hdf5"),
    _ANY | {"backend"},
)  # fmt: skip
SAVED_MODEL: Final = Format(
    "a SavedModel", "saved_model", ("tensorflow",), "tensorflow", _is_saved_model, _ANY | {"signature"}
)
ONNX: Final = Format(
    "an ONNX model", "onnx.onnx_export", ("onnx", *_JAX), "onnx", _ends(".onnx"),
    _ANY | {"channel_last", "held"},
)  # fmt: skip
TORCH: Final = Format(
    "a torch program",
    "torch_programs.torch_export",
    ("torch", "litert_torch"),
    "torch",
    _ends(".pt2"),
    _ANY | {"channel_last"},
)

FORMATS: Final = (KERAS, SAVED_MODEL, ONNX, TORCH)

_REFUSED: Final = {
    ".pt": "a pickled torch file, which runs code when it is opened",
    ".pth": "a pickled torch file, which runs code when it is opened",
    ".ckpt": "a checkpoint, which holds weights without the model",
    ".pkl": "a pickle, which runs code when it is opened",
    ".pickle": "a pickle, which runs code when it is opened",
    ".joblib": "a pickle, which runs code when it is opened",
    ".safetensors": "a file of weights without the model",
}
_CURE: Final = (
    "Load it in a function of yours and pass module:function, or save the model whole: torch.export.save to "
    ".pt2, model.save to .keras"
)


_SAMPLES: Final = frozenset({".npz", ".npy", ".csv", ".jsonl", ".parquet", ".tar"})
"""Files of samples, which a caller gave in the place of the model."""


_OTHER: Final = {
    ".json": "a JSON file, such as a report or a recipe: repeat the search of a report with --run, read it "
    "with 'tightfit compare', or give the model that it names",
    ".toml": "a TOML file, such as the run file of a search: repeat that with 'tightfit optimize --run FILE'",
    **dict.fromkeys((".html", ".htm", ".md", ".txt", ".log"), "a page of text"),
    ".py": "a Python file: give module:attribute for a model that its code makes",
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "a picture"),
    ".pem": "a key",
    **dict.fromkeys(
        (".zip", ".gz", ".bz2", ".xz", ".7z", ".rar"), "an archive: unpack it and give the model in it"
    ),
}
"""Files that are no model, and what to do with them."""


def find_format(path: Path) -> Format:
    """Return the format of a path that is no ``.tflite``.

    Raises:
        ModelError: there is no such file, or it is of no kind that can be converted.
    """
    for row in FORMATS:
        if row.fits(path) and path.exists():
            return row
    suffix = path.suffix.lower()
    if suffix in _SAMPLES:
        raise ModelError(
            f"Received the data '{path}' in the place of the model; expected a model, such as "
            "'net.tflite'. Swap the two where the model was given as the data."
        )
    if suffix in _REFUSED:
        raise ModelError(f"'{path}' is {_REFUSED[suffix]}. {_CURE}.")
    if suffix in _OTHER and path.is_file():
        raise ModelError(f"Expected a model, such as 'net.tflite'; '{path}' is {_OTHER[suffix]}.")
    known = ".tflite, .keras, .h5, .onnx, .pt2, a SavedModel folder or module:attribute"
    if not path.exists():
        raise ModelError(f"There is no model '{path}'; check the path. Expected {known}.")
    folder = "is a folder without saved_model.pb (a folder of samples is given as the data)"
    what = folder if path.is_dir() else "is of no known kind"
    raise ModelError(f"'{path}' {what}; expected {known}.")


def is_tflite(source: str | Path) -> bool:
    """True for what is read as ``.tflite``: the suffix, or any file of another, unknown suffix."""
    path = Path(source)
    known = any(row.fits(path) for row in FORMATS) or path.suffix.lower() in {*_REFUSED, *_SAMPLES, *_OTHER}
    return path.suffix.lower() == ".tflite" or (path.is_file() and not known)


def require_tflite(source: str | os.PathLike[str], what: str) -> None:
    """Refuse a file that is there and of another kind than ``.tflite``.

    Args:
        source: the path.
        what: what it is for, such as ``diff``.

    Raises:
        ModelError: says what it is, and how a model becomes a ``.tflite``.
    """
    path = Path(source)
    if not path.exists() or is_tflite(path):
        return
    title = find_format(path).title
    raise ModelError(
        f"{what} takes a .tflite; '{path}' is {title}. Convert it first: tightfit convert {path} -o "
        f"{path.stem}.tflite."
    )


def is_model_name(text: str | Path) -> bool:
    """True for the name of a model file, there or not: ``net.keras``, ``net.tflite``."""
    path = Path(text)
    return path.suffix.lower() == ".tflite" or any(row.fits(path) for row in FORMATS)


def swapped_scheme(received: str | Path) -> str:
    """Return the message for a model in the place of a scheme."""
    return (
        f"Received the model '{received}' in the place of the scheme; expected the model first, then the "
        "scheme, such as 'net.tflite' 'int8'. Swap the two."
    )


def is_spec(source: str | Path) -> bool:
    """True for ``module:attribute``: a dotted name, a colon, a dotted name, and no such file."""
    module, colon, attribute = str(source).partition(":")
    dotted = all(part.isidentifier() for name in (module, attribute) for part in name.split("."))
    return bool(colon) and dotted and not os.path.exists(source)  # noqa: PTH110 - never raises
