"""Compare several runs or devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tightfit.errors import OptionError
from tightfit.kinds import Pathlike
from tightfit.report.comparison.compare_runs import Comparison, compare_runs
from tightfit.report.comparison.page import write_comparison
from tightfit.report.report import Report, read_report
from tightfit.spoken import verb

Runs = Sequence[Report | Pathlike] | Mapping[str, Report | Pathlike]


@verb()
def compare(reports: Runs, output: Pathlike | None = None) -> Comparison:
    """Return several searches side by side: the choice of each, the best of all, what was asked differently.

    A report of a search on several devices adds a row for each device.

    Args:
        reports: two or more reports, files ``report.json``, or folders of ``optimize``; a mapping names them.
        output: the page to write, such as ``compare.html``; None for none.

    Returns:
        The comparison; ``best`` is the run with the smallest file that fits its budget, and of files within
        2 % of it the one with the lowest latency ratio.

    Raises:
        OptionError: there are fewer than two rows to compare.
        DataError: a file is no report.

    Example:
        ``tightfit.compare(["first/report.json", "second/report.json"])``
    """
    named = reports.items() if isinstance(reports, Mapping) else [(_name(each), each) for each in reports]
    found: dict[str, Report] = {}
    for name, each in named:
        found[_unique(name, found)] = each if isinstance(each, Report) else read_report(_file(each))
    if len(found) + sum(len(report.devices) for report in found.values()) < 2:
        raise OptionError(f"Received {len(found)} report; expected two or more, or one with devices.")
    result = compare_runs(found)
    if output is None:
        return result
    write_comparison(result, found, Path(output))
    return replace(result, path=Path(output))


def _file(each: Pathlike) -> Path:
    """The report of a folder, or the file itself."""
    path = Path(each)
    return path / "report.json" if path.is_dir() else path


def _name(each: Report | Pathlike) -> str:
    """A run's name: its folder's."""
    if isinstance(each, Report):
        return Path(each.folder).name if each.folder else str(each.model.get("name") or "run")
    path = Path(each)
    return (path.parent if path.name == "report.json" else path).resolve().name


def _unique(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number where another run has it.

    Example:
        >>> _unique("out", {"out": 1, "out (2)": 1})
        'out (3)'
    """
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found
