"""The result of ``tightfit explain`` as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tightfit.diagnosis.explain.explanation import Explanation, OpReport, Remedy
from tightfit.files import atomic_file
from tightfit.report.page.html import environment
from tightfit.report.printable import printable
from tightfit.units import format_bytes, format_decibels, format_percent

_OPS: Final = 20


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row is its heading."""

    title: str
    intro: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def write_explanation(found: Explanation, path: Path) -> None:
    """Write the page whole or not at all.

    Raises:
        ModelError: the folder is read-only or the disk is full.
    """
    page = render_explanation(found).encode("utf-8", errors="replace")
    with atomic_file(path) as file:
        file.write(page)


def render_explanation(found: Explanation) -> str:
    """Return the page; all text from models, file names and data is escaped."""
    view = {
        "title": printable(Path(found.file).name, 80),
        "headline": _headline(found),
        "notes": [printable(note) for note in found.notes],
        "tables": [t for t in (_ops(found.ops), _remedies(found.remedies)) if t.rows],
        "reasons": [
            (printable(op.name, 80), printable("; ".join(c.words for c in op.causes)))
            for op in found.ops
            if op.causes
        ],
        "file": printable(Path(found.file).name, 80),
        "model": printable(Path(found.model).name, 80),
        "size": format_bytes(found.size_bytes),
    }
    page: str = environment().get_template("explanation.html").render(view=view)
    return page


def _headline(found: Explanation) -> str:
    accuracy = found.accuracy
    values = f"{found.metric} {_number(found.float_value, 4)} → {_number(accuracy.value, 4)}"
    if not found.ops:
        return f"{values}: no op adds an error"
    best = next((r for r in found.remedies if r.helps), None)
    cause = f"{values}, and {printable(found.ops[0].name, 60)} adds the most error"
    if best is None or best.value is None:
        return cause
    return f"{cause}; {printable(best.title, 120)} brings {_number(best.value, 4)}"


def _ops(ops: list[OpReport]) -> Table:
    rows = [
        [
            printable(op.name, 80), op.kind, _db(op.effect_db), _share(op.effect_agreement), _db(op.own_db),
            _db(op.all_db),
        ]
        for op in ops[:_OPS]
    ]  # fmt: skip
    return Table(
        "Ops, those with the most error first",
        "Signal-to-noise ratios: of the model's outputs when only this op's own error is added to the float "
        "model; of the op's output when only this op is quantized; of its output in the file, with the error "
        "of all ops before it.",
        ("op", "kind", "outputs", "agreement", "op alone", "with all before"),
        rows,
    )


def _remedies(remedies: list[Remedy]) -> Table:
    rows = [
        [printable(r.title, 160), printable(r.failure, 160), *["–"] * 5]
        if r.failure is not None
        else [
            printable(r.title, 160), _db(r.gain_db), _db(r.snr_db), _share(r.agreement), _number(r.drop, 4),
            _share(r.int8_share), format_bytes(r.size_bytes),
        ]
        for r in remedies
    ]  # fmt: skip
    return Table(
        "Remedies, the best first",
        "Each was applied, written and measured. Among remedies of similar gain, the one with more "
        "multiply–accumulates in int8 is first.",
        ("remedy", "gain", "outputs", "agreement", "drop", "work on int8", "size"),
        rows,
    )


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _db(value: float | None) -> str:
    return "–" if value is None else format_decibels(value)


def _share(value: float | None) -> str:
    return "–" if value is None else format_percent(value)
