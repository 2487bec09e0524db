"""What differs between two corpora, one a line; of two ``.tflite`` files in the words of the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID251 - the referee reads files on its own

PROVENANCE = b"tightfit.provenance"
SHOWN = 3


def blanked(data: bytes) -> bytes:
    """Return a ``.tflite`` with zeros in place of the provenance, which holds versions."""
    model = schema.Model.GetRootAs(data, 0)
    result = bytearray(data)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == PROVENANCE and model.Buffers(entry.Buffer()).DataLength():
            content = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            start = data.index(content)
            result[start : start + len(content)] = bytes(len(content))
    return bytes(result)


def unlike(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield where two objects of the schema differ."""
    if type(before) is not type(after):
        yield f"{path}: {before!r} is {after!r}"
    elif isinstance(before, np.ndarray):
        if not np.array_equal(before, after):
            equal_size = before.shape == after.shape
            count = np.count_nonzero(before != after) if equal_size else f"{before.size} against {after.size}"
            yield f"{path}: {count} values differ"
    elif isinstance(before, list):
        if len(before) != len(after):
            yield f"{path}: {len(before)} entries are {len(after)}"
        for i, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from unlike(one, other, f"{path}[{i}]")
    elif hasattr(before, "__dict__"):
        for name in vars(before):
            yield from unlike(getattr(before, name), getattr(after, name), f"{path}.{name}")
    elif repr(before) != repr(after):  # as text, for NaN is not equal to itself
        yield f"{path}: {before!r} is {after!r}"


def tflite_difference(before: Path, after: Path) -> str:
    """Return the first differences of two ``.tflite`` files in the words of the schema."""
    one, other = (blanked(p.read_bytes()) for p in (before, after))
    parsed = [schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)) for data in (one, other)]
    found = list(unlike(*parsed))
    where = "; ".join(found[:SHOWN]) or "only the order of bytes"
    return f"{len(one)} and {len(other)} bytes, {len(found)} differences: {where}"


def line_differences(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield the lines that only one of the two has."""
    gone, new = set(before) - set(after), set(after) - set(before)
    yield from (f"- {line}" for line in before if line in gone)
    yield from (f"+ {line}" for line in after if line in new)


def file_differences(folders: tuple[Path, Path], name: str, before: Any, after: Any) -> Iterator[str]:
    """Yield how one output differs; None stands for a file that is not there."""
    if before is None or after is None:
        yield "is new" if before is None else "is gone"
    elif isinstance(before, list):
        yield from line_differences(before, after)
    elif before != after:
        yield tflite_difference(*(f / "out" / name for f in folders))


def differences(folders: tuple[Path, Path]) -> Iterator[str]:
    """Yield every difference of two corpora."""
    before, after = (json.loads((f / "record.json").read_text()) for f in folders)
    for case in sorted({*before, *after}):
        if case not in before or case not in after:
            yield f"{case}: only in {folders[case not in before]}"
            continue
        one, other = before[case], after[case]
        for fact in ("exit", "traceback"):
            if one[fact] != other[fact]:
                yield f"{case}: {fact} {one[fact]} is {other[fact]}"
        yield from (f"{case}: stdout: {d}" for d in line_differences(one["stdout"], other["stdout"]))
        for name in sorted({*one["files"], *other["files"]}):
            pair = one["files"].get(name), other["files"].get(name)
            yield from (f"{case}: {name}: {d}" for d in file_differences(folders, name, *pair))
