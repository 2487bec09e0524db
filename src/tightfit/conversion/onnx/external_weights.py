"""Refuses weights of an ONNX model that lie anywhere but in a plain file of its own folder.

A tensor may keep its values in another file, named by a path in the model. Links, hard links, parent folders
and absolute paths would let a stranger's model read any file of the user.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import onnx
from onnx import helper

from tightfit.errors import ModelError, printable

_KEYS: Final = frozenset({"location", "offset", "length", "checksum", "basepath"})


def check_external(model: onnx.ModelProto, folder: Path, file: str) -> None:
    """Checks every tensor of a model that keeps its values outside of it.

    Args:
        model: its tensors name the files.
        folder: that holds the model.
        file: what messages call the model.

    Raises:
        ModelError: names the tensor and what is wrong with the place of its values.
    """
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            if not _is_text(tensor):
                raise ModelError(
                    f"'{file}' keeps a weight in a file whose name is no text. Save the model again as one "
                    "file."
                )
            odd = sorted({e.key for e in tensor.external_data} - _KEYS)
            reason = f"under the unknown key '{printable(odd[0], 40)}'" if odd else _reason(tensor, folder)
            if reason:
                raise ModelError(
                    f"'{file}' keeps the weight '{printable(tensor.name, 40)}' {reason}. Put weights into a "
                    "plain file "
                    "beside the model, or save it as one file."
                )


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yields every stored tensor: of the graph, of graphs in it, of attributes and of functions."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, onnx.GraphProto):
            yield from holder.initializer
            for sparse in holder.sparse_initializer:
                yield sparse.values
                yield sparse.indices
        for node in holder.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                    yield sparse.values
                    yield sparse.indices
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _is_text(tensor: onnx.TensorProto) -> bool:
    """False where a text of the file is no UTF-8: protobuf gives its bytes then."""
    texts = (tensor.name, *(text for e in tensor.external_data for text in (e.key, e.value)))
    return all(isinstance(text, str) for text in texts)


def _reason(tensor: onnx.TensorProto, folder: Path) -> str:
    """Why the values cannot be read from where they are said to lie, "" when they can."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    place = PurePosixPath(location.replace("\\", "/"))
    shown = f"in '{printable(location, 60)}'"
    if not location or place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
        return f"{shown}, outside of its folder"
    path = folder
    for part in place.parts:
        path = path / part
        if path.is_symlink():
            return f"{shown}, a link"
    if not path.exists():
        return f"{shown}, which does not exist"
    state = path.stat()
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        return f"{shown}, which is no plain file or has another name too"
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        return f"{shown}, outside of its folder"
    return _size_reason(tensor, entries, state.st_size, shown)


def _size_reason(tensor: onnx.TensorProto, entries: dict[str, str], size: int, shown: str) -> str:
    try:
        offset, length = (int(entries.get(key, "0") or 0) for key in ("offset", "length"))
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (ValueError, KeyError, TypeError):
        return f"{shown}, at a place or of a type that is none"
    declared = math.prod(int(n) for n in tensor.dims) * width
    if min(offset, length, *tensor.dims, 0) < 0 or offset + max(length, 0) > size or declared // 8 > size:
        return f"{shown}, beyond the end of that file"
    return ""
