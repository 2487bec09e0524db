"""Metrics of real numbers: errors of regressions, and how close outputs are to the reference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tightfit.data.sample import shape_text
from tightfit.errors import DataError
from tightfit.evaluation.metrics.metric import DECIBELS, LABELS_UNIT, NUMBER, Answer, Metric, ratio
from tightfit.types import Array

MOST_DB: Final = 200.0  # float32 resolves 150 dB: two outputs that are this close are equal

_NUMBERS = "as many real numbers as the output has"
_TRUTH = {"truth": "input compares with the model's input instead of a label (autoencoder)"}


def truth(answer: Answer) -> Array:
    """Return the wanted numbers of the scored output, in its order, float64.

    Raises:
        DataError: when there are more or fewer than the output has.
    """
    output = answer.outputs[answer.output]
    if answer.options.get("truth") == "input":
        wanted = np.asarray(next(iter(answer.inputs.values())), np.float64)
    else:
        wanted = np.asarray(answer.label, dtype=np.float64)
    if wanted.size != output.size:
        raise DataError(
            f"A label of shape {shape_text(wanted.shape)} cannot be compared with output "
            f"'{answer.output}' of shape {shape_text(output.shape)}. Expected one number an entry."
        )
    return wanted.reshape(-1)


def _difference(answer: Answer) -> Array:
    return np.asarray(answer.outputs[answer.output].reshape(-1) - truth(answer), np.float64)


def _error(power: int) -> Callable[[Answer], float]:
    return lambda answer: float((np.abs(_difference(answer)) ** power).mean())


def _squares(answer: Answer) -> Array:
    difference = _difference(answer)
    return np.array([(difference**2).sum(), difference.size], np.float64)


def _columns(answer: Answer) -> Array:
    """Count, sum and sum of squares of the label, and of the squared error, for each entry of the last axis.

    The sums are of label − first label's mean would be exact; float64 is exact enough for r² ± 1e-9 where the
    label's mean is below a thousand of its deviations.
    """
    output = answer.outputs[answer.output]
    width = output.shape[-1] if output.ndim else 1
    wanted = truth(answer).reshape(-1, width)
    error = (_difference(answer) ** 2).reshape(-1, width)
    count = np.full(width, len(wanted), np.float64)
    return np.concatenate([count, wanted.sum(0), (wanted**2).sum(0), error.sum(0)])


def _r2(sums: Array) -> Array:
    """One minus error over spread of each column, then their mean; columns without spread are out."""
    rows = np.atleast_2d(sums)
    count, total, squares, error = np.moveaxis(rows.reshape(len(rows), 4, -1), 1, 0)
    spread = squares - ratio(total**2, count)
    varied = spread > 1e-12 * squares
    shares = 1 - ratio(error, np.where(varied, spread, 0.0))
    return ratio((shares * varied).sum(axis=1), varied.sum(axis=1))


def cosine(output: Array, reference: Array) -> float:
    """Return the cosine of the angle between two arrays taken as vectors.

    Example:
        >>> cosine(np.array([1.0, 0]), np.array([2.0, 0])), cosine(np.zeros(2), np.ones(2))
        (1.0, 0.0)
    """
    a, b = output.reshape(-1).astype(np.float64), reference.reshape(-1).astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return float(a @ b) / lengths


def decibels(signal: float, noise: float) -> float:
    """Return ``10 log10(signal / noise)`` within ±200, which stands for equal outputs.

    Example:
        >>> decibels(100.0, 1.0), decibels(1.0, 0.0)
        (20.0, 200.0)
    """
    if noise == 0:
        return MOST_DB
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / noise), -MOST_DB, MOST_DB))


def powers(output: Array, reference: Array) -> tuple[float, float]:
    """Return the sum of squares of the reference, and of the difference from it."""
    signal = reference.astype(np.float64)
    return float((signal**2).sum()), float(((output.astype(np.float64) - signal) ** 2).sum())


def _compared(answer: Answer) -> list[str]:
    """The outputs that are compared with the reference's: the named one, else all."""
    return [answer.output] if answer.options.get("only") else list(answer.reference)


def _cosine(answer: Answer) -> float:
    """The cosine between outputs and reference, averaged over the outputs; two zero outputs are equal."""
    names = _compared(answer)
    return float(np.mean([cosine(answer.outputs[name], answer.reference[name]) for name in names]))


def _snr_db(answer: Answer) -> float:
    return min(decibels(*powers(answer.outputs[n], answer.reference[n])) for n in _compared(answer))


def _perplexity_sums(answer: Answer) -> Array:
    """The summed surprise in nats, and the number of tokens that count."""
    output = answer.outputs[answer.output]
    rows = output.reshape(-1, output.shape[-1]).astype(np.float64)
    labels = np.asarray(answer.label).reshape(-1).astype(np.int64)
    if len(labels) != len(rows):
        raise DataError(
            f"A label of {len(labels)} tokens does not fit output '{answer.output}' of {len(rows)} places. "
            "Expected the index of the next token at each place, negative where none counts."
        )
    counted = (labels >= 0) & (labels < rows.shape[1])
    rows, labels = rows[counted], labels[counted]
    if answer.options.get("probabilities"):
        chosen = np.log(np.maximum(np.take_along_axis(rows, labels[:, None], 1)[:, 0], 1e-30))
    else:
        most = rows.max(axis=1, initial=-np.inf)
        total = most + np.log(np.exp(rows - most[:, None]).sum(axis=1))
        chosen = np.take_along_axis(rows, labels[:, None], 1)[:, 0] - total
    return np.array([-chosen.sum(), len(labels)], np.float64)


ROWS = (
    Metric(
        "mae", _error(1), "mean absolute error against the label", higher_is_better=False, best=0.0,
        noun="mean absolute error", unit=LABELS_UNIT, labels=_NUMBERS, formula="mean |output − label|",
        options=_TRUTH,
    ),
    Metric(
        "mse", _error(2), "mean squared error against the label", higher_is_better=False, best=0.0,
        noun="mean squared error", unit=LABELS_UNIT, labels=_NUMBERS, formula="mean (output − label)²",
        options=_TRUTH,
    ),
    Metric(
        "rmse", None, "root of the mean squared error", higher_is_better=False, best=0.0, noun="RMSE",
        unit=LABELS_UNIT, labels=_NUMBERS, sums=_squares,
        value=lambda s: np.sqrt(ratio(np.atleast_2d(s)[:, 0], np.atleast_2d(s)[:, 1])),
        formula="√ mean (output − label)² over all entries of all samples", options=_TRUTH,
    ),
    Metric(
        "r2", None, "share of the labels' variance that is explained", best=1.0, noun="R²", unit=NUMBER,
        labels=_NUMBERS, sums=_columns, value=_r2,
        formula="1 − Σ (output − label)² / Σ (label − mean)², mean over the entries of the last axis",
        options=_TRUTH,
    ),
    Metric(
        "perplexity", None, "perplexity of the labelled tokens", higher_is_better=False, best=1.0,
        noun="perplexity", unit=LABELS_UNIT, labels="the index of the right token at each place, −1 for none",
        sums=_perplexity_sums,
        value=lambda s: np.exp(ratio(np.atleast_2d(s)[:, 0], np.atleast_2d(s)[:, 1])),
        formula="exp (mean −log p(label)) over all tokens; p by softmax where the output is no distribution",
    ),
    Metric(
        "cosine", _cosine, "cosine between outputs and the reference's", False, perfect=1.0, best=1.0,
        noun="cosine with the original's outputs", unit=NUMBER,
        formula="mean over samples of output · original / (|output| |original|), mean over the outputs",
        proxy="whether the original is right, and errors of entries that are small beside others of an "
        "output",
    ),
    Metric(
        "snr", _snr_db, "signal-to-noise ratio of the outputs in dB", needs_labels=False,
        noun="signal-to-noise ratio in dB", unit=DECIBELS,
        formula="mean over samples of 10 log₁₀ (Σ original² / Σ (output − original)²), of the worst output",
        proxy="whether the original is right, and errors of entries that are small beside others of an "
        "output",
    ),
)  # fmt: skip
