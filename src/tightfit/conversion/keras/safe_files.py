"""What a ``.keras`` or ``.h5`` file would run or read when it is loaded, found before Keras sees it.

A Keras file is data, but its config may name Python code: a Lambda holds byte code, a custom class the module
that defines it, a function any function of Keras itself, such as one that downloads. A vocabulary may be the
path or address of another file. Such a file is loaded only with ``trust``. Nothing in it is ever unpickled
here.
"""

from __future__ import annotations

import builtins
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tightfit.errors import ModelError, printable

DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    OSError,
    ValueError,
    RuntimeError,
)
_LARGEST_CONFIG: Final = 2**26
_CODE_LAYERS: Final = {
    "Lambda": "holds Python byte code",
    "__lambda__": "holds Python byte code",
    "TorchModuleWrapper": "holds a pickled torch module",
    "TFSMLayer": "loads another SavedModel",
    "JaxLayer": "calls a Python function",
    "FlaxLayer": "calls a Python class",
}
# Of Keras itself a model's config names layers, what they are configured with, and ops; nothing else.
_FUNCTION_PARTS: Final = frozenset(
    {"activations", "constraints", "initializers", "losses", "metrics", "ops", "optimizers", "regularizers"}
)
_MODEL_PARTS: Final = _FUNCTION_PARTS | {
    "dtype_policies", "engine", "layers", "models", "quantizers", "random",
}  # fmt: skip
_TOP_CLASSES: Final = frozenset({
    "DTypePolicy", "FloatDTypePolicy", "Functional", "Input", "KerasTensor", "Model", "Sequential",
    "Variable",
})  # fmt: skip
_BUILTIN_FUNCTIONS: Final = frozenset(name for name in dir(builtins) if not name.startswith("_"))
_PLAIN_FUNCTIONS: Final = frozenset({"abs", "sum", "min", "max", "round", "pow"})
_FILE_KEYS: Final = ("vocabulary", "idf_weights")


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
            "Pass --trust if you trust where it comes from."
        )


def modules_in(config: Any) -> list[str]:
    """Return the modules outside of Keras that a config names, each once."""
    return list(dict.fromkeys(m for node in config_nodes(config) if (m := _foreign_module(node))))


def read_config(path: Path) -> Any:
    """Return the architecture that a Keras file holds, as plain data.

    Raises:
        ModelError: the file is missing, damaged, or has weights only.
    """
    if not path.is_file():
        raise ModelError(f"There is no model file '{path}'; check the path.")
    try:
        config = _zip_config(path) if path.suffix == ".keras" else _h5_config(path)
    except RecursionError as error:
        raise ModelError(
            f"'{path.name}' is nested deeper than any model; check where it comes from."
        ) from error
    except (*DAMAGE, AttributeError, TypeError) as error:
        said = str(error).strip("'").rstrip(".") or type(error).__name__
        raise ModelError(
            f"'{path.name}' is not a whole Keras model ({said}); save it again with model.save()."
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"'{path.name}' has a config that is no object; save it again with model.save().")
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
    """Why the file would run or read more than itself; how it was compiled does not count."""
    for node in config_nodes(config):
        name, inner = str(node["class_name"]), node.get("config")
        if name in _CODE_LAYERS and not _foreign_module(node):
            layer = inner.get("name") if isinstance(inner, dict) else None
            title = name.strip("_").capitalize() if name == "__lambda__" else name
            yield f"has a {title} layer{f' {layer!r}' if layer else ''} that {_CODE_LAYERS[name]}"
        elif module := _foreign_module(node):
            yield f"names the class {name} of the Python module '{module}'"
        elif not _is_part_of_models(node):
            called = printable(inner if name == "function" else name, 60)
            yield f"names '{called}' of '{printable(node.get('module'), 60)}', which is no part of a model"
        elif isinstance(inner, dict) and (key := next((k for k in _FILE_KEYS if _names_file(inner, k)), "")):
            yield f"has a {name} layer whose {key} is the file '{printable(inner[key], 60)}'"


def _is_part_of_models(node: dict[str, Any]) -> bool:
    """True for a layer, an op or what configures them; False for any other class or function of Keras."""
    module, name = node.get("module"), str(node["class_name"])
    if name == "function":
        return _is_known_function(module, node.get("config"))
    if module in (None, "builtins"):
        return name not in _BUILTIN_FUNCTIONS
    if _part(module) == "" or str(module).startswith("keras.src.backend.common"):
        return name in _TOP_CLASSES
    return _part(module) in _MODEL_PARTS and name.lstrip("_").isidentifier()


def _is_known_function(module: Any, name: Any) -> bool:
    """True for an activation, a loss and the like; ``package>name`` is one that the user registered."""
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(">")):
        return False
    if module in (None, "builtins"):
        return name not in _BUILTIN_FUNCTIONS or name in _PLAIN_FUNCTIONS
    return _part(module) in _FUNCTION_PARTS


def _part(module: Any) -> str:
    """The part of Keras that a module belongs to: ``layers`` of ``keras.src.layers.core.dense``."""
    names = [name for name in str(module).split(".")[1:] if name != "src"]
    return names[0] if names else ""


def _names_file(config: dict[str, Any], key: str) -> bool:
    return isinstance(config.get(key), str) and bool(config[key])


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
