"""The table of trained combinations: accuracy beside zeros, different values and bytes of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tightfit.data.dataset import Dataset
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.footprint import footprint
from tightfit.evaluation.scorecard import Accuracy
from tightfit.files import atomic_file
from tightfit.types import Array
from tightfit.units import format_bytes
from tightfit.weights.statistics import weight_values


@dataclass(frozen=True)
class Combination:
    """One file of the table; every number is read from it or measured with it.

    Args:
        name: ``QAT``, ``PCQAT`` … metric: what ``accuracy`` is.
        accuracy, drop, drop_interval: against the first file, paired, 95 %; None where it could not run.
        zeros: the share of weights that are 0.
        unique: the most different values in one weight tensor.
        size_bytes, zip_bytes: of the file, and of a zip archive of it.
        zip_ratio: ``zip_bytes`` by the bytes of the first file, not zipped.
        failure: why there are no numbers.
    """

    name: str
    metric: str
    accuracy: float | None
    drop: float | None
    drop_interval: tuple[float, float] | None
    zeros: float
    unique: int
    size_bytes: int
    zip_bytes: int
    zip_ratio: float
    failure: str | None = None


def combinations(
    files: Mapping[str, Path], dataset: Dataset, indices: Array | None = None, *, metric: str = "auto"
) -> list[Combination]:
    """Measure the files on the same samples, the first one being the reference.

    Raises:
        DataError, ModelError, RuntimeFailureError: the first file, or the data, cannot be used.
    """
    results = evaluate(list(files.values()), dataset, indices, metric=metric)
    original = next(iter(files.values())).stat().st_size
    return [
        _row(name, path, result, original)
        for (name, path), result in zip(files.items(), results, strict=True)
    ]


def _row(name: str, path: Path, result: Accuracy, original: int) -> Combination:
    sizes, held = footprint(path), weight_values(path)
    interval = None
    if result.drop_low is not None and result.drop_high is not None:
        interval = (result.drop_low, result.drop_high)
    return Combination(
        name=name,
        metric=result.metric,
        accuracy=result.value,
        drop=result.drop,
        drop_interval=interval,
        zeros=held.zeros,
        unique=held.unique,
        size_bytes=sizes.size_bytes,
        zip_bytes=sizes.zip_bytes,
        zip_ratio=sizes.zip_bytes / original,
        failure=result.failure,
    )


def combinations_json(rows: list[Combination], facts: Mapping[str, Any] | None = None) -> str:
    """Return strict JSON: ``{"combinations": [...], **facts}``."""
    plain = {**(facts or {}), "combinations": [asdict(row) for row in rows]}
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_combinations(rows: list[Combination], path: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write the JSON whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    with atomic_file(path) as file:
        file.write(combinations_json(rows, facts).encode())


def combinations_text(rows: list[Combination]) -> str:
    """Return the table as text in 80 columns.

    Example:
        >>> row = Combination("QAT", "top1", 0.9212, 0.001, (-0.002, 0.004), 0.01, 255, 208416, 171000, 0.3)
        >>> print(combinations_text([row]))
                       accuracy    drop    95 % interval  zeros values     file      zip
        QAT              0.9212 +0.0010 [-0.002, +0.004]   1.0%    255   208 kB   171 kB
    """
    title = f"{'':15}{'accuracy':>8} {'drop':>7} {'95 % interval':>16} {'zeros':>6} {'values':>6}"
    lines = [f"{title} {'file':>8} {'zip':>8}"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: Combination) -> str:
    if row.accuracy is None:
        return f"{row.name:15}failed: {row.failure}"
    drop = "" if row.drop is None else f"{row.drop:+.4f}"
    ends = row.drop_interval
    interval = "" if ends is None else f"[{ends[0]:+.3f}, {ends[1]:+.3f}]"
    sizes = f"{format_bytes(row.size_bytes):>8} {format_bytes(row.zip_bytes):>8}"
    return (
        f"{row.name:15}{row.accuracy:8.4f} {drop:>7} {interval:>16} {row.zeros:6.1%} {row.unique:6} {sizes}"
    )
