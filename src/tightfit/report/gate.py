"""A gate for continuous integration: what a report lost against an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tightfit.files import atomic_file
from tightfit.report.report import Report
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.metric_words import metric_words
from tightfit.units import format_bytes, format_decibels, format_ratio

_SIZE: Final = 0.01
"""Growth of the file that is no regression: provenance and versions take some bytes."""
_LATENCY: Final = 0.15
"""Growth of the latency ratio that is no regression, beyond the 95 % intervals of both runs."""
_POINT: Final = 0.005
"""Loss of a share, half a point; of other metrics the share of the original's value."""
_DECIBELS: Final = 3.0
"""Loss of an output's worst slice."""


@dataclass(frozen=True)
class GateCheck:
    """One quantity of both reports.

    Args:
        name: the quantity. before, now: in words.
        passed: False for a regression.
        reason: the sentence then.
    """

    name: str
    before: str
    now: str
    passed: bool
    reason: str = ""


def compare_reports(baseline: Report, report: Report) -> list[GateCheck]:
    """Return a check for each quantity of the chosen files.

    Args:
        baseline: an earlier report.
        report: the one of now.
    """
    before, now = baseline.chosen, report.chosen
    checks = [
        _check(
            "budget", (_met(baseline), _met(report)), passed=report.meets_budget or not baseline.meets_budget
        )
    ]
    if before is None or now is None:
        return [*checks, _check("chosen file", (_name(before), _name(now)), passed=before is None)]
    checks += _sizes(before, now)
    checks += _metrics(before, now, baseline.original)
    checks += _slices(before, now)
    for target, verdict in before.targets.items():
        other = now.targets.get(target)
        fits = other is not None and other.fits
        checks.append(
            _check(f"target {target}", (_fits(verdict.fits), _fits(fits)), passed=fits or not verdict.fits)
        )
    return checks


def _met(report: Report) -> str:
    return "met" if report.meets_budget else "not met"


def _name(candidate: Candidate | None) -> str:
    return "none" if candidate is None else candidate.name


def _fits(fits: bool) -> str:
    return "fits" if fits else "does not fit"


def _check(name: str, words: tuple[str, str], *, passed: bool) -> GateCheck:
    reason = "" if passed else f"{name}: {words[0]} in the baseline, {words[1]} now."
    return GateCheck(name, *words, passed, reason)


def _sizes(before: Candidate, now: Candidate) -> Iterator[GateCheck]:
    if before.size_bytes is not None and now.size_bytes is not None:
        words = format_bytes(before.size_bytes), format_bytes(now.size_bytes)
        yield _check("size", words, passed=now.size_bytes <= before.size_bytes * (1 + _SIZE))
    if before.latency_ratio is not None and now.latency_ratio is not None:
        words = format_ratio(before.latency_ratio), format_ratio(now.latency_ratio)
        known = (before.latency_interval or (before.latency_ratio,))[-1]
        found = (now.latency_interval or (now.latency_ratio,))[0]
        yield _check("latency ratio", words, passed=found <= known * (1 + _LATENCY))


def _metrics(before: Candidate, now: Candidate, original: Candidate | None) -> Iterator[GateCheck]:
    """Compare the change of each metric from its own original, so that other samples do not count."""
    for name, score in before.metrics.items():
        other = now.metrics.get(name, {})
        words = metric_words(name)
        changes = score.get("change"), other.get("change")
        if changes[0] is None:
            continue
        if changes[1] is None:
            yield _check(words.noun, (words.change(0.0 - changes[0]), "not measured"), passed=False)
            continue
        value = None if original is None else original.metrics.get(name, {}).get("value")
        allowed = _POINT if words.is_bounded else _POINT * abs(value or 1.0)
        shown = words.change(0.0 - changes[0]), words.change(0.0 - changes[1])
        yield _check(f"change in {words.noun}", shown, passed=changes[1] >= changes[0] - allowed)


def _slices(before: Candidate, now: Candidate) -> Iterator[GateCheck]:
    later = {output["name"]: output for output in now.outputs}
    for output in before.outputs:
        was = (output.get("worst_slice") or {}).get("snr_db")
        found = (later.get(output["name"], {}).get("worst_slice") or {}).get("snr_db")
        if was is not None and found is not None:
            words = format_decibels(was), format_decibels(found)
            yield _check(f"worst slice of {output['name']}", words, passed=found >= was - _DECIBELS)


def markdown(checks: list[GateCheck]) -> str:
    """Return the checks as a table for a pull request.

    Example:
        >>> print(markdown([GateCheck("size", "5.3 MB", "5.3 MB", True)]))
        | | baseline | now | |
        |---|---|---|---|
        | size | 5.3 MB | 5.3 MB | ok |
    """
    rows = [f"| {c.name} | {c.before} | {c.now} | {'ok' if c.passed else '**regression**'} |" for c in checks]
    return "\n".join(["| | baseline | now | |", "|---|---|---|---|", *rows])


def junit(checks: list[GateCheck], model: str) -> bytes:
    """Return the checks as a JUnit report, which servers of continuous integration show."""
    failed = sum(not c.passed for c in checks)
    suite = ET.Element("testsuite", name="tightfit", tests=str(len(checks)), failures=str(failed))
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname=f"tightfit.{model}", name=check.name)
        if not check.passed:
            ET.SubElement(case, "failure", message=check.reason)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def write_gate(checks: list[GateCheck], model: str, folder: Path) -> None:
    """Write ``gate.md`` and ``gate.xml`` into a folder."""
    with atomic_file(folder / "gate.md") as file:
        file.write((markdown(checks) + "\n").encode())
    with atomic_file(folder / "gate.xml") as file:
        file.write(junit(checks, model))
