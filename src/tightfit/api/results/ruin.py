"""Says when a written file is ruined: what a user should not have to find out by himself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.metrics.metric_table import find_metric
from tightfit.evaluation.slices.output_quality import OutputQuality, lost_sentences
from tightfit.search.verdict.metric_words import metric_words

_MUCH: Final = 0.1
"""A loss of ten points of a share, or of a tenth of an error: beyond what anybody ships unasked."""
_KNOWN: Final = 4.0
"""Standard errors by which samples that a model was trained on score better than others."""
_FEW: Final = 20


def is_ruined(accuracy: Accuracy | None, outputs: Sequence[OutputQuality] = ()) -> bool:
    """Return True where a file does not run, lost far too much of a metric, or a whole slice of an output.

    Args:
        accuracy: of the file, beside the model that it was made from; None where nothing was measured.
        outputs: quality of its outputs.
    """
    return any(lost_sentences(outputs)) or (accuracy is not None and bool(ruin_notes(accuracy)))


def sound_notes(start: Accuracy | None) -> list[str]:
    """Return the figure of the file before a training, beside a trained one that is ruined.

    Args:
        start: of that file, beside the model that it was made from; None where it was not measured.

    Returns:
        One sentence, or none where that file is ruined too.

    Example:
        >>> from tightfit.evaluation.scorecard import Score
        >>> sound_notes(Accuracy("top1", 0.971, metrics={"top1": Score(0.971, change=-0.007)}, n=120))
        ['Without training it is not: accuracy 97.1 % on 120 samples (quantize, prune or cluster).']
    """
    if start is None or start.value is None or is_ruined(start, start.outputs):
        return []
    words = metric_words(start.metric)
    return [
        f"Without training it is not: {words.noun} {words.score(start.value)} on {start.n:,} samples "
        "(quantize, prune or cluster)."
    ]


def known_notes(validation: Accuracy, test: Accuracy) -> list[str]:
    """Return a note where a model was trained on the validation samples.

    Args:
        validation: of the original model on the samples that choose.
        test: of it on the samples that measure.

    Returns:
        One sentence where a metric of labels is better there by four standard errors, else none.

    Example:
        >>> from tightfit.evaluation.scorecard import Score
        >>> def seen(values):
        ...     scores = np.asarray(values, float)
        ...     mean = float(scores.mean())
        ...     return Accuracy("top1", mean, metrics={"top1": Score(mean)}, n=len(values), scores=scores)
        >>> half = seen([1, 0] * 50)
        >>> len(known_notes(seen([1] * 100), half)), known_notes(half, half)
        (1, [])
    """
    row = find_metric(test.metric.partition("@")[0])
    found = [(a.value, a.scores) for a in (validation, test)]
    if row is None or not row.needs_labels or validation.metric != test.metric:
        return []
    known = [(v, s) for v, s in found if v is not None and s is not None and len(s) >= _FEW]
    if len(known) < len(found) or not all(np.isclose(s.mean(), v) for v, s in known):
        return []  # no mean over samples
    (value, first), (other, second) = known
    error = float(np.sqrt(np.var(first, ddof=1) / len(first) + np.var(second, ddof=1) / len(second)))
    if test.metrics[test.metric].sign * (value - other) <= _KNOWN * error:
        return []
    words = metric_words(test.metric)
    return [
        f"The original knows the validation samples ({words.noun} {words.score(value)} on them, "
        f"{words.score(other)} on the test samples), so they choose less well: give validation data that "
        "it was not trained on."
    ]


def ruin_notes(accuracy: Accuracy) -> list[str]:
    """Return a warning for each metric that a file lost far too much of; none when it is sound.

    Args:
        accuracy: of the file, beside the model that it was made from.

    Example:
        >>> from tightfit.evaluation.scorecard import Score
        >>> lost = Score(0.365, change=-0.613, change_low=-0.65, change_high=-0.57, n=597)
        >>> ruin_notes(Accuracy("top1", 0.365, metrics={"top1": lost}, n=597))
        ['The file is ruined: accuracy 97.8 % → 36.5 % on 597 samples.']
    """
    if accuracy.failure is not None:
        return [f"The file does not run: {accuracy.failure}"]
    notes = []
    for name, score in accuracy.metrics.items():
        if score.change is None:
            continue
        words = metric_words(name)
        before = score.value - score.sign * score.change
        much = _MUCH if words.is_bounded else _MUCH * abs(before)
        surely = score.change_high is None or score.change_high < 0
        if 0.0 - score.change > much and surely:
            notes.append(
                f"The file is ruined: {words.noun} {words.score(before)} → {words.score(score.value)} on "
                f"{score.n:,} samples."
            )
    return notes
