"""Keras 2 configs in Keras 3's words, as a table; half precision policies become float32.

Keras 2 wrote arguments that mean nothing or that Keras 3 calls otherwise. A row drops or replaces one of them
where its value changes nothing; where it does, the file is left as it is and Keras refuses it.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tightfit.conversion.keras.safe_files import config_nodes, read_config

_RECURRENT: Final = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional")
_SEPARABLE: Final = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_HALF: Final = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")

_NEUTRAL: Final[dict[str, tuple[tuple[str, ...], tuple[Any, ...]]]] = {
    "time_major": (_RECURRENT, (False, None)),
    "implementation": (_RECURRENT, (0, 1, 2)),
    "groups": (_SEPARABLE, (1,)),
    "ragged": (("InputLayer",), (False, None)),
    "fused": (("BatchNormalization",), (None, True, False)),
    "virtual_batch_size": (("BatchNormalization",), (None,)),
    "adjustment": (("BatchNormalization",), (None,)),
    "renorm": (("BatchNormalization",), (False, None)),
    "renorm_clipping": (("BatchNormalization",), (None,)),
    "renorm_momentum": (("BatchNormalization",), (None, 0.99)),
    "trainable_axes": (("BatchNormalization",), (None,)),
}
"""Argument → the layers that no longer take it, and the values that mean nothing."""


def migrate(config: Any) -> bool:
    """Rewrite a config in place as Keras 3 takes it.

    Returns:
        True when something changed.

    Example:
        >>> config = {"class_name": "DepthwiseConv2D", "config": {"groups": 1, "dtype": "mixed_float16"}}
        >>> migrate(config), config["config"]
        (True, {'dtype': 'float32'})
    """
    before = json.dumps(config, sort_keys=True)
    for node in config_nodes(config):
        own = node.get("config")
        if isinstance(own, dict):
            for rule in _RULES:
                rule(str(node["class_name"]), own)
    return json.dumps(config, sort_keys=True) != before


def _drop_neutral(kind: str, own: dict[str, Any]) -> None:
    for name, (kinds, values) in _NEUTRAL.items():
        if kind in kinds and name in own and own[name] in values and not _takes(kind, name):
            del own[name]


def _takes(kind: str, name: str) -> bool:
    """True when the layer of this version of Keras has the argument."""
    import keras  # noqa: PLC0415 - loaded by the caller

    return name in inspect.signature(getattr(keras.layers, kind).__init__).parameters


def _one_axis(kind: str, own: dict[str, Any]) -> None:
    axis = own.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        own["axis"] = axis[0]


def _full_precision(kind: str, own: dict[str, Any]) -> None:
    del kind
    policy = own.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    if name in _HALF:
        own["dtype"] = "float32"


_RULES: Final[tuple[Callable[[str, dict[str, Any]], None], ...]] = (_drop_neutral, _one_axis, _full_precision)


@contextlib.contextmanager
def migrated(path: Path) -> Iterator[Path]:
    """Yield the file, or a copy of it for the block whose config Keras 3 takes; the file is never changed."""
    config = read_config(path)
    if not migrate(config):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tightfit-keras-") as folder:
        copy = Path(folder) / path.name
        (_copy_zip if path.suffix == ".keras" else _copy_h5)(path, copy, json.dumps(config))
        yield copy


def _copy_h5(path: Path, copy: Path, config: str) -> None:
    import h5py  # type: ignore[import-untyped] # noqa: PLC0415 - comes with Keras

    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = config


def _copy_zip(path: Path, copy: Path, config: str) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            if entry.filename == "config.json":
                new.writestr(entry.filename, config)
                continue
            with old.open(entry) as source, new.open(entry.filename, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)


def writer_version(path: Path) -> str | None:
    """Return the version of Keras that wrote a file, None where the file does not say it."""
    with contextlib.suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        import h5py  # noqa: PLC0415 - comes with Keras

        with h5py.File(path, "r") as file:
            version = file.attrs["keras_version"]
            return version.decode() if isinstance(version, bytes) else str(version)
    return None
