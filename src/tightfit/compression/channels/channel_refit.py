"""Refit the layers of a pruned graph one after the other, each on the outputs of the refitted layers before.

LiteRT runs both graphs side by side: the original up to the layer, and the pruned one with all earlier layers
already refitted. So errors do not accumulate: each layer also compensates for the loss of those before it.
A layer followed by an addition compensates for the loss of the other branch too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.compression.channels.channel_groups import Dependencies
from tightfit.compression.channels.channel_moments import KINDS, Matrix, is_fittable, rows, weights_of
from tightfit.compression.channels.least_squares import Fit, Rows
from tightfit.compression.channels.paired_runs import SideBySide
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.streaming.moments import MomentWindow, extended, window_of
from tightfit.types import Array, Mask, Samples, Steps

_FITTED: Final = KINDS | {"DEPTHWISE_CONV_2D"}
_FEWEST: Final = 32
_ROWS_A_COLUMN: Final = 20
"""A layer is fitted to at least 32 samples, and to 20 output positions for each weight of a filter."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """One layer in the original and in the pruned graph, by the index of its op."""

    index: int
    outputs: Mask
    """Mask of the original's output channels that are kept."""


def refit(
    original: Model,
    pruned: Model,
    found: Dependencies,
    stays: Mask,
    samples: Samples,
    progress: Steps | None = None,
) -> list[str]:
    """Fit the weights and biases of every layer whose input changed; the pruned model is changed in place.

    Args:
        original: the model before pruning.
        pruned: the result of ``remove_channels(original, stays)``.
        found: the channel dependencies of the original.
        stays: keep mask by channel number.
        samples: starts the samples anew at each call.
        progress: progress callback, called with (layers done, layers in total).

    Returns:
        One sentence for each layer that could not be fitted.

    Raises:
        DataError: a sample does not fit.
        RuntimeFailureError: LiteRT cannot run a part of a model.
    """
    pairs, notes = _pairs(original, pruned, found, stays)
    runs = SideBySide(original, pruned, samples)
    for done, pair in enumerate(pairs, 1):
        runs.advance(pair.index)
        _fit_layer(original.main.ops[pair.index], pruned.main.ops[pair.index], pair.outputs, runs)
        if progress is not None:
            progress(done, len(pairs))
    return notes


def _pairs(original: Model, pruned: Model, found: Dependencies, stays: Mask) -> tuple[list[_Pair], list[str]]:
    """The layers whose input changed, in execution order."""
    changed = {t for t, la in found.labels.items() if not stays[la.channels].all()}
    pairs: list[_Pair] = []
    notes: list[str] = []
    for index, op in enumerate(original.main.ops):
        if not any(t in changed for t in op.inputs if t is not None):
            continue
        changed.update(op.outputs)
        if op.kind not in _FITTED:
            continue
        if not is_fittable(op, _FITTED) or not is_fittable(pruned.main.ops[index], _FITTED):
            notes.append(f"{op.kind} '{op.name}' was not fitted: it is grouped, shared or too wide.")
            continue
        label = found.labels.get(op.outputs[0])
        outputs = np.ones(op.outputs[0].shape[-1], bool) if label is None else stays[label.channels]
        pairs.append(_Pair(index, outputs))
    return pairs, notes


def _fit_layer(before: Op, after: Op, outputs: Mask, runs: SideBySide) -> None:
    """Fit one layer ``after`` of the pruned graph to the output of its original ``before``."""
    goal, start = _Goal(before, after, outputs), _weights(after)
    fit = Fit(_window(after), goal.rows)
    for done, values in enumerate(runs.run(goal.watched), 1):
        fit.update(extended(values[0], fit.window), goal.shown(values))
        if done >= _FEWEST and fit.rows >= _ROWS_A_COLUMN * start.shape[-1]:
            break
    _store(after, fit.solve(start))


class _Goal:
    """The wanted output of a layer: its original output, plus the loss of the other operand of its addition.

    Attributes:
        watched: the tensors to record: the layer's input in the pruned and in the original graph, and the
            other operand of the addition in both.
    """

    def __init__(self, before: Op, after: Op, outputs: Mask) -> None:
        self.outputs, self.window, self.kind = outputs, _window(before), before.kind
        self.weights = _weights(before)[outputs].astype(np.float32)
        self.watched = [_source(after), _source(before)]
        other = _other_branch(after), _other_branch(before)
        if other[0] is not None and other[1] is not None:
            self.watched += [other[0], other[1]]

    def shown(self, values: list[Array]) -> Rows:
        """Return the values from which ``rows`` computes the wanted outputs, one row for each window."""
        seen = extended(values[1], self.window)
        if self.kind == "DEPTHWISE_CONV_2D":
            return np.asarray(seen[self.outputs])
        if len(values) == 2:
            return seen
        # The output has one position for each window of the input.
        lost = values[3][..., self.outputs] - values[2]
        return np.concatenate([seen, extended(lost, MomentWindow())[:, :-1]], axis=1)

    def rows(self, shown: Rows) -> Rows:
        """Return the wanted outputs before the activation."""
        if self.kind == "DEPTHWISE_CONV_2D":
            return np.asarray(shown @ self.weights.swapaxes(-1, -2))
        width = self.weights.shape[1]
        goal = shown[:, :width] @ self.weights.T
        return np.asarray(goal + shown[:, width:] if shown.shape[1] > width else goal)


def _other_branch(op: Op) -> Tensor | None:
    """The other operand of the addition that is the layer's only reader, if it is computed earlier."""
    output = op.outputs[0]
    if op.kind != "CONV_2D" or op.options.get("fusedActivationFunction", 0) or len(output.consumers) != 1:
        return None
    reader, position = output.consumers[0]
    if reader.kind != "ADD" or op.graph is None:
        return None
    other = reader.inputs[1 - position]
    if other is None or other.is_constant or other.shape != output.shape:
        return None
    earlier = other.producer is None or op.graph.ops.index(other.producer) < op.graph.ops.index(op)
    return other if earlier else None


def _source(op: Op) -> Tensor:
    return op.operand(0)


def _window(op: Op) -> MomentWindow:
    return window_of(op.kind, weights_of(op).shape, op.options)


def _weights(op: Op) -> Matrix:
    """Weights and bias as (outputs, K + 1), or (channels, 1, K + 1) for depthwise."""
    values = rows(np.asarray(weights_of(op).data), op.kind)
    bias = op.input(2)
    column = np.zeros(len(values)) if bias is None or bias.data is None else np.asarray(bias.data, np.float64)
    whole = np.concatenate([values, column.reshape(-1, 1)], 1)
    return whole[:, None, :] if op.kind == "DEPTHWISE_CONV_2D" else whole


def _store(op: Op, fitted: Matrix) -> None:
    """Write fitted weights and bias into the layer's own constants."""
    weights, bias = weights_of(op), op.input(2)
    flat = fitted.reshape(fitted.shape[0], -1)
    values = flat[:, :-1]
    shaped = values.T if op.kind == "DEPTHWISE_CONV_2D" else values
    dtype = np.asarray(weights.data).dtype
    weights.data = np.ascontiguousarray(shaped.reshape(weights.shape), dtype)
    if bias is not None:
        bias.data = np.ascontiguousarray(flat[:, -1], np.asarray(bias.data).dtype)
