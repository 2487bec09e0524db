"""The report: what was asked, tried, measured and chosen, as plain data that goes to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tightfit.errors import DataError, TightfitError
from tightfit.files import atomic_file
from tightfit.paths import read_text
from tightfit.plain_values import strict
from tightfit.report.methodology import METHODS
from tightfit.result import Result, Row
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.job import DONE
from tightfit.search.journal import is_sound
from tightfit.search.verdict.budget import Budget, allowed_drop

SCHEMA = 1
_DIGITS = 9
_FROM_A_REPORT = "expected what `tightfit optimize` writes as report.json; run it again to make a new one."


@dataclass(frozen=True, repr=False)
class Report(Result):
    """A search and its result.

    Args:
        model: ``name``, ``size_bytes``, ``sha256`` … of the original.
        data: ``name``, ``count``, ``calibration_samples``, ``evaluation_samples``, ``fingerprint`` …
        machine: as ``evaluation.machine`` describes it, and ``threads``.
        budget: what was asked for.
        candidates: everything that was tried, the original first.
        best: name of the chosen candidate, or None when every one failed.
        pareto: names that no other candidate beats, the smallest file first.
        notes: what a reader should know (what the calibration doctor found, what was left out).
        methods: how each number was measured, in sentences by topic.
        created: date and time, ISO 8601.
        seconds: how long the search took.
        finished: False while the search goes on or when it was cut off.
        devices: board → ``machine`` or ``failure``, and ``best``, the candidate for it; the report's ``best``
            is then the one for all boards.
        version: of tightfit, None where it is not known.
        schema: number of the JSON's form.
        ending: how it ended, one of ``search.job``'s words.
        run: what was asked for, by the names of options (``search.run_file``).
        details: of the chosen file, see ``report.details``.
        not_tried: reason → names of the candidates that were left out for it.
        folder: where the files are; not part of the JSON.
    """

    model: dict[str, object]
    data: dict[str, object]
    machine: dict[str, object]
    budget: Budget
    candidates: list[Candidate]
    best: str | None = None
    pareto: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    methods: dict[str, str] = field(default_factory=lambda: dict(METHODS))
    created: str | None = None
    seconds: float | None = None
    finished: bool = True
    version: str | None = None
    schema: int = SCHEMA
    ending: str = DONE
    run: dict[str, object] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)
    folder: str | None = None
    devices: dict[str, dict[str, object]] = field(default_factory=dict)
    not_tried: dict[str, list[str]] = field(default_factory=dict)

    @property
    def path(self) -> Path | None:
        """The file that ships, None where every candidate failed."""
        return None if self.folder is None or self.chosen is None else Path(self.folder) / "best.tflite"

    @property
    def allowed_drop(self) -> float | None:
        """By how much the main metric may get worse, in its unit; None without a limit on it."""
        return allowed_drop(self.budget, self.candidates)

    @property
    def tried(self) -> int:
        """How many candidates besides the original were tried."""
        return sum(not c.is_original for c in self.candidates)

    @property
    def all_failed(self) -> bool:
        """True when candidates were tried and none of them could be made or run."""
        return self.tried > 0 and all(c.failure is not None for c in self.candidates if not c.is_original)

    @property
    def chosen(self) -> Candidate | None:
        """The chosen candidate."""
        return next((c for c in self.candidates if c.name == self.best), None)

    @property
    def original(self) -> Candidate | None:
        """The float model that the others are compared with."""
        return next((c for c in self.candidates if c.is_original), None)

    @property
    def meets_budget(self) -> bool:
        """True when the chosen candidate keeps to the budget (the command then exits with 0)."""
        return self.chosen is not None and bool(self.chosen.meets_budget)

    def to_dict(self) -> dict[str, object]:
        """Return plain data: null for what is not finite, floats with 9 significant digits."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}
        plain["budget"] = asdict(self.budget)
        plain["candidates"] = [c.to_dict() for c in self.candidates]
        tidy: dict[str, object] = _tidy(strict(plain))
        return tidy

    def to_json(self) -> str:
        """Return strict JSON with the keys in order."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def headline(self) -> str:
        """Return the choice in one line."""
        fits = "meets the budget" if self.meets_budget else "does not meet the budget"
        return f"Report(best={self.best!r}, {len(self.candidates)} candidates, {fits})"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the candidates, the chosen one marked."""
        titles = ("", "candidate", "bytes", "latency", "accuracy", "fits")
        return titles, [_row(c, best=c.name == self.best) for c in self.candidates]

    def chart(self) -> str:
        """Return size against accuracy, as in report.html; empty while nothing was measured."""
        from tightfit.report.page.html import chart_svg  # noqa: PLC0415 - it imports this module

        return chart_svg(self)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return the report back; keys of a newer version are passed over.

        Raises:
            DataError: the text is no report.
        """
        try:
            plain = json.loads(text)
            if not isinstance(plain, dict):
                raise DataError(f"The report is a JSON {type(plain).__name__}; {_FROM_A_REPORT}")
            for key in ("model", "data", "machine", "budget"):
                if not isinstance(plain[key], dict):
                    raise DataError(f"'{key}' of the report is no object; {_FROM_A_REPORT}")
            known = _only_fields(cls, plain)
            known["budget"] = Budget(**_only_fields(Budget, plain["budget"]))
            known["candidates"] = [Candidate.from_dict(c) for c in plain["candidates"]]
            odd = next((c for c in known["candidates"] if not is_sound(c)), None)
            if odd is not None:
                raise DataError(f"A candidate of the report has values of other types; {_FROM_A_REPORT}")
            return cls(**known)
        except TightfitError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"The report cannot be read ({error}); {_FROM_A_REPORT}") from error

    def write(self, path: str | Path) -> None:
        """Writes ``report.json`` whole or not at all.

        Raises:
            ModelError: the folder is read-only or the disk is full.
        """
        with atomic_file(Path(path)) as file:
            file.write(self.to_json().encode())


def _row(candidate: Candidate, *, best: bool) -> Row:
    """Return one row of the table."""
    latency = "" if candidate.latency_ratio is None else f"{candidate.latency_ratio:.2f}×"
    accuracy = "" if candidate.accuracy is None else f"{candidate.accuracy:.4f}"
    fits = {True: "yes", False: "no"}.get(bool(candidate.meets_budget), "")
    return "→" if best else "", candidate.name, f"{candidate.size_bytes or 0:,}", latency, accuracy, fits


def read_report(path: str | Path) -> Report:
    """Return the report of a ``report.json``.

    Raises:
        DataError: the file is missing or no report.
    """
    if Path(path).suffix.lower() in (".html", ".htm"):
        raise DataError(f"'{path}' is the page of a report; expected the report.json beside it.")
    try:
        text = read_text(Path(path), "The report")
    except FileNotFoundError as error:
        raise DataError(f"There is no report '{path}'; {_FROM_A_REPORT}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise DataError(f"Cannot read the report '{path}' ({why}); {_FROM_A_REPORT}") from error
    try:
        return Report.from_json(text)
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error


def _only_fields(kind: type[Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that the dataclass knows."""
    return {f.name: plain[f.name] for f in fields(kind) if f.name in plain}


def _tidy(value: Any) -> Any:
    """Rounds floats to what a measurement can mean: 0.0070000000000000062 becomes 0.007."""
    if isinstance(value, dict):
        return {key: _tidy(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_tidy(v) for v in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
