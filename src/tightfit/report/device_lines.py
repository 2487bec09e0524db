"""The latency of the candidates on each device, and the choice for it, as lines for a terminal."""

from __future__ import annotations

from tightfit.report.printable import printable
from tightfit.report.report import Report
from tightfit.units import format_milliseconds, format_ratio


def device_lines(report: Report) -> list[str]:
    """Return one line a device: the choice for it with its latency, then the others from the fastest on."""
    return [_line(report, name, str(facts.get("best"))) for name, facts in report.devices.items()]


def _line(report: Report, name: str, best: str) -> str:
    measured = [(c.name, c.devices[name]) for c in report.candidates if name in c.devices]
    ran = sorted((f.get("latency_ratio") or float("inf"), n, f) for n, f in measured if not f.get("failure"))
    words = [f"{n} {format_ratio(f.get('latency_ratio'))}" for _, n, f in ran if n != best]
    own = next((f for _, n, f in ran if n == best), None)
    if own is None:
        return printable(f"{name}: not measured")
    chosen = f"{best} {format_ratio(own.get('latency_ratio'))}, {format_milliseconds(own.get('latency_ms'))}"
    return printable(f"{name}: {chosen} is chosen" + (f"; {', '.join(words)}" if words else ""))
