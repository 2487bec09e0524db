"""The constants of a graph in a network: trained variables, their transforms and fake-quantizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.graph.sparsity import dense_values
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.ops.rule_lookup import find_rule, weight_of
from tightfit.quantization.plan import INTEGER, GraphPlan, OpPlan, Storage
from tightfit.training.fake_quant.fake_quantize import halve_precision
from tightfit.training.fake_quant.learned_scales import LearnedScales
from tightfit.training.fake_quant.quantizers import WeightQuantizer
from tightfit.training.fixed_constants import normalizing_ops
from tightfit.training.integer.accumulators import Accumulator, Accumulators, InputScale
from tightfit.training.lowering.op_lowerings import trained_positions
from tightfit.types import Array

Attached = Callable[[Any, Any], Any]
Use = tuple[int, int]
Scales = tuple[str, LearnedScales]

_KERNELS: Final[dict[str, tuple[int, ...]]] = {
    "CONV_2D": (1,), "DEPTHWISE_CONV_2D": (1,), "CONV_3D": (1,), "TRANSPOSE_CONV": (1,),
    "FULLY_CONNECTED": (1,), "BATCH_MATMUL": (0, 1), "EMBEDDING_LOOKUP": (1,), "GATHER": (0,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (*range(1, 9), 16),
}  # fmt: skip
"""Op kind → input positions of the weights that can be pruned and clustered, without biases and slopes."""


@dataclass(eq=False)
class TrainedWeight:
    """A trained weight.

    Args:
        name: the tensor's key.
        op: the first op that reads it.
        position: the input position there.
        values: initial values, float32.
        storage: its storage in the plan; None for a float weight.
        variable: the trained variable.
    """

    name: str
    op: Op
    position: int
    values: Array
    storage: Storage | None
    variable: Any

    @property
    def output_axis(self) -> int:
        """The axis of the output channels."""
        rule = find_rule(self.op.kind)
        axis = (
            None if rule is None else (rule.weight_axis if rule.weight_axis is not None else rule.hybrid_axis)
        )
        return 0 if axis is None else axis


def real_constant(tensor: Tensor) -> Array:
    """Return a constant as a dense array of reals; constants that are not quantized unchanged."""
    values = dense_values(tensor)
    q = tensor.quantization
    if q is not None and q.is_affine and values.dtype.kind in "iu":
        return dequantize(values, q.scale, q.zero_point, q.axis if q.scale.size > 1 else None)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _weight_position(op: Op) -> int | None:
    rule = find_rule(op.kind)
    return None if rule is None else weight_of(op, rule)


class GraphWeights:
    """The trained constants of one graph with their transforms and quantizers.

    Args:
        owner: the Keras model of the variables.
        graph: the graph.
        plan: the plan with the storage of the weights, or None.
        transforms: see ``weight_transforms``.
        scales: (range updates, learned scales of the network).
    """

    def __init__(
        self, owner: Any, graph: Graph, plan: GraphPlan | None, transforms: Sequence[Any], scales: Scales
    ) -> None:
        self.graph, self.owner, (self.ranges, self.learned) = graph, owner, scales
        self.keys = graph.keys()
        self.decisions: list[OpPlan | None] = list(plan.ops) if plan else [None] * len(graph.ops)
        self.variables: dict[Tensor, Any] = {}
        self.quantizers: dict[Use, WeightQuantizer] = {}
        self.weights: dict[Tensor, TrainedWeight] = {}
        self.attached: dict[Tensor, list[Attached]] = {}
        self.accumulators = Accumulators((), lambda _index, _cache: None)
        self._shared: dict[tuple[int, tuple[int, ...]], Tensor] = {}
        self.first: dict[Tensor, Tensor] = {}
        self.fixed = normalizing_ops(graph)
        for index, op in enumerate(graph.ops):
            for position in trained_positions(op):
                self._add(index, op, position)
        self._add_quantizers()
        for transform in transforms:
            for tensor, attached in transform.attach_all(owner, self.weights).items():
                self.attached.setdefault(tensor, []).append(attached)

    def _add(self, index: int, op: Op, position: int) -> None:
        tensor = self._owner(op.operand(position), trainable=op not in self.fixed)
        if tensor not in self.weights and position in _KERNELS.get(op.kind, ()):
            decision = self.decisions[index]
            storage = None if decision is None else decision.constants.get(position)
            values = np.asarray(tensor.data)
            variable = self.variables[tensor]
            self.weights[tensor] = TrainedWeight(self.keys[tensor], op, position, values, storage, variable)

    def _owner(self, tensor: Tensor, *, trainable: bool) -> Tensor:
        """Return the first of the constants that share memory in the file; they share one variable."""
        if tensor not in self.first:
            place = (tensor.values.__array_interface__["data"][0], tensor.shape)
            owner = self._shared.setdefault(place, tensor)
            if owner is tensor:
                key, values = self.keys[tensor], tensor.values
                self.variables[tensor] = self.owner.add_constant(key, values, trainable=trainable)
            self.first[tensor], self.variables[tensor] = owner, self.variables[owner]
        return self.first[tensor]

    def _add_quantizers(self) -> None:
        """Make one quantizer of each constant on each kind of grid, for all its uses: it is stored once."""
        grids: dict[Any, list[Use]] = {}
        for index, decision in enumerate(self.decisions):
            for position, storage in (decision.constants if decision else {}).items():
                tensor = self.graph.ops[index].input(position)
                if decision is None or tensor not in self.first or tensor is None or not storage.scale:
                    continue
                if decision.mode != INTEGER or position == _weight_position(self.graph.ops[index]):
                    kind = (self.first[tensor], storage.dtype, storage.axis, len(storage.scale))
                    grids.setdefault(kind, []).append((index, position))
        for (tensor, *_), uses in grids.items():
            stored = [d.constants[p] for i, p in uses if (d := self.decisions[i]) is not None]
            largest = np.max([s.scale for s in stored], axis=0)
            storage = stored[0] if len(uses) == 1 else replace(stored[0], scale=tuple(largest.tolist()))
            made = WeightQuantizer(storage, len(tensor.shape), self.ranges, self.learned)
            self.quantizers |= dict.fromkeys(uses, made)
            if tensor in self.weights and (self.weights[tensor].storage is not None):
                self.weights[tensor].storage = storage

    def value(self, tensor: Tensor) -> Any:
        """Return the variable of a trained constant; other constants as arrays."""
        return self.variables[tensor] if tensor in self.variables else real_constant(tensor)

    def connect(self, input_scale: InputScale) -> None:
        """Set the function that returns the scales of activations; it exists only after this object."""
        self.accumulators = Accumulators(list(self._sums()), input_scale)

    def _sums(self) -> Iterator[Accumulator]:
        for (index, position), quantizer in self.quantizers.items():
            op, decision = self.graph.ops[index], self.decisions[index]
            rule = find_rule(op.kind)
            place = None if rule is None else rule.bias_of(position)
            if place is None or decision is None:
                continue
            bias, stored = op.input(place), decision.constants.get(place)
            if decision.mode == INTEGER and bias is not None and stored is not None:
                weights = self.variables[op.inputs[position]]  # type: ignore[index]  # a constant, as it is quantized
                yield Accumulator(
                    (index, position), (index, place), quantizer, weights, self.value(bias), stored.dtype
                )

    def use(self, index: int, position: int, cache: dict[Any, Any]) -> Any:
        """Return a trained constant as one op uses it: transformed, then rounded to its grid.

        Args:
            index: index of the op.
            position: input position.
            cache: results that this call of the network computed already.
        """
        decision = self.decisions[index]
        tensor = self.graph.ops[index].operand(position)
        quantizer = self.quantizers.get((index, position))
        if quantizer is not None:
            if quantizer not in cache:
                scales = self.scales(index, position, cache)
                value = self.transformed(tensor, quantizer.broadcast(scales), cache)
                cache[quantizer] = quantizer(value, scales)
            return cache[quantizer]
        if (index, position) in self.accumulators:
            return self.accumulators.bias((index, position), cache)
        storage = None if decision is None else decision.constants.get(position)
        value = self.transformed(tensor, None, cache)
        return halve_precision(value) if storage is not None and storage.dtype == "float16" else value

    def scales(self, index: int, position: int, cache: dict[Any, Any]) -> Any:
        """Return the present scales of one op's weights."""
        quantizer = self.quantizers[index, position]
        found = self.accumulators.scales(quantizer, cache)
        if found is not None:
            return found
        return quantizer.scales(cache, self.variables[self.graph.ops[index].operand(position)])

    def transformed(self, tensor: Tensor, scales: Any, cache: dict[Any, Any]) -> Any:
        """Return a trained constant after its transforms, computed once for each call."""
        tensor = self.first[tensor]
        if tensor not in self.attached:
            return self.variables[tensor]
        key = ("transformed", tensor)
        if key not in cache:
            value = ops.convert_to_tensor(self.variables[tensor])
            for attached in self.attached[tensor]:
                value = attached(value, scales)
            cache[key] = value
        return cache[key]
