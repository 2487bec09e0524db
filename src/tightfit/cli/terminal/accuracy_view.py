"""How accuracy reads on a terminal, for every command: value, change (negative is worse), interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tightfit.cli.terminal.console import name_room
from tightfit.search.verdict.metric_words import MetricWords, metric_words
from tightfit.units import format_decibels


def score_cells(score: Any, metric: str, *, first: bool) -> list[str]:
    """Return the value, the change with its unit, and the change's interval of one metric.

    Args:
        score: ``evaluation.scorecard.Score``.
        metric: name of the metric; its unit decides the format.
        first: true for the model that the others are compared with.
    """
    words = metric_words(metric)
    value = words.score(score.value)
    if first or score.change is None:
        return [value, "", ""]
    drop = 0.0 - score.change
    if score.change_low is None or score.change_high is None:
        return [value, f"{words.change(drop)}{words.unit}", ""]
    interval = words.change_interval((0.0 - score.change_high, 0.0 - score.change_low))
    return [value, f"{words.change(drop)}{words.unit}", interval]


def metric_tables(names: Sequence[str], results: Sequence[Any]) -> list[Table]:
    """Return one table a metric: each model's value with its interval, and its change from the first.

    Args:
        names: of the models.
        results: ``Accuracy`` of each model, in the same order.
    """
    known = next((r for r in results if r.failure is None), None)
    tables = []
    for number, metric in enumerate(known.metrics if known is not None else {}):
        table = Table("model", box=None, padding=(0, 1, 0, 0))
        table.columns[0].no_wrap, table.columns[0].overflow, table.columns[0].max_width = (
            True,
            "ellipsis",
            name_room(20),
        )
        titles = [metric, "95 %", "change", "95 %", *(("agrees", "dB") if number == 0 else ()), "n"]
        for title in titles:
            table.add_column(title, no_wrap=True, justify="right")
        for name, result in zip(names, results, strict=True):
            table.add_row(Text(name), *_row(result, metric, first=result is results[0], main=number == 0))
        tables.append(table)
    return tables


def _row(result: Any, metric: str, *, first: bool, main: bool) -> list[str]:
    if result.failure:
        return [result.failure]
    score, words = result.metrics[metric], metric_words(metric)
    value, change, interval = score_cells(score, metric, first=first)
    own = _ends(words, score.low, score.high)
    closeness = (
        [
            _share(result.agreement),
            "equal" if result.snr_db >= 200.0 else format_decibels(result.snr_db).removesuffix(" dB"),
        ]
        if main
        else []
    )
    return [value, own, change, interval, *closeness, f"{score.n:,}"]


def _ends(words: MetricWords, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    return f"{words.score(low).removesuffix(' %').removesuffix(' dB')}…{words.score(high)}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def accuracy_lines(pair: tuple[Any, Any] | None) -> list[str]:
    """Return one line for each metric: the model's value, the file's, the change with its interval.

    Args:
        pair: ``Accuracy`` of the model and of the file; None where nothing was measured.
    """
    if pair is None:
        return []
    before, after = pair
    if before.failure or after.failure:
        return [f"accuracy: {before.failure or after.failure}"]
    lines = []
    for name, score in after.metrics.items():
        words, (new, change, interval) = metric_words(name), score_cells(score, name, first=False)
        spread = f", 95 % interval {interval}" if interval else ""
        changed = f" ({change}{spread})" if change else ""
        lines.append(
            f"{words.noun}: {words.score(before.metrics[name].value)} → {new}{changed} on {score.n:,} samples"
        )
    return lines


def value_lines(accuracy: Any) -> list[str]:
    """Return one line for each metric of a file that is compared with nothing."""
    lines = [f"note: {note}" for note in accuracy.notes]
    for name, score in accuracy.metrics.items():
        words = metric_words(name)
        lines.append(f"{words.noun}: {words.score(score.value)} on {score.n:,} samples")
    return lines
