"""Fields of a flatbuffer's tables as plain values."""

from __future__ import annotations

import functools
from typing import Any

from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the reader of the format

from tightfit.errors import ModelError
from tightfit.graph.ir import Tensor


@functools.cache
def enum_names(enum: str) -> dict[int, str]:
    """Return value → name for an enum of the schema (``BuiltinOperator``, ``TensorType`` …)."""
    return {v: k for k, v in vars(getattr(schema, enum)).items() if isinstance(v, int)}


def to_fields(value: Any) -> Any:
    """Return an unpacked table as plain values; nested tables have their type under ``@type``."""
    if type(value).__module__ != schema.__name__:
        return [to_fields(v) for v in value] if isinstance(value, list) else value
    return {
        k: {"@type": type(v).__name__, **to_fields(v)} if _is_table(v) else _nested(v)
        for k, v in vars(value).items()
    }


def _nested(value: Any) -> Any:
    if isinstance(value, list) and value and _is_table(value[0]):
        return [{"@type": type(v).__name__, **to_fields(v)} for v in value]
    return value


def _is_table(value: Any) -> bool:
    return bool(type(value).__module__ == schema.__name__)


def as_text(value: Any) -> str:
    """Return a field of bytes as text, "" where it is absent."""
    if value is None:
        return ""
    # A name may have any bytes: surrogates preserve them, so that the writer writes the same bytes.
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def as_list(value: Any) -> list[int]:
    """Return a vector of integers, [] where it is absent."""
    return [] if value is None else [int(v) for v in value]


def enum_word(enum: str, value: int, what: str) -> str:
    """Return the name of a value of an enum.

    Raises:
        ModelError: the schema does not have the value.
    """
    names = enum_names(enum)
    if value not in names:
        raise ModelError(f"{what} has the {enum} {value}, which this version does not know; update tightfit.")
    return names[value]


def pick(tensors: list[Tensor], index: int, what: str) -> Tensor:
    """Return the tensor of an index.

    Raises:
        ModelError: the subgraph does not have it.
    """
    if not 0 <= index < len(tensors):
        raise ModelError(f"{what} names tensor {index}, but the subgraph has {len(tensors)}.")
    return tensors[index]
