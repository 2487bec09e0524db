"""The part of LiteRT's C API that profiling and accelerators need, through ctypes.

Source: ``litert/c/litert_profiler_event.h``, ``litert_model_types.h``, ``litert_layout.h``, ``litert_any.h``,
``litert_environment_options.h`` and ``litert_common.h`` of LiteRT 2.3, from which the structures and numbers
are taken.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Mapping
from ctypes import c_char_p, c_int, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Final

CPU: Final = 1
GPU: Final = 2
NPU: Final = 4
LOCK_TO_READ: Final = 0
LOCK_TO_WRITE: Final = 1
KERNEL_EVENT: Final = 2
DELEGATE_EVENTS: Final = (4, 8)

COMPILER_PLUGIN_FOLDER: Final = 0
DISPATCH_FOLDER: Final = 1
RUNTIME_FOLDER: Final = 22
ELEMENT_TYPES: Final = {
    1: "float32", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float16",
    11: "float64", 16: "uint32", 17: "uint16",
}  # fmt: skip
"""``LiteRtElementType`` → NumPy's name."""

_MAX_RANK = 8
_STRING = 8  # kLiteRtAnyTypeString
_LIBRARIES = {"darwin": "libLiteRt.dylib", "win32": "libLiteRt.dll"}


class TensorLayout(ctypes.Structure):
    """``LiteRtLayout``."""

    _fields_ = (
        ("rank", c_uint32, 7),
        ("has_strides", c_uint32, 1),
        ("dimensions", c_int32 * _MAX_RANK),
        ("strides", c_uint32 * _MAX_RANK),
    )


class TensorType(ctypes.Structure):
    """``LiteRtRankedTensorType``."""

    _fields_ = (("element_type", c_int), ("layout", TensorLayout))


class ProfilerEvent(ctypes.Structure):
    """``ProfiledEventData``; ``memory`` stands for its two structures of three sizes."""

    _fields_ = (
        ("tag", c_char_p),
        ("event_type", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory", c_size_t * 6),
        ("node", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


class Text(ctypes.Structure):
    """``LiteRtAny`` that holds a text."""

    _fields_ = (("kind", c_int), ("text", c_char_p))


class EnvironmentOption(ctypes.Structure):
    """``LiteRtEnvOption`` with a text as its value."""

    _fields_ = (("tag", c_int), ("value", Text))


class LiteRt:
    """The loaded library; nothing that it creates is destroyed, the process ends soon."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_library_path()))
        self._libc = ctypes.CDLL(None)
        self._libc.strdup.restype = c_void_p

    def call(self, function: str, *arguments: Any) -> None:
        """Calls a function.

        Raises:
            RuntimeError: this version of LiteRT does not have it, or it gave a status other than 0.
        """
        try:
            status = getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise RuntimeError(f"this version of LiteRT has no {function}") from error
        if status != 0:
            raise RuntimeError(f"{function} gave status {status}")

    def new(self, function: str, *arguments: Any) -> c_void_p:
        """Return the handle that a function hands out through its last argument."""
        handle = c_void_p()
        self.call(function, *arguments, ctypes.byref(handle))
        return handle

    def environment(self, folders: Mapping[int, str]) -> c_void_p:
        """Return a new environment that looks for libraries in these folders (option tag → path)."""
        options = (EnvironmentOption * len(folders))(
            *(EnvironmentOption(tag, Text(_STRING, path.encode())) for tag, path in folders.items())
        )
        return self.new("LiteRtCreateEnvironment", c_int(len(folders)), options if folders else None)

    def opaque_options(self, identifier: str, text: str) -> c_void_p:
        """Return options of a component, written as TOML; LiteRT frees the text."""
        free = ctypes.cast(self._libc.free, c_void_p)
        payload = c_void_p(self._libc.strdup(text.encode()))
        return self.new("LiteRtCreateOpaqueOptions", identifier.encode(), payload, free)


def package_folder() -> Path:
    """Return the folder of the installed runtime.

    Raises:
        RuntimeError: the package is not installed.
    """
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package ai-edge-litert is not installed")
    return Path(spec.submodule_search_locations[0])


def _library_path() -> Path:
    return package_folder() / _LIBRARIES.get(sys.platform, "libLiteRt.so")
