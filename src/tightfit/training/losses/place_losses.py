"""``PLACE_LOSSES``: the loss of each place, one function a loss.

A function takes the outputs of a batch, (batch, places, units), what they should be (class indices,
(batch, places), or reals as the outputs), and whether the outputs are logits. It returns the loss of each
place, (batch, places).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from keras import ops

from tightfit.evaluation.labels.label_kinds import CLASS, INPUT, PLACES, RANK, SEVERAL, VALUES

_LEAST: Final = 1e-7
_FOCUS: Final = 2.0
_HUBER: Final = 1.0

PlaceLoss = Callable[[Any, Any, bool], Any]


def crossentropy(rows: Any, classes: Any, logits: bool) -> Any:
    """Return ``-log p(class)``."""
    return -ops.sum(_chosen(rows, classes) * _logs(rows, logits), axis=-1)


def focal(rows: Any, classes: Any, logits: bool) -> Any:
    """Return ``-(1 - p)² log p``. Source: Lin et al. 2017, "Focal Loss for Dense Object Detection"."""
    log = ops.sum(_chosen(rows, classes) * _logs(rows, logits), axis=-1)
    return -((1.0 - ops.exp(log)) ** _FOCUS) * log


def binary_crossentropy(rows: Any, wanted: Any, logits: bool) -> Any:
    """Return the mean over the units that count of ``-log p`` of zero or one; −1 does not count."""
    return _mean(_binary(rows, ops.maximum(wanted, 0.0), logits), wanted)


def binary_focal(rows: Any, wanted: Any, logits: bool) -> Any:
    """Return the mean over the units that count of ``-(1 - p)² log p`` of zero or one."""
    loss = _binary(rows, ops.maximum(wanted, 0.0), logits)
    return _mean(((1.0 - ops.exp(-loss)) ** _FOCUS) * loss, wanted)


def squared(rows: Any, wanted: Any, _logits: bool) -> Any:
    """Return the mean of the squared differences."""
    return ops.mean(ops.square(rows - wanted), axis=-1)


def absolute(rows: Any, wanted: Any, _logits: bool) -> Any:
    """Return the mean of the absolute differences."""
    return ops.mean(ops.abs(rows - wanted), axis=-1)


def huber(rows: Any, wanted: Any, _logits: bool) -> Any:
    """Return the mean Huber loss with a bend at 1. Source: Huber 1964."""
    error = ops.abs(rows - wanted)
    bent = _HUBER * (error - 0.5 * _HUBER)
    return ops.mean(ops.where(error <= _HUBER, 0.5 * ops.square(error), bent), axis=-1)


def log_cosh(rows: Any, wanted: Any, _logits: bool) -> Any:
    """Return the mean of ``log cosh`` of the differences."""
    error = rows - wanted
    return ops.mean(error + ops.softplus(-2.0 * error) - ops.log(2.0), axis=-1)


PLACE_LOSSES: Final[dict[str, PlaceLoss]] = {
    "crossentropy": crossentropy, "focal": focal, "binary_crossentropy": binary_crossentropy,
    "binary_focal": binary_focal, "mse": squared, "mae": absolute, "huber": huber, "log_cosh": log_cosh,
    "ordinal": binary_crossentropy, "input": squared,
}  # fmt: skip
"""Name of a loss (``loss_words.LOSSES``) → its function."""

BY_KIND: Final = {
    CLASS: "crossentropy", PLACES: "crossentropy", SEVERAL: "binary_crossentropy", RANK: "ordinal",
    VALUES: "mse", INPUT: "mse",
}  # fmt: skip
"""Kind of labels → the loss that ``auto`` takes."""

OF_ONE_UNIT: Final = {"crossentropy": "binary_crossentropy", "focal": "binary_focal"}
"""The loss of classes → that of a single unit."""


def _logs(rows: Any, logits: bool) -> Any:
    return ops.log_softmax(rows, axis=-1) if logits else ops.log(ops.clip(rows, _LEAST, 1.0))


def _chosen(rows: Any, classes: Any) -> Any:
    return ops.one_hot(ops.maximum(classes, 0), rows.shape[-1], dtype="float32")


def _binary(rows: Any, wanted: Any, logits: bool) -> Any:
    if logits:
        return ops.softplus(rows) - wanted * rows
    inside = ops.clip(rows, _LEAST, 1.0 - _LEAST)
    return -(wanted * ops.log(inside) + (1.0 - wanted) * ops.log(1.0 - inside))


def _mean(losses: Any, wanted: Any) -> Any:
    counted = ops.cast(wanted >= 0, "float32")
    return ops.sum(losses * counted, axis=-1) / ops.maximum(ops.sum(counted, axis=-1), 1.0)
