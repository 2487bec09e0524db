"""The result in sentences: what was chosen, and where nothing was gained."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.job import INTERRUPTED, OUT_OF_TIME
from tightfit.search.verdict.choice import NEAR_TIE
from tightfit.search.verdict.judged_drop import ESTIMATE
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_count, format_decibels, format_percent, format_ratio


class Choice(NamedTuple):
    """The choice: a headline, the numbers behind it, and what it misses (empty when it fits)."""

    headline: str
    detail: str
    misses: str

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


def choice_sentence(report: Report) -> Choice:  # noqa: PLR0911 - one line for each ending
    """Return the choice in words.

    Example:
        >>> from tightfit.search.verdict.budget import Budget
        >>> small = Candidate(
        ...     "int8", "int8", ["int8"], size_bytes=5_300_000, latency_ratio=0.95, meets_budget=True
        ... )
        >>> print(choice_sentence(Report({}, {}, {}, Budget(max_size=6_000_000), [small], "int8")))
        int8 fits. 5.3 MB, 0.95× the latency of the original on this machine.
    """
    chosen = report.chosen
    failures = _failures(report)
    if chosen is None:
        return Choice("No candidate could be made.", "", failures)
    name, detail = printable(chosen.name, 60), _numbers(report, chosen)
    if not report.tried:
        return Choice("Nothing was tried.", "", _why_nothing(report))
    if report.all_failed:
        return Choice("Every candidate failed; the original stays.", "", failures)
    if chosen.meets_budget is None:
        headline = f"{name} may fit, but the samples are too few to say so."
        return Choice(headline, detail, " ".join(chosen.reasons))
    if not chosen.meets_budget:
        return Choice(f"Nothing fits the budget; {name} comes closest.", detail, " ".join(chosen.reasons))
    if chosen.is_original:
        return Choice(
            "The original is best as it is.", "Nothing that fits the budget is smaller or faster.", ""
        )
    caveats = " ".join([*_weak_words(chosen), *chosen.evidence.get("proxies", ())])
    if report.budget.is_empty:
        return Choice(f"{name} is the best trade.", detail, caveats)
    return Choice(f"{name} fits.", detail, caveats)


def _weak_words(chosen: Candidate) -> list[str]:
    """One sentence for each output with a slice between lost and good."""
    sentences = [printable(o["weak"], 300) for o in chosen.outputs if o.get("weak")]
    return [f"{text[:1].upper()}{text[1:]}." for text in sentences]


def _why_nothing(report: Report) -> str:
    """Why no candidate was tried."""
    if report.ending == OUT_OF_TIME and report.budget.minutes is not None:
        return f"The {report.budget.minutes:g} minutes were over before the first candidate; give more time."
    if report.ending == INTERRUPTED:
        return "The search was interrupted before the first candidate; run the same command again."
    return (
        "Every candidate was left out; the notes say why." if report.finished else "The search is going on."
    )


def ending_sentence(report: Report, folder: Path) -> str:  # noqa: PLR0911 - one line for each ending
    """Return the last line on a terminal: which file is where, and what stands behind it.

    Args:
        report: of a search, finished or not.
        folder: of the results.
    """
    best, page = folder / "best.tflite", folder / "report.html"
    chosen = report.chosen
    if chosen is None:
        return f"No file was written; {page} says why."
    if report.ending == INTERRUPTED:
        name = printable(chosen.name, 60)
        return f"Interrupted: {best} is the best so far ({name}); {page} says what is missing."
    if chosen.is_original:
        return f"{best} is the original; {page} says what was tried."
    if chosen.meets_budget is None:
        return f"{best} is the best guess; {page} says what is not shown."
    if not chosen.meets_budget:
        return f"{best} is the closest to the budget; {page} says what it misses."
    if report.budget.is_empty or report.budget.judge != ESTIMATE:
        return f"{best} is the file that ships; {page} proves it."
    return f"{best} is the file that ships, by the estimates; {page} shows their intervals."


def _failures(report: Report) -> str:
    """Why nothing could be made: the first failure stands for all."""
    return next((c.failure for c in report.candidates if c.failure), "Nothing was tried.")


def _numbers(report: Report, chosen: Candidate) -> str:
    """Size, latency and accuracy in one sentence; what was not measured is left out."""
    parts = [_size_words(chosen, report.original), _latency_words(chosen), _accuracy_words(chosen)]
    parts += [_metric_words(chosen, name) for name in chosen.metrics if name != chosen.metric]
    parts += [_slice_words(chosen), _target_words(chosen, report.budget.target)]
    sentence = ", ".join(part for part in parts if part)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _size_words(chosen: Candidate, original: Candidate | None) -> str:
    if chosen.size_bytes is None:
        return ""
    if chosen.is_original or original is None or not original.size_bytes:
        return format_bytes(chosen.size_bytes)
    ratio = format_ratio(chosen.size_bytes / original.size_bytes)
    return f"{format_bytes(chosen.size_bytes)} instead of {format_bytes(original.size_bytes)} ({ratio})"


def _latency_words(chosen: Candidate) -> str:
    if chosen.latency_ratio is None or chosen.is_original:
        return ""
    return f"{format_ratio(chosen.latency_ratio)} the latency of the original on this machine"


def _accuracy_words(chosen: Candidate) -> str:
    if chosen.accuracy is None:
        return ""
    words = metric_words(chosen.metric)
    score = f"{words.noun} {words.score(chosen.accuracy)}"
    if chosen.drop is None or chosen.is_original:
        return score
    change = f"{words.change(chosen.drop)}{words.unit}"
    if chosen.drop_interval is None:
        return f"{score} ({change})"
    return f"{score} ({change}, 95 % interval {words.change_interval(chosen.drop_interval)})"


def _metric_words(chosen: Candidate, name: str) -> str:
    """Another metric than the main one, with its change."""
    found, words = chosen.metrics[name], metric_words(name)
    change, interval = found.get("change"), found.get("interval")
    score = f"{printable(words.noun, 60)} {words.score(found.get('value'))}"
    if change is None or chosen.is_original:
        return score
    drop = f"{words.change(0.0 - change)}{words.unit}"
    if interval is None:
        return f"{score} ({drop})"
    return f"{score} ({drop}, 95 % interval {words.change_interval((0.0 - interval[1], 0.0 - interval[0]))})"


def _slice_words(chosen: Candidate) -> str:
    """The worst slice of all outputs, with the samples that it rests on."""
    known = [o for o in chosen.outputs if o.get("worst_slice")]
    if chosen.is_original or not known:
        return ""
    output = min(known, key=lambda o: float(o["worst_slice"]["snr_db"] or 0.0))
    worst = output["worst_slice"]
    ratio, samples = format_decibels(worst["snr_db"]), format_count(output["samples"], "sample")
    return f"worst slice '{printable(worst['name'], 40)}' {ratio} on {samples}"


def _target_words(chosen: Candidate, target: str | None) -> str:
    verdict = chosen.targets.get(target) if target else None
    if verdict is None or verdict.accelerated is None:
        return ""
    return f"{format_percent(verdict.accelerated, 0)} of its MACs accelerated on {target}"


def gain_notes(candidate: Candidate, original: Candidate | None) -> list[str]:
    """Return where a candidate gains nothing over the original, so that nobody has to guess it.

    Example:
        >>> slow = Candidate("int16x8", "int16x8", ["int16x8"], size_bytes=53, latency_ratio=1.18)
        >>> gain_notes(slow, Candidate("float", "float32", size_bytes=186))
        ['Slower than the original on this machine (1.18×).']
    """
    if original is None or candidate.is_original or candidate.failure is not None:
        return []
    notes = []
    if candidate.size_bytes and original.size_bytes and candidate.size_bytes * NEAR_TIE > original.size_bytes:
        notes.append("No gain in size.")
    latency = _latency_note(candidate)
    return [*notes, latency] if latency else notes


def _latency_note(candidate: Candidate) -> str:
    """What the latency does not gain: nothing, less than the noise, or a loss."""
    ratio, interval = candidate.latency_ratio, candidate.latency_interval
    if ratio is None:
        return ""
    low, high = interval or (ratio, ratio)
    if low <= 1 <= high and ratio < 1 / NEAR_TIE:
        return f"Its gain in latency is within the noise ({format_ratio(low)} … {format_ratio(high)})."
    if low <= 1 <= high or 1 / NEAR_TIE <= ratio <= NEAR_TIE:
        return "No gain in latency on this machine."
    return f"Slower than the original on this machine ({format_ratio(ratio)})." if ratio > 1 else ""
