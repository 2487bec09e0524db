"""The guide's tables as Markdown, from stored results; rows where a peer does better come first, with why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

STORED: Final = Path(__file__).parent / "stored" / "guide"
OWN: Final = "tightfit"
SLOWER: Final = 1.02
"""Latency over a peer's above which a row counts as lost."""


def stored() -> list[dict[str, Any]]:
    """Return the stored results, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(STORED.glob("*.json"))]


def page(networks: Mapping[str, Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> str:
    """Return every table: lost rows, a table of each network, and what is absent."""
    parts = ["### Rows where a peer does better\n", _lost_table(networks, results)]
    parts += [_table(networks[result["name"]], result) for result in results]
    return "\n".join(parts)


def lost(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield scheme, peer and reason wherever a peer's file is better than ours by the guide's measures.

    A peer is better in accuracy where its score on the same samples is better at no larger size, however
    small the difference; or in latency where ours takes over 1.02 of its time.
    """
    own = {row["scheme"]: row for row in result["rows"] if row["tool"] == OWN}
    for row in result["rows"]:
        ours = own.get(row["scheme"])
        if row["tool"] == OWN or ours is None:
            continue
        if _worse(ours, row) and row["size_ratio"] <= ours["size_ratio"]:
            yield row["scheme"], row["tool"], f"accuracy {_value(ours)} against {_value(row)}"
        if ours["latency_ratio"] > SLOWER * row["latency_ratio"]:
            faster = f"{ours['latency_ratio']:.2f}× against {row['latency_ratio']:.2f}×"
            yield row["scheme"], row["tool"], f"latency {faster}"


def _worse(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if ours["value"] is None or theirs["value"] is None:
        return False
    if ours["metric"] in ("mae", "rmse", "mse"):
        return bool(ours["value"] > theirs["value"])
    return bool(ours["value"] < theirs["value"])


def _lost_table(networks: Mapping[str, Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"| {networks[result['name']]['title']} | {scheme} | {tool} | {reason} |"
        for result in results
        for scheme, tool, reason in lost(result)
    ]
    return "\n".join(
        ["| network | scheme | peer | what |", "|---|---|---|---|", *(rows or ["| none | | | |"])]
    )


def _table(row: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    title = f"\n### {row['title']}\n\n{row['task'].capitalize()}. Licence: {row['licence']}."
    if "absent" in result:
        return f"{title} Not measured here: {result['absent']}.\n"
    base = result["float"]
    head = (
        f"{title} Float: {base['metric'].partition('(')[0]} {_value(base)}, "
        f"{base['size_bytes'] / 1e6:.1f} MB; {base['n']} samples measure. {result['machine']}; "
        f"{result['date']}, commit {result['commit']}.\n\n"
        "| scheme | tool | metric | change | agreement | SNR | size | latency | seconds |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    lines = [_line(r) for r in result["rows"]]
    lines += [
        f"| {r['scheme']} | {r['tool']} | refused: {' '.join(r['refusal'].split())[:90]} | | | | | | |"
        for r in result.get("refused", ())
    ]
    return "\n".join([head, *lines, ""])


def _line(row: Mapping[str, Any]) -> str:
    if row["failure"]:
        return f"| {row['scheme']} | {row['tool']} | does not run | | | | {row['size_ratio']:.3f}× | | |"
    cells = [
        row["scheme"], row["tool"], _value(row), _signed(row["change"]), _share(row["agreement"]),
        "" if row["snr_db"] is None else f"{row['snr_db']:.1f} dB", f"{row['size_ratio']:.3f}×",
        f"{row['latency_ratio']:.2f}×", f"{row['seconds']:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _value(row: Mapping[str, Any]) -> str:
    return "" if row["value"] is None else f"{row['value']:.4f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
