"""The learned scales of activations and weights: one variable for all scales of a network.

A scale is ``max(initial · exp(stretch), least)``, and the stretch is trained. In the logarithm steps are
relative, so one step size of Adam suits all scales. With one variable for each scale, the optimizer would
need as long for the scales as for the weights: the demo has 41 of them.

Scales that start with eight significant bits (``short_scales``) keep eight: each step rounds them, with a
straight-through gradient. A change of 0.4 % does not matter for a scale, and the zero bytes (two of each
scale, one of each bias scale) compress well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.quantization.plan import GraphPlan, OpPlan, Plan, Storage
from tightfit.types import Array

_ON_A_GRID_OF_THEIR_OWN: Final = ("int4", "int8", "uint8", "int16")
"""Types with scales of their own; the scales of biases are products."""


@dataclass(frozen=True, eq=False)
class Part:
    """The learned scales of one quantizer.

    Args:
        owner: all learned scales of the network.
        index: the number of this part.
        start: the position of its first scale among all.
    """

    owner: LearnedScales
    index: int
    start: int

    def __call__(self, cache: dict[Any, Any]) -> Any:
        """Return the present scales, (channels,); computed once for each cache of a call."""
        return self.owner.all(cache)[self.index]


class LearnedScales:
    """Collects the initial values of learned scales; ``build`` then makes the variable."""

    def __init__(self) -> None:
        self.initial: list[Array] = []
        self.least: list[Array] = []
        self.stretch: Any = None

    def add(self, initial: Array, least: Array | float = 0.0) -> Part:
        """Add learned scales, and return where they are found.

        Args:
            initial: initial scales, (channels,) or ().
            least: lower bound of the scales.
        """
        index = len(self.initial)
        self.initial.append(np.asarray(initial, np.float32).reshape(-1))
        self.least.append(np.full(self.initial[-1].shape, least, np.float32))
        return Part(self, index, sum(part.size for part in self.initial[:index]))

    @property
    def are_short(self) -> bool:
        """True when all scales start with eight significant bits."""
        return all((rounded_up(part) == part).all() for part in self.initial)

    def build(self, owner: Any) -> None:
        """Make the variable in the Keras model ``owner``."""
        if self.initial:
            zeros = np.zeros(sum(part.size for part in self.initial))
            self.stretch = owner.add_state("scales", "stretch", zeros, trainable=True)

    def all(self, cache: dict[Any, Any]) -> list[Any]:
        """Return the scales of each part, computed once for each call."""
        if self not in cache:
            ends = np.cumsum([part.size for part in self.initial])[:-1].tolist()
            cache[self] = parts(self.vector(cache), ends)
        found: list[Any] = cache[self]
        return found

    def vector(self, cache: dict[Any, Any]) -> Any:
        """Return the present scales of all parts as one vector, computed once for each call."""
        key = self, "vector"
        if key not in cache:
            initial, least = (ops.convert_to_tensor(np.concatenate(p)) for p in (self.initial, self.least))
            scales = ops.exp(self.stretch) * initial
            cache[key] = ops.maximum(short(scales) if self.are_short else scales, least)
        return cache[key]


def parts(values: Any, ends: list[int]) -> list[Any]:
    """Return the parts of a vector, split at some positions; without positions the whole vector.

    Example:
        >>> [len(part) for part in parts(ops.arange(5), [2])], len(parts(ops.arange(5), []))
        ([2, 3], 1)
    """
    return list(ops.split(values, ends)) if ends else [values]


def short(scales: Any) -> Any:
    """Return the nearest scales of eight significant bits (bfloat16), as float32; the gradient passes.

    Example:
        >>> float(short(ops.convert_to_tensor(0.1)))
        0.10009765625
    """
    fixed = ops.stop_gradient(scales)
    return scales + (ops.cast(ops.cast(fixed, "bfloat16"), scales.dtype) - fixed)


def rounded_up(scales: Array) -> Array:
    """Return the next larger scales of eight significant bits, so that no value leaves its range.

    Example:
        >>> rounded_up(np.array([0.1, 0.5], np.float32)).tolist()
        [0.10009765625, 0.5]
    """
    bits = np.asarray(scales, np.float32).view(np.uint32)
    return ((bits + np.uint32(0xFFFF)) & np.uint32(0xFFFF0000)).view(np.float32)


def short_scales(plan: Plan) -> Plan:
    """Return a plan whose scales have eight significant bits; ranges grow by at most 0.8 %."""
    return replace(plan, graphs=[_short_graph(graph) for graph in plan.graphs])


def _short_graph(graph: GraphPlan) -> GraphPlan:
    tensors = {k: {d: _short_storage(s) for d, s in forms.items()} for k, forms in graph.tensors.items()}
    return replace(graph, ops=[_short_op(op) for op in graph.ops], tensors=tensors)


def _short_op(op: OpPlan) -> OpPlan:
    constants, inputs = (
        {p: _short_storage(s) for p, s in found.items()} for found in (op.constants, op.inputs)
    )
    return replace(op, constants=constants, inputs=inputs)


def _short_storage(storage: Storage) -> Storage:
    if storage.dtype not in _ON_A_GRID_OF_THEIR_OWN or not storage.scale:
        return storage
    scale = rounded_up(np.asarray(storage.scale, np.float32))
    return replace(storage, scale=tuple(scale.tolist()))
