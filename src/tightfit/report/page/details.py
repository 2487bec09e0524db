"""What an engineer asks of the chosen file: classes, flipped samples, time and bytes of each op, memory."""

from __future__ import annotations

import base64
import io
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightfit.data.sample import Sample
from tightfit.errors import TightfitError
from tightfit.evaluation.parallel_runs import ModelRun, RunRound, run_side_by_side
from tightfit.graph.ir import Model
from tightfit.graph.reader import read_model
from tightfit.graph.summary import stored_bytes
from tightfit.report.page.sample_sheet import tile_of
from tightfit.runtime.native.op_profile import profile_ops
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.types import Array

FLIPPED: Final = 12
"""Samples with another decision that are shown."""
_OPS: Final = 15
_THREADS: Final = 2
_FEWEST_SECONDS: Final = 5.0
_THUMBNAIL: Final = 56


def details_of(original: Path, chosen: Path, samples: Iterable[Sample], *, seconds: float) -> dict[str, Any]:
    """Return facts about the chosen file, as JSON can hold them.

    Args:
        original: the float model.
        chosen: the file that ships.
        samples: those that evaluated.
        seconds: that the search took; a tenth of them, five at least, may be spent on the decisions.

    Returns:
        ``classes`` (class, samples, accuracy of both), ``confusion`` (label, decision, samples), ``flipped``,
        ``decided`` (how many samples), ``op_times``, ``storage`` and ``memory``; what cannot be measured is
        empty.
    """
    model = read_model(chosen)
    verdict = check(model, find_target("cpu"))
    found: dict[str, Any] = {
        "storage": storage_of(model, chosen.stat().st_size),
        "memory": {"weights": verdict.weight_bytes, "activations": verdict.activation_bytes},
        "op_times": _op_times(chosen),
    }
    decisions = DecisionCounts(time.monotonic() + max(_FEWEST_SECONDS, 0.1 * seconds))
    runs = [ModelRun(original, _THREADS), ModelRun(chosen, _THREADS)]
    try:
        with closing(run_side_by_side(iter(samples), runs)) as rounds:
            decisions.take(rounds)
    except TightfitError:
        return found
    return found | decisions.facts()


def storage_of(model: Model, file_bytes: int) -> list[dict[str, Any]]:
    """Return the largest parts of a file: the constants of each op, and what is no constant.

    Each constant counts once, for the first op that reads it.
    """
    seen: set[int] = set()
    rows: list[dict[str, Any]] = []
    for graph in model.graphs:
        for op in graph.ops:
            held = [t for t in op.inputs if t is not None and t.is_constant and id(t) not in seen]
            seen |= {id(t) for t in held}
            size = sum(stored_bytes(t) for t in held)
            if size:
                name = op.outputs[0].name if op.outputs else ""
                rows.append({"name": name, "kind": op.kind, "bytes": size})
    rows.sort(key=lambda row: -row["bytes"])
    constants = sum(row["bytes"] for row in rows)
    rest = sum(row["bytes"] for row in rows[_OPS:])
    shown = rows[:_OPS] + ([{"name": "other ops", "kind": "", "bytes": rest}] if rest else [])
    return [*shown, {"name": "graph, names, provenance", "kind": "", "bytes": max(0, file_bytes - constants)}]


def _op_times(path: Path) -> list[dict[str, Any]]:
    try:
        ops = profile_ops(path)
    except TightfitError:
        return []
    total = sum(op.mean_ms for op in ops) or 1.0
    slowest = sorted(ops, key=lambda op: -op.mean_ms)[:_OPS]
    return [{"name": o.name, "kind": o.kind, "ms": o.mean_ms, "share": o.mean_ms / total} for o in slowest]


class DecisionCounts:
    """What both models decide on the same samples.

    Args:
        until: of ``time.monotonic``; later samples are not read.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.count = 0
        self.flipped: list[dict[str, Any]] = []
        self.changed = 0
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.right: dict[int, list[int]] = {}

    def take(self, rounds: Iterable[RunRound]) -> None:
        """Take in samples until the time is over."""
        for each in rounds:
            answers = [None if outputs is None else decision(outputs) for outputs in each.answers]
            if None in answers:
                return
            self._add(each, answers[0] or 0, answers[1] or 0)
            if time.monotonic() > self.until:
                return

    def _add(self, each: RunRound, before: int, after: int) -> None:
        label = each.label if isinstance(each.label, int) else None
        if label is not None:
            counts = self.right.setdefault(label, [0, 0, 0])
            counts[0] += 1
            counts[1] += before == label
            counts[2] += after == label
            self.pairs[label, after] += 1
        if before != after:
            self.changed += 1
            if len(self.flipped) < FLIPPED:
                picture = thumbnail(next(iter(each.inputs.values())))
                row = {"index": self.count, "label": label, "original": before, "chosen": after}
                self.flipped.append({**row, "picture": picture})
        self.count += 1

    def facts(self) -> dict[str, Any]:
        """Return the counts as JSON can hold them, the class that lost most first."""
        classes = [
            {"class": label, "samples": n, "original": a / n, "chosen": b / n}
            for label, (n, a, b) in self.right.items()
        ]
        classes.sort(key=lambda row: (row["chosen"] - row["original"], row["class"]))
        wrong = [(pair, n) for pair, n in self.pairs.most_common() if pair[0] != pair[1]]
        confusion = [{"label": a, "decision": b, "samples": n} for (a, b), n in wrong[:FLIPPED]]
        return {
            "decided": self.count,
            "changed": self.changed,
            "classes": classes,
            "confusion": confusion,
            "flipped": self.flipped,
        }


def decision(outputs: Mapping[str, Array]) -> int | None:
    """Return the index of the largest value of the first output with two to 100,000 values; None without.

    Example:
        >>> decision({"scores": np.array([[0.1, 0.7, 0.2]])})
        1
    """
    for array in outputs.values():
        values = np.asarray(array)
        if 2 <= values.size <= 100_000 and values.shape[-1] == values.size:
            return int(values.argmax())
    return None


def thumbnail(array: Array) -> str:
    """Return a small picture of an input as a data URI."""
    packed = io.BytesIO()
    tile_of(array).resize((_THUMBNAIL, _THUMBNAIL)).save(packed, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
