"""A pruned or clustered file for a person: the model beside the file, and how zeros are stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from tightfit.cli.terminal.accuracy_view import accuracy_lines
from tightfit.cli.terminal.console import console
from tightfit.cli.terminal.quality_view import flaw_lines, quality_words
from tightfit.plain_values import json_text
from tightfit.units import format_bytes, format_milliseconds, format_percent, format_ratio

if TYPE_CHECKING:
    from tightfit.api.results.compression_result import CompressionResult


def show_compression(result: CompressionResult, model: Path, *, as_json: bool) -> int:
    """Print a result, and return the exit code: 1 for a file that is ruined."""
    if as_json:
        click.echo(json_text(result.to_json()))
    else:
        console().print(as_text(result, model))
    return 1 if result.ruined else 0


def as_text(result: CompressionResult, model: Path) -> Group:
    """Return a result for a person: the model beside the file, how zeros are stored, what is not gained."""
    table = Table("", model.name, result.path.name, "ratio", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    before, after = result.original_size, result.size
    for name, old, new in (
        ("on disk", before.size_bytes, after.size_bytes),
        ("zip", before.zip_bytes, after.zip_bytes),
        ("zstd", before.zstd_bytes, after.zstd_bytes),
        ("peak memory", result.original_latency.peak_memory_bytes, result.latency.peak_memory_bytes),
    ):
        if old is not None and new is not None:
            table.add_row(name, format_bytes(old), format_bytes(new), format_ratio(new / max(old, 1)))
    table.add_row(
        "look-up tables¹",
        "",
        format_bytes(result.lut_bytes),
        format_ratio(result.lut_bytes / before.size_bytes),
    )
    table.add_row(
        "latency", format_milliseconds(result.original_latency.median_ms),
        format_milliseconds(result.latency.median_ms), format_ratio(result.latency.ratio),
    )  # fmt: skip
    lines = [
        *accuracy_lines(result.accuracy),
        f"weights: {format_percent(result.zeros)} zeros, at most {result.values:,} distinct values a tensor",
        quality_words(result.outputs, result.snr_db, result.samples),
        *flaw_lines(result.outputs),
        *_forms(result),
        *[f"note: {note}" for note in result.notes],
        "¹ an estimate for tflite-micro's compression",
    ]
    return Group(table, Text(), *map(Text, lines))


def _forms(result: CompressionResult) -> list[str]:
    """One line for each form that constants are stored in, and for each reason against one."""
    counts: dict[str, int] = {}
    for layer in result.stored:
        key = (layer.reason and f"dense: {layer.reason}") or layer.form
        counts[key] = counts.get(key, 0) + 1
    return [f"stored: {count} as {form}" for form, count in counts.items()]
