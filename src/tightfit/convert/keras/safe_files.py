"""What a ``.keras`` or ``.h5`` file would run when it is loaded, found before Keras sees it.

A Keras file is data, but its config may name Python code: a Lambda holds byte code, a custom class the module
that defines it. Such a file is loaded only with ``trust``. Nothing in it is ever unpickled here.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError

_LARGEST_CONFIG: Final = 2**26
_CODE_LAYERS: Final = {
    "Lambda": "holds Python byte code",
    "__lambda__": "holds Python byte code",
    "TorchModuleWrapper": "holds a pickled torch module",
    "TFSMLayer": "loads another SavedModel",
    "JaxLayer": "calls a Python function",
    "FlaxLayer": "calls a Python class",
}


def check_file(path: Path, *, trust: bool) -> None:
    """Refuses a file that would run code that is not Keras's own, unless the user trusts it.

    Raises:
        ModelError: it is no Keras file, or it names code and ``trust`` is false.
    """
    config = read_config(path)
    if trust:
        return
    for reason in _code_in(config):
        raise ModelError(
            f"'{path.name}' {reason}, which runs with your rights when it is loaded. "
            "Pass --trust to tightfit convert (trust=True) if you trust where it comes from."
        )


def modules_in(config: Any) -> list[str]:
    """Gives the modules outside of Keras that a config names, each once."""
    return list(dict.fromkeys(m for node in config_nodes(config) if (m := _foreign_module(node))))


def read_config(path: Path) -> Any:
    """Gives the architecture that a Keras file holds, as plain data.

    Raises:
        ModelError: the file is missing, damaged, or has weights only.
    """
    if not path.is_file():
        raise ModelError(f"There is no model file '{path}'; check the path.")
    try:
        config = _zip_config(path) if path.suffix == ".keras" else _h5_config(path)
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"'{path.name}' is not a whole Keras model ({error}); save it again with model.save()."
        ) from error
    return config


def _zip_config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
            raise ValueError("its config.json is larger than 64 MiB")
        return json.loads(archive.read("config.json"))


def _h5_config(path: Path) -> Any:
    import h5py  # type: ignore[import-untyped] # noqa: PLC0415 - comes with Keras

    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise ValueError("it holds weights without a model_config")
    return json.loads(text)


def _code_in(config: Any) -> Iterator[str]:
    """Why the file would run code, the first reason first; how it was compiled does not count."""
    for node in config_nodes(config):
        name = str(node["class_name"])
        if name in _CODE_LAYERS and not _foreign_module(node):
            config = node.get("config")
            layer = config.get("name") if isinstance(config, dict) else None
            title = name.strip("_").capitalize() if name == "__lambda__" else name
            yield f"has a {title} layer{f' {layer!r}' if layer else ''} that {_CODE_LAYERS[name]}"
        elif module := _foreign_module(node):
            yield f"names the class {name} of the Python module '{module}'"


def _foreign_module(node: dict[str, Any]) -> str | None:
    module = node.get("module")
    if not isinstance(module, str) or module.split(".")[0] in ("keras", "builtins"):
        return None
    return module


def config_nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object of a config."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting += [v for k, v in reversed(item.items()) if k != "compile_config"]
        elif isinstance(item, list):
            waiting += reversed(item)
