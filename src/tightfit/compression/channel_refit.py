"""Fits the layers of a pruned graph one after the other, each on what the layers before it now give.

Both graphs run side by side on LiteRT, the original up to the layer and the pruned one with all layers
before it fitted already, so errors do not pile up: each layer also makes up for what those before it lost.
A layer that ends in an addition makes up for what the other branch lost as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channel_fitting import Fit, Rows
from tightfit.compression.channel_groups import Dependencies
from tightfit.compression.channel_moments import KINDS, Matrix, Samples, is_fittable, rows, weights_of
from tightfit.graph.copying import copy_graph, copy_model
from tightfit.graph.ir import Array, Model, Op, Signature, Tensor
from tightfit.graph.passes import remove_dead_ops
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration import input_names
from tightfit.recovery.moments import Window, extended, window_of
from tightfit.runtime.parallel import cores
from tightfit.runtime.session import Session

Mask = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]
_FITTED: Final = KINDS | {"DEPTHWISE_CONV_2D"}
_FEWEST: Final = 32
_ROWS_A_COLUMN: Final = 20
"""A layer is fitted to at least 32 samples, and to 20 places of its output for each weight of a filter."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """One layer in the original and in the pruned graph, by the index of its op."""

    index: int
    outputs: Mask
    """Which of the original's output channels are left."""


def refit(
    original: Model,
    pruned: Model,
    found: Dependencies,
    stays: Mask,
    samples: Samples,
    progress: Progress | None = None,
) -> list[str]:
    """Fits the weights and biases of every layer whose input changed; the pruned model is changed in place.

    Args:
        original: the model that was pruned. pruned: of ``remove_channels(original, stays)``.
        found: of the original. samples: starts the samples anew at each call.

    Returns:
        What could not be fitted, in words.

    Raises:
        DataError: a sample does not fit. RuntimeFailureError: LiteRT cannot run a part of a model.
    """
    pairs, notes = _pairs(original, pruned, found, stays)
    for done, pair in enumerate(pairs, 1):
        _fit_layer(original, pruned, pair, samples)
        if progress is not None:
            progress(done, len(pairs))
    return notes


def _pairs(original: Model, pruned: Model, found: Dependencies, stays: Mask) -> tuple[list[_Pair], list[str]]:
    """The layers whose input is no longer what it was, in order."""
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


def _fit_layer(original: Model, pruned: Model, pair: _Pair, samples: Samples) -> None:
    before, after = original.main.ops[pair.index], pruned.main.ops[pair.index]
    fit = Fit(_window(after))
    goal = _Goal(before, after, pair.outputs)
    start = _weights(after)
    for count, (wanted, given) in enumerate(_side_by_side(original, pruned, goal, samples), 1):
        fit.update(extended(given[0], fit.window), goal.rows(wanted, given))
        if count >= _FEWEST and fit.rows >= _ROWS_A_COLUMN * start.shape[-1]:
            break
    _store(after, fit.solve(start))


class _Goal:
    """What a layer is to give: what it gave in the original graph, plus what a sum with it has lost.

    Attributes:
        watched: the tensors to run for, (of the original, of the pruned graph).
    """

    def __init__(self, before: Op, after: Op, outputs: Mask) -> None:
        self.outputs, self.window, self.kind = outputs, _window(before), before.kind
        self.weights = _weights(before)[outputs].astype(np.float32)
        self.watched = ([_source(before)], [_source(after)])
        other = _other_branch(before), _other_branch(after)
        self.adds = other[0] is not None and other[1] is not None
        if other[0] is not None and other[1] is not None:
            self.watched[0].append(other[0])
            self.watched[1].append(other[1])

    def rows(self, wanted: list[Array], given: list[Array]) -> Rows:
        """Gives the wanted outputs before the activation, at the places that ``vectors`` takes."""
        seen = extended(wanted[0], self.window)
        if self.kind == "DEPTHWISE_CONV_2D":
            return np.asarray(seen[self.outputs] @ self.weights.swapaxes(-1, -2))
        goal = seen @ self.weights.T
        if self.adds:
            # The output has as many places as windows were taken of the input.
            lost = wanted[1][..., self.outputs] - given[1]
            goal += extended(lost, Window())[:, :-1]
        return np.asarray(goal)


def _other_branch(op: Op) -> Tensor | None:
    """The other operand of the addition that alone reads a layer without activation, if it comes earlier."""
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


def _side_by_side(
    original: Model, pruned: Model, goal: _Goal, samples: Samples
) -> Iterator[tuple[list[Array], list[Array]]]:
    """The watched tensors of both graphs for each sample, from one process that runs both."""
    names = [[f"{side}_{i}" for i in range(len(goal.watched[0]))] for side in ("wanted", "given")]
    model = _merged(original, pruned, goal, names)
    feeds = [
        [next((n for n, x in input_names(m).items() if x is t), None) for t in tensors]
        for m, tensors in zip((original, pruned), goal.watched, strict=True)
    ]
    with Session(model, threads=min(cores(), 2)) as session:
        fed, seen = tee(samples())
        for sample, found in zip(seen, session.run_many(fed), strict=True):
            wanted, given = (
                [
                    found[name] if fed_by is None else sample[fed_by]
                    for name, fed_by in zip(ns, fs, strict=True)
                ]
                for ns, fs in zip(names, feeds, strict=True)
            )
            yield wanted, given


def _merged(original: Model, pruned: Model, goal: _Goal, names: list[list[str]]) -> bytes:
    """One model that runs both graphs up to the watched tensors on the same inputs."""
    twin = copy_model(original)
    graph = twin.main
    own = dict(zip(original.main.tensors(), graph.tensors(), strict=True))
    second, other = copy_graph(pruned.main)
    for ours, theirs in zip(graph.inputs, second.inputs, strict=True):
        second.replace_uses(theirs, ours, outputs=False)
    for op in list(second.ops):
        second.remove(op)
        graph.append(op)
    outputs = {
        name: mapping[t]
        for ns, tensors, mapping in zip(names, goal.watched, (own, other), strict=True)
        for name, t in zip(ns, tensors, strict=True)
        if t.producer is not None
    }
    inputs = input_names(twin)
    graph.outputs = list(dict.fromkeys(outputs.values())) or graph.outputs[:1]
    twin.signatures = [Signature("both", inputs, outputs or {"output": graph.outputs[0]})]
    remove_dead_ops(twin)
    return bytes(serialize(twin))


def _source(op: Op) -> Tensor:
    tensor = op.inputs[0]
    assert tensor is not None  # noqa: S101 - fittable layers have one
    return tensor


def _window(op: Op) -> Window:
    return window_of(op.kind, weights_of(op).shape, op.options)


def _weights(op: Op) -> Matrix:
    """Weights and bias as (outputs, K + 1), or (channels, 1, K + 1) for depthwise."""
    values = rows(np.asarray(weights_of(op).data), op.kind)
    bias = op.input(2)
    column = np.zeros(len(values)) if bias is None or bias.data is None else np.asarray(bias.data, np.float64)
    whole = np.concatenate([values, column.reshape(-1, 1)], 1)
    return whole[:, None, :] if op.kind == "DEPTHWISE_CONV_2D" else whole


def _store(op: Op, fitted: Matrix) -> None:
    """Writes fitted weights and bias into the layer's own constants."""
    weights, bias = weights_of(op), op.input(2)
    flat = fitted.reshape(fitted.shape[0], -1)
    values = flat[:, :-1]
    shaped = values.T if op.kind == "DEPTHWISE_CONV_2D" else values
    dtype = np.asarray(weights.data).dtype
    weights.data = np.ascontiguousarray(shaped.reshape(weights.shape), dtype)
    if bias is not None:
        bias.data = np.ascontiguousarray(flat[:, -1], np.asarray(bias.data).dtype)
