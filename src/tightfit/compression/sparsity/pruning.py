"""One-shot magnitude or Wanda pruning of a float graph.

Without data the score of a weight is its magnitude. With samples the score is ``|w| · std(x)``, and the
remaining weights and the bias are refitted so that the layer's output changes least (``weight_refit.refit``).

Source: Wanda (Sun et al. 2023, "A Simple and Effective Pruning Approach"). Departure: it takes
``sqrt(E[x²])``; here the fitted bias takes the mean of an input, and only its deviation is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.sparsity.weight_refit import refit, variances
from tightfit.errors import OptionError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops import sequence_lstm
from tightfit.streaming.moments import Moments
from tightfit.types import Array, Mask
from tightfit.weights.patterns import UNSTRUCTURED, keep, keep_globally
from tightfit.weights.statistics import weight_values
from tightfit.weights.zeros import COUNTED, check_zeros, layer_sparsity, smallest_pruned

Matrix = npt.NDArray[np.float64]

Use = tuple[Op, int]
"""An op and the position of one of its weights."""

_PRUNED: Final[dict[str, tuple[int, ...]]] = {
    "CONV_2D": (1,), "FULLY_CONNECTED": (1,), "TRANSPOSE_CONV": (1,),
    sequence_lstm.KIND: (*sequence_lstm.INPUT_WEIGHTS, *sequence_lstm.RECURRENT_WEIGHTS),
}  # fmt: skip


@dataclass(frozen=True)
class Pruning:
    """The options of pruning.

    Args:
        sparsity: fraction of zeros in the pruned weights, between 0 and 1.
        pattern: ``unstructured``, N:M such as 2:4, or blocks such as 1x4, 1x16, 4x1 (``check_pattern``).
        scope: ``layer``: each pruned layer has the sparsity; ``file``: all weights in tensors of 256 elements
            or more have it, and the pruned layers make up for those that stay dense; ``global``: all
            pruned layers together have it (unstructured only).
        skip: names or kinds of ops that are not pruned.

    Raises:
        OptionError: a value is out of range or unknown, or two values contradict each other.
    """

    sparsity: float
    pattern: str = UNSTRUCTURED
    scope: str = "layer"
    skip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.sparsity < 1.0:
            raise OptionError(
                f"Received the sparsity {self.sparsity}; expected a fraction between 0 and 1, such as 0.8."
            )
        check_zeros(self.sparsity, self.pattern, self.scope)


@dataclass(frozen=True)
class PrunedLayer:
    """The result for one weight.

    Args:
        name: the op's name.
        kind: the op's kind, such as ``CONV_2D``.
        zeros: fraction of zeros after pruning, 0–1.
        error: output error on the samples as a fraction of the output's power; None without samples.
        magnitude_error: the same for magnitude pruning without refitting; None without samples.
    """

    name: str
    kind: str
    zeros: float
    error: float | None = None
    magnitude_error: float | None = None


@dataclass(frozen=True)
class PrunedWeights:
    """A pruned model, with one ``PrunedLayer`` for each weight that was pruned."""

    model: Model
    layers: list[PrunedLayer]


def prunable(graph: Graph, skip: tuple[str, ...] = ()) -> list[Use]:
    """Return the weights that are pruned: large constants of convolutions, dense layers and LSTMs.

    Depthwise weights are not pruned: they are few, and each is a large part of its channel. Of several ops
    that share a weight only the first is returned.

    Args:
        graph: the float graph.
        skip: names or kinds of ops that are not pruned.
    """
    found: dict[int, Use] = {}
    for op, position in _weights_of(graph):
        weight, named = op.operand(position), op.name in skip or op.kind in skip
        if weight.dtype == "float32" and weight.sparsity is None and not named:
            found.setdefault(_place((op, position)), (op, position))
    sizes = {key: op.operand(position).size for key, (op, position) in found.items()}
    smallest = smallest_pruned(sizes.values())
    return [use for key, use in found.items() if sizes[key] >= smallest]


def _weights_of(graph: Graph) -> Iterator[Use]:
    """The constant weights of the kinds of ops that are pruned."""
    for op in graph.ops:
        for position in _PRUNED.get(op.kind, ()):
            weight = op.input(position)
            if weight is not None and weight.data is not None:
                yield op, position


def prune_weights(
    model: Model,
    wanted: Pruning,
    moments: Mapping[str, Moments] | Sequence[Mapping[str, Moments]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PrunedWeights:
    """Return a pruned copy of a float model.

    Args:
        model: a cleaned float model; it is not changed.
        wanted: sparsity, pattern and scope.
        moments: layer name → second moments of its input (``calibration.collect_moments``);
            layers without moments are pruned by magnitude. One mapping for the main graph, or one a graph;
            layers that share a weight count the same.
        progress: progress callback, called with (layers done, layers in total).

    Returns:
        The pruned copy and the result for each layer.

    Raises:
        OptionError: no weight is large enough to prune.
    """
    twin = copy_model(model)
    sharing = _sharing(twin, wanted.skip)
    if not sharing:
        raise OptionError(
            f"Nothing to prune: no {', '.join(_PRUNED)} with at least {COUNTED} constant float weights."
        )
    by_graph = [moments] if isinstance(moments, Mapping) else list(moments or ())
    seen = [_merged([op for op, _ in uses], twin, by_graph) for uses in sharing]
    if wanted.scope == "file":
        wanted = replace(wanted, sparsity=_raised(twin, sharing, wanted))
    masks = _masks([uses[0] for uses in sharing], wanted, seen)
    layers = []
    for i, (uses, mask) in enumerate(zip(sharing, masks, strict=True)):
        layers.append(_prune(twin, uses, mask, wanted, seen[i]))
        if progress is not None:
            progress(i + 1, len(sharing))
    return PrunedWeights(twin, layers)


def _sharing(model: Model, skip: tuple[str, ...]) -> list[list[Use]]:
    """The weights that are pruned, the uses of one weight together, over all graphs."""
    chosen = [use for graph in model.graphs for use in prunable(graph, skip)]
    places = {_place(use): list[Use]() for use in chosen}
    for use in (use for graph in model.graphs for use in _weights_of(graph)):
        if _place(use) in places:
            places[_place(use)].append(use)
    return list(places.values())


def _place(use: Use) -> int:
    return int(_values(use).__array_interface__["data"][0])


def _merged(ops: list[Op], model: Model, by_graph: Sequence[Mapping[str, Moments]]) -> Matrix | None:
    """The second moments ``E[x̃ x̃ᵀ]`` of all layers that read one weight; each layer counts the same.

        M = Σ M_i / p_i / Σ 1 / p_i,  p_i = E[x²] of layer i

    Without the division by the power of its input the layer with the largest values would decide alone.
    """
    found = [
        seen[op.name]
        for graph, seen in zip(model.graphs, by_graph, strict=False)
        for op in ops
        if op.graph is graph and op.name in seen
    ]
    means = [m.mean() for m in {id(m): m for m in found}.values()]
    if len(means) < 2:
        return means[0] if means else None
    shares = [1.0 / max(float(np.trace(m[:-1, :-1])), 1e-30) for m in means]
    return np.asarray(sum(m * s for m, s in zip(means, shares, strict=True)) / sum(shares))


def _raised(model: Model, sharing: list[list[Use]], wanted: Pruning) -> float:
    """The sparsity of the pruned layers that gives the file its own."""
    counted = sum(t.size for t in weight_values(model).tensors if t.size >= COUNTED)
    return layer_sparsity(
        wanted.sparsity, sum(_values(uses[0]).size for uses in sharing), counted, wanted.pattern
    )


def _masks(uses: list[Use], wanted: Pruning, seen: Sequence[Matrix | None]) -> list[Mask]:
    scores = [_scores(use, moments) for use, moments in zip(uses, seen, strict=True)]
    if wanted.scope == "global":
        return keep_globally(scores, wanted.sparsity)
    return [keep(s, wanted.sparsity, wanted.pattern, 0) for s in scores]


def _scores(use: Use, moments: Matrix | None) -> Array:
    """The importance score of each weight, in the weights' shape."""
    values = _values(use)
    if moments is None:
        return np.abs(values)
    spread = np.sqrt(variances(moments))
    return np.abs(values) * spread.reshape((1, *values.shape[1:])).astype(np.float32)


def _values(use: Use) -> Array:
    op, position = use
    return op.operand(position).values


def _prune(model: Model, uses: list[Use], mask: Mask, wanted: Pruning, moments: Matrix | None) -> PrunedLayer:
    op, position = uses[0]
    values = _values(uses[0])
    if moments is None:
        _store(model, values, (values * mask).astype(np.float32))
        name = op.name if len(_PRUNED[op.kind]) == 1 else op.operand(position).name
        return PrunedLayer(name, op.kind, 1.0 - float(mask.mean()))
    rows, kept = values.reshape(len(values), -1), mask.reshape(len(values), -1)
    fitted, shift = refit(rows, kept, moments)
    plain = rows * keep(values, wanted.sparsity, wanted.pattern, 0).reshape(rows.shape)
    error, magnitude = (
        _error(rows, changed, moved, moments)
        for changed, moved in ((fitted, shift), (plain, np.zeros(len(rows))))
    )
    _store(model, values, fitted.reshape(values.shape).astype(np.float32))
    for reader, _ in uses:
        _move_bias(model, reader, shift)
    return PrunedLayer(op.name, op.kind, 1.0 - float(mask.mean()), error, magnitude)


def _error(
    rows: Array, changed: Array, shift: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]
) -> float:
    """``E|ΔW·x + Δb|² / E|W·x|²`` over all channels."""
    change = np.concatenate([changed - rows, shift[:, None]], axis=1)
    power = float(np.einsum("ij,ij->", rows @ mean[:-1, :-1], rows))
    return float(np.einsum("ij,ij->", change @ mean, change)) / max(power, 1e-30)


def _store(model: Model, old: Array, new: Array) -> None:
    """Set the new values in every tensor that shares the old values' memory."""
    place = old.__array_interface__["data"][0]
    for tensor in (t for graph in model.graphs for t in graph.tensors()):
        data = tensor.data
        if data is not None and data.__array_interface__["data"][0] == place and data.nbytes == old.nbytes:
            tensor.data = new.reshape(data.shape)


def _move_bias(model: Model, op: Op, shift: npt.NDArray[np.float64]) -> None:
    """Add a shift to the op's bias; the op gets its own bias tensor where it shares one or has none."""
    old = op.input(2)
    if old is not None and old.data is None:
        return
    values = shift if old is None or old.data is None else old.data + shift
    name = f"{op.name}/bias" if old is None else old.name
    graph = next(g for g in model.graphs if op in g.ops)
    graph.set_input(op, 2, Tensor(name, (len(shift),), data=values.astype(np.float32)))
