"""The section on the chosen file: classes, flipped samples, time, bytes, memory, code, the next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tightfit.errors import TightfitError
from tightfit.graph.reader import read_model
from tightfit.report.page.candidate_detail import shared_folder, short_name
from tightfit.report.page.snippets import Snippet, snippets
from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.run_file import command_of
from tightfit.units import format_bytes, format_milliseconds, format_percent

_CLASSES = 12


@dataclass(frozen=True)
class Listing:
    """One table: a title, a sentence, columns, and rows with the length of a bar (0–1) or None."""

    title: str
    intro: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[list[str], float | None]]


@dataclass(frozen=True)
class Flip:
    """A sample with another decision: its picture and what both models say."""

    picture: str
    text: str


@dataclass
class ChosenView:
    """What the page says of the chosen file beyond its row."""

    listings: list[Listing] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)
    flipped: str = ""
    snippets: list[Snippet] = field(default_factory=list)
    command: str = ""
    next_step: str = ""


def view_of(report: Report) -> ChosenView:
    """Return the section of a report; parts that were not measured are empty."""
    details: dict[str, Any] = dict(report.details)
    found = [_classes(details), _confusion(details), _op_times(details), _storage(details), _memory(details)]
    changed, decided = details.get("changed", 0), details.get("decided", 0)
    return ChosenView(
        listings=[listing for listing in found if listing.rows],
        flips=[Flip(str(row["picture"]), _flip(row)) for row in details.get("flipped", ())],
        flipped=f"{changed:,} of {decided:,} samples" if decided else "",
        snippets=_snippets(report),
        command=printable(command_of(report.run)) if report.run else "",
        next_step=next_step(report),
    )


def next_step(report: Report) -> str:
    """Return what to do with the result, in one sentence."""
    chosen = report.chosen
    if chosen is None:
        return "No candidate could be written: the reasons stand in the table."
    if chosen.is_original:
        return "Nothing smaller kept to the budget: raise --max-drop, or train with tightfit finetune."
    if chosen.meets_budget is None:
        return "Give more samples: the intervals are wider than the limit. The table says how many would do."
    if not chosen.meets_budget:
        return (
            "The budget is not met. Accuracy: tightfit finetune trains for the integers. Size or latency: "
            "--effort thorough removes channels, and --max-drop may be raised."
        )
    return "Measure it on the device: tightfit benchmark best.tflite --on ssh://user@host; then ship it."


def _classes(details: dict[str, Any]) -> Listing:
    rows = details.get("classes", [])
    shown = [
        (
            [str(r["class"]), str(r["samples"]), format_percent(r["original"]), format_percent(r["chosen"])],
            None,
        )
        for r in rows[:_CLASSES]
    ]
    left = len(rows) - len(shown)
    more = f" {left} other classes lost less." if left > 0 else ""
    intro = f"The share of right decisions in each class, the largest loss first.{more}"
    return Listing("Accuracy by class", intro, ("class", "samples", "original", "chosen"), shown)


def _confusion(details: dict[str, Any]) -> Listing:
    rows = details.get("confusion", [])
    most = max((r["samples"] for r in rows), default=1)
    shown = [([str(r["label"]), str(r["decision"]), str(r["samples"])], r["samples"] / most) for r in rows]
    intro = "What the chosen file takes for something else, the most frequent first."
    return Listing("Confusions", intro, ("label", "decision", "samples"), shown)


def _op_times(details: dict[str, Any]) -> Listing:
    rows = details.get("op_times", [])
    most = max((r["ms"] for r in rows), default=0.0) or 1.0
    shown = [
        ([_name(r), format_milliseconds(r["ms"]), format_percent(r["share"])], r["ms"] / most) for r in rows
    ]
    intro = (
        "The slowest ops of the chosen file on this machine, by LiteRT’s profiler; XNNPACK names its own ops."
    )
    return Listing("Time by op", intro, ("op", "time", "share"), shown)


def _storage(details: dict[str, Any]) -> Listing:
    rows = details.get("storage", [])
    total, most = sum(r["bytes"] for r in rows) or 1, max((r["bytes"] for r in rows), default=1) or 1
    prefix = shared_folder([r["name"] for r in rows if r["kind"]])
    shown = [
        ([_name(r, prefix), format_bytes(r["bytes"]), format_percent(r["bytes"] / total)], r["bytes"] / most)
        for r in rows
    ]
    intro = "The constants of each op as they are stored, and what is no constant."
    return Listing("Where the bytes are", intro, ("part", "bytes", "share"), shown)


def _memory(details: dict[str, Any]) -> Listing:
    memory = details.get("memory", {})
    names = (
        ("constants, in flash or mapped", "weights"),
        ("tensors alive at once, at least (arena)", "activations"),
    )
    rows = [([text, format_bytes(memory[key])], None) for text, key in names if key in memory]
    intro = (
        "What the model itself needs; a runtime adds its own. Peak memory above includes Python and LiteRT."
    )
    return Listing("Memory plan", intro, ("part", "bytes"), rows)


def _name(row: dict[str, Any], prefix: str = "") -> str:
    name = printable(short_name(row["name"], prefix), 60)
    return name if row["kind"] in ("", row["name"]) else f"{printable(row['kind'], 40)} {name}"


def _flip(row: dict[str, Any]) -> str:
    label = "" if row["label"] is None else f"label {row['label']}: "
    return f"#{row['index']} {label}{row['original']} → {row['chosen']}"


def _snippets(report: Report) -> list[Snippet]:
    """Code for the chosen file; none where it is not on disk."""
    if report.path is None or not report.path.is_file():
        return []
    try:
        image = report.run.get("image")
        return snippets(read_model(report.path), "best.tflite", None if image is None else str(image))
    except TightfitError:
        return []
