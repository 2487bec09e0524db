"""What a caller may pass as a model or as data, as types. Imports nothing of the frameworks.

A framework's object is known by one method that only its models have, so that an editor accepts a
``keras.Model`` where Keras is installed and this package needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import Protocol, TypeAlias


class KerasModel(Protocol):
    """A ``keras.Model``."""

    def count_params(self) -> object:
        """Return the number of parameters."""


class TorchModule(Protocol):
    """A ``torch.nn.Module``; its ``example_inputs``, or the argument of that name, give the input's shape."""

    def named_parameters(self) -> object:
        """Yield (name, parameter)."""


class ExportedTorchProgram(Protocol):
    """A ``torch.export.ExportedProgram``."""

    def run_decompositions(self) -> object:
        """Return the program with fewer kinds of ops."""


class OnnxModel(Protocol):
    """An ``onnx.ModelProto``."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Return the bytes of the model."""


class OwnResult(Protocol):
    """A result of this package that has a file."""

    def headline(self) -> str:
        """Return the result in one line."""


class NumberedBatches(Protocol):
    """A ``keras.utils.PyDataset`` and what is like it: batches by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> object: ...


Pathlike: TypeAlias = str | PathLike[str]
"""The path of a file or a folder."""

FrameworkModel: TypeAlias = KerasModel | TorchModule | ExportedTorchProgram | OnnxModel

ModelLike: TypeAlias = Pathlike | bytes | FrameworkModel | tuple[TorchModule, tuple[object, ...]] | OwnResult
"""A model: a path, ``module:attribute``, the bytes of a ``.tflite`` or an ONNX model, an object of a
framework, (torch module, example inputs), or a result of this package that has a file."""

DataLike: TypeAlias = Pathlike | Iterable[object] | NumberedBatches | Callable[[], object]
"""Samples: a path or ``module:function``; an array, ``(x, y)``, a dict by input name, a list, a loader; or a
function that returns an iterable."""
