"""Metrics of sequences: word and character errors of transcripts, and spans of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tightfit.errors import DataError
from tightfit.evaluation.metrics.metric import SHARE, Answer, Metric, ratio
from tightfit.types import Array

_LABELS = "a transcript: text, or indices of the output's alphabet, negative behind its end"
_CTC = {
    "alphabet": "the symbols in the output's order: a file with one a line, or the letters themselves",
    "blank": "index of CTC's blank; the last by default; none where the output is no CTC",
    "space": "index of the space between words, where labels are indices",
}


def greedy_ctc(output: Array, blank: int | None) -> list[int]:
    """Return the symbols of the largest score in each frame: repeats merged, blanks left out.

    Args:
        output: frames × symbols, batches of one in front.
        blank: index of the blank; None keeps every frame's symbol.

    Source: Graves et al. 2006, "Connectionist temporal classification", best path decoding.

    Example:
        >>> greedy_ctc(np.eye(3)[[2, 0, 0, 2, 0, 1, 1]], 2)
        [0, 0, 1]
    """
    path = output.reshape(-1, output.shape[-1]).argmax(axis=1)
    if blank is None:
        return [int(s) for s in path]
    kept = np.append(True, path[1:] != path[:-1]) & (path != blank)
    return [int(s) for s in path[kept]]


def edit_distance(found: Sequence[Any], wanted: Sequence[Any]) -> int:
    """Return the fewest insertions, deletions and substitutions from one sequence to the other.

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    symbols = {s: i for i, s in enumerate(dict.fromkeys([*found, *wanted]))}
    other = np.array([symbols[s] for s in wanted], np.int64)
    steps = np.arange(len(other) + 1)
    row = steps.copy()
    for i, symbol in enumerate(found, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (other != symbols[symbol]))
        # an insertion chain is a running minimum once each place's own insertions are taken off
        row = np.minimum.accumulate(np.append(i, best) - steps) + steps
    return int(row[-1])


def alphabet_of(answer: Answer) -> list[str] | None:
    """Return the symbols that the user named, read from a file where one has the name."""
    given = answer.options.get("alphabet")
    if given is None:
        return None
    path = Path(str(given))
    if len(str(given)) < 1000 and path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    return list(str(given))


def transcripts(answer: Answer) -> tuple[list[Any], list[Any]]:
    """Return what was found and what was wanted, as letters where there is an alphabet, else as indices."""
    output = answer.outputs[answer.output]
    symbols, label = alphabet_of(answer), answer.label
    if isinstance(label, str) and symbols is None:
        raise DataError(
            "A transcript is text, and the metric has no alphabet to spell the output with. Name it, as in "
            "cer(alphabet=letters.txt), or pass indices as labels."
        )
    if answer.options.get("indices"):
        found = [int(i) for i in output.reshape(-1) if i >= 0]
    else:
        blank = answer.options.get("blank", output.shape[-1] - 1)
        found = greedy_ctc(output, None if str(blank) == "none" else int(blank))
    wanted = label if isinstance(label, str) else [int(i) for i in np.asarray(label).reshape(-1) if i >= 0]
    if symbols is None:
        return found, list(wanted)
    spelled = [symbols[i] if i < len(symbols) else "" for i in found]
    return list("".join(spelled)), list(
        wanted if isinstance(wanted, str) else "".join(symbols[i] for i in wanted)
    )


def _words(symbols: list[Any], space: int | None) -> list[Any]:
    if symbols and isinstance(symbols[0], str):
        return "".join(symbols).split()
    if space is None:
        return symbols
    words: list[tuple[int, ...]] = [()]
    for symbol in symbols:
        words = [*words, ()] if symbol == space else [*words[:-1], (*words[-1], symbol)]
    return [word for word in words if word]


def _error(*, of_words: bool) -> Callable[[Answer], Array]:
    def sums(answer: Answer) -> Array:
        found, wanted = transcripts(answer)
        if of_words:
            space = answer.options.get("space")
            found, wanted = (_words(each, None if space is None else int(space)) for each in (found, wanted))
        return np.array([edit_distance(found, wanted), len(wanted)], np.float64)

    return sums


def _rate(sums: Array) -> Array:
    rows = np.atleast_2d(sums)
    return ratio(rows[:, 0], rows[:, 1])


def best_span(start: Array, end: Array, most: int) -> tuple[int, int]:
    """Return the first and last place of the span with the largest ``start + end`` of at most so many places.

    Example:
        >>> best_span(np.array([0.0, 3, 0]), np.array([4.0, 0, 2]), 30)
        (1, 2)
    """
    length = start.size
    scores = start.reshape(-1, 1) + end.reshape(1, -1)
    places = np.arange(length)
    reach = places[None] - places[:, None]
    allowed = np.where((reach >= 0) & (reach < most), scores, -np.inf)
    first, last = divmod(int(allowed.argmax()), length)
    return first, last


def _spans(answer: Answer) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    names = list(answer.outputs)
    start = str(answer.options.get("start", names[0]))
    end = str(answer.options.get("end", names[1] if len(names) > 1 else names[0]))
    missing = [name for name in (start, end) if name not in answer.outputs]
    if missing or start == end:
        raise DataError(
            f"A span takes two outputs, its start and its end; the model has {', '.join(names)}. Name "
            "them, as "
            "in span_f1(start=…,end=…)."
        )
    most = int(answer.options.get("most", 30))
    found = best_span(answer.outputs[start].reshape(-1), answer.outputs[end].reshape(-1), most)
    wanted = np.asarray(answer.label).reshape(-1, 2)
    return found, [(int(a), int(b)) for a, b in wanted if a >= 0] or [(0, 0)]


def _span_f1(answer: Answer) -> float:
    (first, last), wanted = _spans(answer)
    overlaps = [
        2 * max(0, min(last, b) - max(first, a) + 1) / (last - first + 1 + b - a + 1) for a, b in wanted
    ]
    return float(max(overlaps))


def _exact(answer: Answer) -> float:
    found, wanted = _spans(answer)
    return float(found in wanted)


_SPAN_LABELS = "first and last place of the answer, or several such pairs; negative for none"
_SPAN_OPTIONS = {"start": "output of the starts", "end": "output of the ends", "most": "places at most: 30"}

ROWS = (
    Metric(
        "wer", None, "share of words that are wrong", higher_is_better=False, best=0.0,
        noun="word error rate", unit=SHARE, labels=_LABELS, sums=_error(of_words=True), value=_rate,
        formula="edits between found and labelled words / labelled words, over all samples; greedy CTC",
        options=_CTC,
    ),
    Metric(
        "cer", None, "share of symbols that are wrong", higher_is_better=False, best=0.0,
        noun="character error rate", unit=SHARE, labels=_LABELS, sums=_error(of_words=False), value=_rate,
        formula="edits between found and labelled symbols / labelled symbols, over all samples; greedy CTC",
        options=_CTC,
    ),
    Metric(
        "span_f1", _span_f1, "overlap of the answer's span with the labelled one", best=1.0, noun="span F1",
        labels=_SPAN_LABELS, formula="mean over samples of 2 common / (found + labelled) places, of the "
        "best labelled span", options=_SPAN_OPTIONS,
    ),
    Metric(
        "em", _exact, "share of spans that are exactly a labelled one", best=1.0, noun="exact match",
        labels=_SPAN_LABELS, formula="mean over samples of [found span is a labelled one]",
        options=_SPAN_OPTIONS,
    ),
)  # fmt: skip
