"""Candidate detail: how its ops run, why some compute in float, and the error along the graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tightfit.quantization.scheme import SCHEMES
from tightfit.report.printable import printable
from tightfit.report.report_facts import Fact
from tightfit.search.candidates.candidate import Candidate, LayerError, PlanSummary
from tightfit.units import format_bytes, format_count, format_decibels, format_percent, format_ratio

MOST_OPS = 400
MARKED_OPS = 12
EXACT_DB = 150.0  # the resolution of float32
_STRIP_HEIGHT = 40.0
_BEST_DB = 40.0


@dataclass
class LayerRow:
    """The error of one op.

    Args:
        position: position in the graph.
        name: the op's name.
        short: the name without the common prefix.
        kind: the op's kind.
        words: the error in words.
        share: length of the bar, 0–1.
        snr_db: signal-to-noise ratio in dB, by which rows are sorted.
    """

    position: int
    name: str
    short: str
    kind: str
    words: str
    share: float
    snr_db: float


@dataclass
class Reason:
    """A reason why some ops compute in float."""

    text: str
    count: str
    kinds: str
    ops: list[str]


@dataclass
class Inside:
    """The details of one candidate."""

    name: str
    chosen: bool
    original: bool
    facts: list[Fact]
    steps: list[str]
    integer_ops: int = 0
    ops: int = 0
    computes: str = ""
    reasons: list[Reason] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    left_out: int = 0
    strip: str = ""
    strip_worst: str = ""
    strip_width: int = 0


def look_inside(candidate: Candidate, chosen: bool) -> Inside:
    """Return how a candidate's ops run and the error of each against the float model, the worst first."""
    plan = candidate.plan_summary or PlanSummary()
    measured = [(i, e) for i, e in enumerate(candidate.layer_error) if e.snr_db is not None]
    worst = sorted(measured, key=lambda pair: (pair[1].snr_db or 0.0, pair[0]))
    most_db = max(
        [_BEST_DB, *(e.snr_db for _, e in measured if e.snr_db is not None and e.snr_db < EXACT_DB)]
    )
    prefix = shared_folder([e.name for _, e in measured])
    marked = {i for i, _ in worst[:MARKED_OPS]}
    columns = [(n, _share(e.snr_db or 0.0, most_db), i in marked) for n, (i, e) in enumerate(measured)]
    return Inside(
        name=printable(candidate.name, 60),
        chosen=chosen,
        original=candidate.is_original,
        facts=_facts(candidate),
        steps=[printable(step, 200) for step in candidate.steps],
        integer_ops=plan.integer_ops,
        ops=plan.integer_ops + plan.float_ops,
        computes=_computes(candidate, plan),
        reasons=_reasons(plan),
        layers=[_layer(i, e, prefix, most_db) for i, e in worst[:MOST_OPS]],
        left_out=max(0, len(worst) - MOST_OPS),
        strip=_strip((n, share) for n, share, bad in columns if not bad),
        strip_worst=_strip((n, share) for n, share, bad in columns if bad),
        strip_width=len(measured),
    )


def _computes(candidate: Candidate, plan: PlanSummary) -> str:
    """How the ops run, in words."""
    ops, scheme = plan.integer_ops + plan.float_ops, SCHEMES.get(candidate.scheme)
    if plan.integer_ops or scheme is None:
        return f"{plan.integer_ops} of {ops} ops compute on integers"
    if candidate.scheme == "dynamic":
        return f"{ops} ops between float tensors; those with 8-bit weights quantize their input as they run"
    return f"{ops} ops compute in float; weights are stored as {scheme.weights}"


def _layer(position: int, error: LayerError, prefix: str, most_db: float) -> LayerRow:
    snr_db = error.snr_db or 0.0
    words = "exact" if snr_db >= EXACT_DB else format_decibels(snr_db)
    kind, name = printable(error.kind, 40), printable(error.name, 120)
    short = printable(short_name(error.name, prefix), 60)
    return LayerRow(position, name, short, kind, words, round(_share(snr_db, most_db), 3), round(snr_db, 3))


def short_name(name: str, prefix: str) -> str:
    """The first name of a fused op, without the names of source modules.

    Example:
        >>> short_name("net/zoo.MBConv_2/torch.nn.ReLU__act;;net/zoo.MBConv_2/torch.nn.Conv2d;1", "net/")
        'MBConv_2/ReLU__act'
    """
    first = next((part for part in name.split(";") if part), name)
    return "/".join(part.rpartition(".")[2] or part for part in first.removeprefix(prefix).split("/"))


def shared_folder(names: Sequence[str]) -> str:
    """The prefix, up to a slash, that most names have in common.

    Example:
        >>> shared_folder(["net/a/conv", "net/a/add", "net/b/conv", "Softmax"])
        'net/'
    """
    folders = Counter(
        name[: i + 1]
        for name in names
        for i, letter in enumerate(name[:200])
        if letter == "/" and i + 1 < len(name)
    )
    shared = [folder for folder, count in folders.items() if count >= 0.75 * len(names)]
    return max(shared, key=len, default="")


def _output_fact(output: Mapping[str, Any]) -> Fact:
    """An output with its worst slice."""
    words, worst = format_decibels(output["snr_db"]), output.get("worst_slice")
    if worst:
        first, last = worst["begin"], worst["end"] - 1
        span = f"entry {first}" if first == last else f"entries {first}–{last}"
        span = f"{span} of axis {worst['axis']}"
        samples = format_count(output["samples"], "sample")
        words += f"; worst slice '{worst['name']}' ({span}) {format_decibels(worst['snr_db'])} on {samples}"
    for flaw in ("lost", "weak"):
        if output.get(flaw):
            words += f"; {output[flaw]}"
    return Fact(f"Output {printable(output['name'], 40)}", printable(words, 300))


def _share(snr_db: float, most_db: float) -> float:
    """The length of the bar, 0–1: full at 0 dB and below, where the error is as large as the signal."""
    return min(1.0, max(0.0, 1.0 - snr_db / most_db))


def _strip(columns: Iterable[tuple[int, float]]) -> str:
    """An SVG path with one column for each op, in graph order, one unit wide with a gap of a quarter."""
    tops = ((n, _STRIP_HEIGHT * (1 - max(share, 0.02))) for n, share in columns)
    return "".join(f"M{n + 0.125:g} {_STRIP_HEIGHT:g}V{top:.1f}h.75V{_STRIP_HEIGHT:g}z" for n, top in tops)


def _reasons(plan: PlanSummary) -> list[Reason]:
    """The ops in float, grouped by reason, the most frequent reason first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for op in plan.left_in_float:
        groups.setdefault(op.reason, []).append((op.kind, op.op))
    found = []
    for reason, ops in sorted(groups.items(), key=lambda item: -len(item[1])):
        kinds = Counter(kind for kind, _ in ops).most_common()
        words = ", ".join(printable(kind, 40) + (f" × {n}" if n > 1 else "") for kind, n in kinds)
        names = [printable(op, 120) for _, op in ops]
        found.append(Reason(printable(reason, 300), format_count(len(ops), "op"), words, names[:MOST_OPS]))
    return found


def _facts(candidate: Candidate) -> list[Fact]:
    """The file, its compressed sizes, its digest, its inputs and outputs, and the verdicts of targets."""
    facts = [Fact("File", printable(candidate.path or "not written", 120), code=True)]
    packed = [
        f"{format_bytes(size)} as {printable(name, 20)}" for name, size in candidate.compressed_bytes.items()
    ]
    if packed:
        facts.append(Fact("Packed", ", ".join(packed)))
    facts.append(Fact("Inputs and outputs", printable(candidate.interface, 40)))
    if candidate.layout:
        facts.append(Fact("Written for", printable(candidate.layout, 40)))
    if candidate.snr_db is not None:
        exact = candidate.snr_db >= EXACT_DB
        facts.append(Fact("Signal to noise", "exact" if exact else format_decibels(candidate.snr_db)))
    facts += [_output_fact(output) for output in candidate.outputs if not candidate.is_original]
    for name, verdict in candidate.targets.items():
        words = "fits" if verdict.fits else "does not fit"
        if verdict.accelerated is not None:
            words += f", {format_percent(verdict.accelerated, 0)} of the MACs accelerated"
        if verdict.reasons:
            words += f": {verdict.reasons[0]}"
        facts.append(Fact(printable(name, 40), printable(words, 300)))
    if candidate.latency_interval is not None and not candidate.is_original:
        low, high = (format_ratio(end) for end in candidate.latency_interval)
        facts.append(Fact("Latency, 95 % interval", f"{low} … {high}"))
    if candidate.sha256:
        facts.append(Fact("SHA-256", printable(candidate.sha256, 64), code=True))
    return facts
