"""One-shot magnitude or Wanda pruning of a float graph.

Without data the score of a weight is its magnitude. With samples the score is ``|w| · std(x)``, and the
remaining weights and the bias are refitted so that the layer's output changes least (``weight_refit.refit``).

Source: Wanda (Sun et al. 2023, "A Simple and Effective Pruning Approach"). Departure: it takes
``sqrt(E[x²])``; here the fitted bias takes the mean of an input, and only its deviation is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.sparsity.weight_refit import refit, variances
from tightfit.errors import OptionError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.streaming.moments import Moments
from tightfit.types import Array, Mask
from tightfit.weights.patterns import UNSTRUCTURED, keep, keep_globally
from tightfit.weights.statistics import weight_values
from tightfit.weights.zeros import COUNTED, check_zeros, layer_sparsity, smallest_pruned

Matrix = npt.NDArray[np.float64]

_PRUNED: Final = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


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


def prunable(graph: Graph, skip: tuple[str, ...] = ()) -> list[Op]:
    """Return the ops whose weights are pruned: large constants of convolutions and dense layers.

    Depthwise weights are not pruned: they are few, and each is a large part of its channel. Of several ops
    that share a weight only the first is returned.

    Args:
        graph: the float graph.
        skip: names or kinds of ops that are not pruned.
    """
    found: dict[int, Op] = {}
    for op in graph.ops:
        weight = op.input(1)
        if op.kind not in _PRUNED or weight is None or weight.data is None or weight.dtype != "float32":
            continue
        named = op.name in skip or op.kind in skip
        if weight.sparsity is None and not named:
            found.setdefault(weight.data.__array_interface__["data"][0], op)
    sizes = {key: op.operand(1).size for key, op in found.items()}
    smallest = smallest_pruned(sizes.values())
    return [op for key, op in found.items() if sizes[key] >= smallest]


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
    seen = [_merged(ops, twin, by_graph) for ops in sharing]
    if wanted.scope == "file":
        wanted = replace(wanted, sparsity=_raised(twin, sharing, wanted))
    masks = _masks([ops[0] for ops in sharing], wanted, seen)
    layers = []
    for i, (ops, mask) in enumerate(zip(sharing, masks, strict=True)):
        layers.append(_prune(twin, ops, mask, wanted, seen[i]))
        if progress is not None:
            progress(i + 1, len(sharing))
    return PrunedWeights(twin, layers)


def _sharing(model: Model, skip: tuple[str, ...]) -> list[list[Op]]:
    """The ops whose weights are pruned, those of one weight together, over all graphs."""
    chosen = [op for graph in model.graphs for op in prunable(graph, skip)]
    places = {_place(op): list[Op]() for op in chosen}
    for op in (op for graph in model.graphs for op in graph.ops if op.kind in _PRUNED):
        if op.input(1) is not None and op.operand(1).data is not None and _place(op) in places:
            places[_place(op)].append(op)
    return list(places.values())


def _place(op: Op) -> int:
    return int(op.operand(1).values.__array_interface__["data"][0])


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


def _raised(model: Model, sharing: list[list[Op]], wanted: Pruning) -> float:
    """The sparsity of the pruned layers that gives the file its own."""
    counted = sum(t.size for t in weight_values(model).tensors if t.size >= COUNTED)
    return layer_sparsity(
        wanted.sparsity, sum(ops[0].operand(1).size for ops in sharing), counted, wanted.pattern
    )


def _masks(ops: list[Op], wanted: Pruning, seen: Sequence[Matrix | None]) -> list[Mask]:
    scores = [_scores(op, moments) for op, moments in zip(ops, seen, strict=True)]
    if wanted.scope == "global":
        return keep_globally(scores, wanted.sparsity)
    return [keep(s, wanted.sparsity, wanted.pattern, 0) for s in scores]


def _scores(op: Op, moments: Matrix | None) -> Array:
    """The importance score of each weight, in the weights' shape."""
    values = _values(op)
    if moments is None:
        return np.abs(values)
    spread = np.sqrt(variances(moments))
    return np.abs(values) * spread.reshape((1, *values.shape[1:])).astype(np.float32)


def _values(op: Op) -> Array:
    weight = op.operand(1)
    return weight.values


def _prune(model: Model, ops: list[Op], mask: Mask, wanted: Pruning, moments: Matrix | None) -> PrunedLayer:
    op = ops[0]
    values = _values(op)
    if moments is None:
        _store(model, values, (values * mask).astype(np.float32))
        return PrunedLayer(op.name, op.kind, 1.0 - float(mask.mean()))
    rows, kept = values.reshape(len(values), -1), mask.reshape(len(values), -1)
    fitted, shift = refit(rows, kept, moments)
    plain = rows * keep(values, wanted.sparsity, wanted.pattern, 0).reshape(rows.shape)
    error, magnitude = (
        _error(rows, changed, moved, moments)
        for changed, moved in ((fitted, shift), (plain, np.zeros(len(rows))))
    )
    _store(model, values, fitted.reshape(values.shape).astype(np.float32))
    for reader in ops:
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
