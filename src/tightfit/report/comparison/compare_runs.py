"""Several reports side by side: the choice of each, the best of all, and what was asked differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tightfit.report.report import Report
from tightfit.result import Result, Row
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import MISSING, format_bytes, format_count, format_milliseconds, format_ratio

_ASKED: Final = ("max_drop", "max_drops", "max_size", "max_zip", "max_latency", "max_latency_ratio", "target")
_SIZES: Final = ("max_size", "max_zip", "memory")
_MACHINE: Final = ("cpu", "arch", "cores", "threads", "litert")


@dataclass(frozen=True)
class Run:
    """The choice of one report, or of one board of it.

    Args:
        name: of the run, unique.
        model: file name of the original.
        chosen: name of the chosen candidate; None where there is none.
        fits: whether it meets the run's budget; None where that is open.
        size_bytes: of the chosen file.
        latency_ms: median of a call where the run measured.
        latency_ratio: to the original there.
        metric: the main metric.
        accuracy: its value for the chosen file.
        drop: how much worse than the original, in the metric's unit.
        machine: where latency was measured.
        file: of the chosen candidate, relative to the report; None where unknown.
    """

    name: str
    model: str
    chosen: str | None
    fits: bool | None
    size_bytes: int | None
    latency_ms: float | None
    latency_ratio: float | None
    metric: str
    accuracy: float | None
    drop: float | None
    machine: str
    file: str | None = None


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Several runs side by side.

    Args:
        runs: the choice of each.
        best: name of the run whose file is the smallest that fits; the fastest of those within 2 %.
        differences: what was asked or given → its value in each run, where they are not all equal.
        candidates: candidate → its size, latency ratio and change in each run, in words; empty where it was
            not tried.
        notes: why values are not comparable.
        path: the page; None where none was written.
    """

    runs: tuple[Run, ...]
    best: str | None
    differences: dict[str, list[str]] = field(default_factory=dict)
    candidates: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    path: Path | None = None

    def headline(self) -> str:
        """Return the best run in one line."""
        best = "no run fits" if self.best is None else f"best={self.best!r}"
        return f"Comparison({best}, {len(self.runs)} runs)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return one row a run."""
        return RUN_TITLES, [run_row(run, best=run.name == self.best) for run in self.runs]


RUN_TITLES: Final = (
    "",
    "run",
    "chosen",
    "size",
    "latency",
    "ratio",
    "accuracy",
    "change",
    "fits",
    "measured on",
)


def run_row(run: Run, *, best: bool) -> list[str]:
    """Return one run in words."""
    words = metric_words(run.metric)
    fits = {True: "yes", False: "no", None: MISSING}[run.fits]
    return [
        "→" if best else "",
        run.name,
        run.chosen or MISSING,
        format_bytes(run.size_bytes),
        format_milliseconds(run.latency_ms),
        format_ratio(run.latency_ratio),
        words.score(run.accuracy) + ("" if words.noun == "accuracy" else f" {words.noun}"),
        words.change(run.drop),
        fits,
        run.machine,
    ]


def compare_runs(reports: Mapping[str, Report]) -> Comparison:
    """Return reports side by side.

    Args:
        reports: unique name → report.
    """
    runs = [run for name, report in reports.items() for run in _runs(name, report)]
    best = _best(runs)
    return Comparison(
        tuple(runs),
        None if best is None else best.name,
        _differences(list(reports.values())),
        _candidates(list(reports.values())),
        tuple(_notes(list(reports.values()))),
    )


def _runs(name: str, report: Report) -> list[Run]:
    """The choice of a report, and that for each of its boards."""
    found = [_run(name, report, report.chosen, _machine(report.machine))]
    by_name = {c.name: c for c in report.candidates}
    for board, facts in report.devices.items():
        chosen = by_name.get(str(facts.get("best")))
        found.append(_on_board(_run(f"{name} on {board}", report, chosen, board), chosen, board))
    return found


def _run(name: str, report: Report, chosen: Candidate | None, machine: str) -> Run:
    metric = chosen.metric if chosen is not None else "top1"
    model = str(report.model.get("name") or "model")
    if chosen is None:
        return Run(name, model, None, None, None, None, None, metric, None, None, machine)
    return Run(
        name,
        model,
        chosen.name,
        chosen.meets_budget,
        chosen.size_bytes,
        chosen.latency_ms,
        chosen.latency_ratio,
        metric,
        chosen.accuracy,
        chosen.drop,
        machine,
        chosen.path,
    )


def _on_board(run: Run, chosen: Candidate | None, board: str) -> Run:
    """The run with the latency of the board; one without a choice for it does not fit there."""
    there = {} if chosen is None else chosen.devices.get(board, {})
    facts = vars(run) | {"latency_ms": there.get("latency_ms"), "latency_ratio": there.get("latency_ratio")}
    return Run(**facts)


def _best(runs: Sequence[Run]) -> Run | None:
    """The smallest file that fits; of those within 2 % of its size the one with the least latency ratio."""
    fitting = [r for r in runs if r.fits and r.size_bytes]
    if not fitting:
        return None
    least = min(r.size_bytes or 0 for r in fitting)
    near = [r for r in fitting if (r.size_bytes or 0) <= 1.02 * least]
    return min(near, key=lambda r: (r.latency_ratio or float("inf"), r.size_bytes or 0))


def _machine(facts: Mapping[str, object]) -> str:
    """A machine in a few words."""
    threads = facts.get("threads", 1)
    counted = format_count(threads, "thread") if isinstance(threads, int) else f"{threads} threads"
    return f"{facts.get('cpu') or 'this machine'}, {counted}"


def _differences(reports: Sequence[Report]) -> dict[str, list[str]]:
    rows = {
        "model": [str(r.model.get("name") or "") for r in reports],
        "model's SHA-256": [str(r.model.get("sha256") or "")[:12] for r in reports],
        "data": [str(r.data.get("name") or "") for r in reports],
        "data's fingerprint": [str(r.data.get("fingerprint") or "")[:12] for r in reports],
        "evaluation samples": [str(r.data.get("evaluation_samples") or "") for r in reports],
        "tightfit": [r.version or "" for r in reports],
        **{key: [_shown(getattr(r.budget, key), key) for r in reports] for key in _ASKED},
        **{key: [_shown(r.machine.get(key)) for r in reports] for key in _MACHINE},
        **{
            key: [_shown(r.run.get(key), key) for r in reports]
            for key in sorted({k for r in reports for k in r.run} - {*_ASKED, "model", "data", "output"})
        },
    }
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _shown(value: object, key: str = "") -> str:
    """Return a value in words: sizes with their unit, lists and mappings without Python's signs.

    Example:
        >>> _shown(100_000, "max_size"), _shown(["int8", "float16"]), _shown({"top1": 0.01}), _shown(True)
        ('100 kB', 'int8, float16', 'top1=0.01', 'yes')
    """
    if value is None or value in ({}, [], ()):
        return MISSING
    if key in _SIZES and isinstance(value, int):
        return format_bytes(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_shown(each)}" for name, each in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list | tuple) else str(value)


def _candidates(reports: Sequence[Report]) -> dict[str, list[str]]:
    names = dict.fromkeys(c.name for report in reports for c in report.candidates)
    return {name: [_in_words(report, name) for report in reports] for name in names}


def _in_words(report: Report, name: str) -> str:
    candidate = next((c for c in report.candidates if c.name == name), None)
    if candidate is None:
        return ""
    if candidate.failure is not None:
        return "failed"
    words = metric_words(candidate.metric)
    change = "" if candidate.is_original else f"{words.change(candidate.drop)}{words.unit}"
    parts = (format_bytes(candidate.size_bytes), format_ratio(candidate.latency_ratio), change)
    return ", ".join(part for part in parts if part and part != MISSING)


def _notes(reports: Sequence[Report]) -> Iterable[str]:
    if len({r.data.get("fingerprint") for r in reports}) > 1:
        yield "The runs have other data: accuracies are not of the same samples; compare the changes."
    if len({r.candidates[0].metric for r in reports if r.candidates}) > 1:
        yield "The runs have other metrics: their accuracies and changes are not comparable."
    if len({_machine(r.machine) for r in reports}) > 1:
        yield "The runs were measured on other machines: compare the ratios, not the milliseconds."
    if any(not r.finished for r in reports):
        yield "A search is not finished: its best so far is shown."
