"""JSON schemas of what ``--json`` prints and of ``report.json``, from the types of the results."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin

from tightfit.diagnosis.explain.explanation import Explanation
from tightfit.diagnosis.file_difference import FileDifference
from tightfit.evaluation.scorecard import Accuracy
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.training.simulation.comparison import Simulation

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Final[dict[object, Schema]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},
    type(None): {"type": "null"},
    Path: {"type": "string"},
}
"""A number that is not finite is written as null."""


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type's plain form.

    Example:
        >>> schema_of(list[int])
        {'type': 'array', 'items': {'type': 'integer'}}
    """
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(each) for each in inner]}
    if origin in (list, tuple, Sequence, Iterable, frozenset):
        return {"type": "array", "items": schema_of(inner[0])} if inner else {"type": "array"}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    if isinstance(kind, type) and is_dataclass(kind):
        return {"type": "object"} if "to_dict" in vars(kind) else object_of(kind)
    return {}


def object_of(kind: type, *, without: Iterable[str] = (), more: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of a dataclass: every field is there.

    Args:
        kind: the dataclass.
        without: fields that its plain form leaves out.
        more: keys that its plain form adds.
    """
    hints = typing.get_type_hints(kind)
    left = set(without)
    named = {f.name: schema_of(hints[f.name]) for f in fields(kind) if f.name not in left}
    named |= dict(more or {})
    return {"type": "object", "properties": named, "required": list(named)}


def _report() -> Schema:
    candidates = {"type": "array", "items": object_of(Candidate)}
    return object_of(Report, without=["folder"], more={"candidates": candidates})


def _accuracy() -> Schema:
    return object_of(Accuracy, without=["scores"], more={"change": schema_of(float | None), "metrics": {}})


def _explanation() -> Schema:
    return object_of(Explanation, more={"overlay": {}, "accuracy": _accuracy() | {"required": []}})


def _evaluation() -> Schema:
    row = _accuracy()
    row["properties"]["path"] = {"type": "string"}
    return {"type": "array", "items": row}


SCHEMAS: Final[dict[str, Callable[[], Schema]]] = {
    "report": _report,
    "evaluate": _evaluation,
    "diff": lambda: object_of(FileDifference, more={"equal": {"type": "boolean"}}),
    "explain": _explanation,
    "simulate": lambda: object_of(Simulation, more={"largest_steps": {"type": "number"}}),
}
"""What is described → its schema. ``api.results.schemas`` adds those of the verbs' results."""


def document(name: str, schema: Schema) -> Schema:
    """Return a schema with its dialect and title, as docs/schemas has it."""
    title = "report.json of tightfit optimize" if name == "report" else f"tightfit {name} --json"
    return {"$schema": DIALECT, "title": title, **schema}
