"""The training curve, as JSON and as one self-contained HTML page beside the trained file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tightfit.files import atomic_file
from tightfit.report.chart.axis_scales import ChartAxis, padded, spaced
from tightfit.report.page.html import environment
from tightfit.report.printable import printable
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_number, format_percent

_STAGES = {"prune": "pruning", "finish": "training", 0: "stage 1", 1: "stage 2"}


@dataclass
class Curve:
    """The curve of one metric over the epochs; all numbers except labels are in pixels.

    Args:
        name: name of the metric.
        width: width of the picture.
        height: height of the picture.
        left: left edge of the plot.
        right: right edge of the plot.
        top: top edge of the plot.
        bottom: bottom edge of the plot.
        shown: (x, y, tooltip) of each epoch.
        bounds: x positions at which a new stage begins.
        x_ticks: (position, label) of the x axis.
        y_ticks: (position, label) of the y axis.
    """

    name: str
    width: float = 680.0
    height: float = 260.0
    left: float = 64.0
    right: float = 664.0
    top: float = 28.0
    bottom: float = 214.0
    shown: list[tuple[float, float, str]] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)


def write_training(facts: Mapping[str, Any], output: Path) -> list[Path]:
    """Write ``<output>.training.json`` and ``.training.html``, and return their paths.

    Args:
        facts: ``FinetuneResult.facts()``, optionally with the key ``options``.
        output: path of the trained ``.tflite``.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    written = []
    document = json.dumps(facts, indent=1, ensure_ascii=False)
    for suffix, text in ((".training.json", document), (".training.html", render_training(facts))):
        path = output.with_suffix(suffix)
        with atomic_file(path) as file:
            file.write(text.encode("utf-8", errors="replace"))
        written.append(path)
    return written


def render_training(facts: Mapping[str, Any]) -> str:
    """Return the page; all text from file names and data is escaped."""
    history = facts["history"]
    names = [n for n in (history[0] if history else {}) if n not in ("stage", "epoch")]
    view = {
        "title": printable(Path(facts["path"]).name, 60),
        "headline": _headline(facts),
        "rows": _rows(facts),
        "curves": [curve for name in names if (curve := make_curve(name, history)) is not None],
        "names": names,
        "history": [
            [f"{i}", _stage(row), *(format_number(row[n]) for n in names)] for i, row in _counted(history)
        ],
        "notes": [printable(note) for note in facts["notes"]],
        "options": [(k.replace("_", " "), printable(v)) for k, v in facts.get("options", {}).items() if v],
        "backend": facts["backend"],
    }
    page: str = environment().get_template("training.html").render(view=view)
    return page


def make_curve(name: str, history: Sequence[Mapping[str, Any]]) -> Curve | None:
    """Return the curve of one metric over the epochs of all stages, None with fewer than two.

    Example:
        >>> curve = make_curve("loss", [{"stage": 0, "loss": 2.0}, {"stage": 1, "loss": 1.0}])
        >>> (_, first, _), (_, last, _) = curve.shown
        >>> first < last, len(curve.bounds)  # y of a picture increases downwards
        (True, 1)
    """
    values = [float(row[name]) for row in history if name in row]
    if len(values) < 2 or len(values) != len(history):
        return None
    curve = Curve(name)
    low, high = padded(values, 0.08, 1e-6 * max(abs(v) for v in values) or 1e-6)
    y = ChartAxis(low, high, curve.bottom, curve.top)
    x = ChartAxis(1, len(values), curve.left + 8, curve.right - 8)
    stages = [row.get("stage") for row in history]
    curve.shown = [
        (x(i), y(v), f"epoch {i}, {_stage(history[i - 1])}: {name} {format_number(v)}")
        for i, v in enumerate(values, 1)
    ]
    curve.bounds = [x(i + 0.5) for i in range(1, len(values)) if stages[i] != stages[i - 1]]
    whole = [float(t) for t in range(1, len(values) + 1)]
    curve.x_ticks = [(x(t), f"{t:.0f}") for t in spaced(x, whole, 28.0)]
    curve.y_ticks = [(y(t), format_number(t)) for t in y.ticks(5)]
    return curve


def _counted(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(history, 1))


def _stage(row: Mapping[str, Any]) -> str:
    stage = row.get("stage", 0)
    return _STAGES.get(stage, str(stage))


def _headline(facts: Mapping[str, Any]) -> str:
    """The result of the training in one sentence."""
    after, before = facts["accuracy"], facts["original"]
    size = format_bytes(facts["footprint"]["size_bytes"])
    if after["failure"] or after["value"] is None or before["value"] is None:
        return size
    words = metric_words(str(after["metric"]))
    return f"{words.score(after['value'])} {words.noun} in {size}"


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The rows (quantity, float model, trained file)."""
    before, after = facts["original"], facts["accuracy"]
    rows = [
        (metric_words(str(after["metric"])).noun, _score(before), _score(after)),
        ("change (95 %), negative is worse", "—", _change(after)),
        ("agreement", "—", format_percent(after["agreement"])),
        ("samples measured", str(before["n"]), str(after["n"])),
    ]
    for name, key in (("file", "size_bytes"), ("zip", "zip_bytes"), ("zstd", "zstd_bytes")):
        rows.append((name, format_bytes(facts["before"][key]), format_bytes(facts["footprint"][key])))
    rows.append(("zeros in the weights", "", format_percent(facts["zeros"])))
    rows.append(("most distinct values in a weight tensor", "", f"{facts['values']:,}"))
    return rows


def _score(accuracy: Mapping[str, Any]) -> str:
    return accuracy["failure"] or metric_words(str(accuracy["metric"])).score(accuracy["value"])


def _change(accuracy: Mapping[str, Any]) -> str:
    if accuracy["drop"] is None or accuracy["drop_low"] is None or accuracy["drop_high"] is None:
        return "—"
    words = metric_words(str(accuracy["metric"]))
    interval = words.change_interval((accuracy["drop_low"], accuracy["drop_high"]))
    return f"{words.change(accuracy['drop'])}{words.unit} ({interval})"
