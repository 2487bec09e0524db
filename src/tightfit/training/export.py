"""Export a trained network as a float model and a plan for ``apply_plan``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from tightfit.errors import ModelError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.quantization.plan import GraphPlan, OpPlan, Plan, Storage
from tightfit.training.fake_quant.quantization_points import Point
from tightfit.training.network import Network
from tightfit.types import Array


def export(network: Network) -> tuple[Model, Plan | None]:
    """Return the model with the trained constants, and the plan with the trained scales.

    Weights that the plan stores as integers are exactly on their grid, so the file has the masks and clusters
    of the training; ``apply_plan`` does not round further.

    Raises:
        ModelError: a constant is NaN or infinite after training.
    """
    model = copy_model(network.source)
    scales = _Scales(network)
    made: dict[Tensor, Array] = {}  # constants that share memory share it in the copy
    for tensor, twin in zip(network.source.main.tensors(), model.main.tensors(), strict=True):
        owner = network.graph_weights.first.get(tensor)
        if owner is not None:
            if owner not in made:
                made[owner] = _trained(network, owner, scales)
            twin.data = made[owner]
    return model, None if network.plan is None else _trained_plan(network, scales)


class _Scales:
    """The trained scales of every point and weight, computed once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.weights = network.graph_weights
        self.points = {p: q.trained() for p, q in network.program.quantizers.items()}
        self.cache: dict[Any, Any] = {}

    def input_scale(self, index: int) -> float | None:
        """Return the scale of the activation that an op's weights multiply."""
        rule = find_rule(self.network.source.main.ops[index].kind)
        point = None if rule is None else self.network.program.points.inputs.get((index, rule.activation))
        return None if point is None else self.points[point].scale[0]

    def weight(self, index: int, position: int) -> Any:
        """Return the scales of one op's weights, on the backend."""
        return self.weights.scales(index, position, self.cache)


def _trained(network: Network, tensor: Tensor, scales: _Scales) -> Array:
    """The values of one constant after its transforms, on its grid where it has one."""
    weights = network.graph_weights
    operands = network.source.main.ops
    uses = [u for u in weights.quantizers if weights.first.get(operands[u[0]].operand(u[1])) is tensor]
    if not uses:
        value = weights.transformed(tensor, None, scales.cache)
    else:
        quantizer, found = weights.quantizers[uses[0]], scales.weight(*uses[0])
        value = weights.transformed(tensor, quantizer.broadcast(found), scales.cache)
        # Two grids for one constant: the file rounds it for each, so it is not rounded here.
        if len({weights.quantizers[use] for use in uses}) == 1:
            value = quantizer(value, found)
    array = np.asarray(ops.convert_to_numpy(value), np.float32)
    if not np.isfinite(array).all():
        raise ModelError(
            f"After training the constant '{tensor.name}' holds NaN or infinity. "
            "Train with a smaller learning rate."
        )
    return np.ascontiguousarray(array.reshape(tensor.shape))


def _trained_plan(network: Network, scales: _Scales) -> Plan:
    plan = network.plan
    assert plan is not None  # noqa: S101 - checked by the caller
    graph = plan.graphs[0]
    decisions = [_trained_op(network, i, op, scales) for i, op in enumerate(graph.ops)]
    tensors = _trained_tensors(network, graph, scales.points)
    return replace(plan, graphs=[replace(graph, ops=decisions, tensors=tensors), *plan.graphs[1:]])


def _trained_tensors(
    network: Network, graph: GraphPlan, points: dict[Point, Storage]
) -> dict[str, dict[str, Storage]]:
    """The storages of the activations, point by point."""
    tensors = {key: dict(forms) for key, forms in graph.tensors.items()}
    keys = network.source.main.keys()
    places = network.program.points
    ends = [*places.entries.items(), *places.exits.items()]
    written = [
        (network.source.main.ops[i].outputs[position], point)
        for (i, position), point in places.outputs.items()
    ]
    read = [
        (tensor, point)
        for (i, position), point in places.inputs.items()
        if (tensor := network.source.main.ops[i].inputs[position]) is not None and not tensor.is_constant
        if position not in graph.ops[i].inputs
    ]
    for tensor, point in (*ends, *written, *read):
        tensors[keys[tensor]][point.storage.dtype] = points[point]
    return tensors


def _trained_op(network: Network, index: int, decision: OpPlan, scales: _Scales) -> OpPlan:
    """The plan of one op with the trained storages of its constants and of its own inputs."""
    places = network.program.points
    own = decision.inputs.items()
    inputs = {p: scales.points[places.inputs[index, p]] if (index, p) in places.inputs else s for p, s in own}
    constants = dict(decision.constants)
    for position in decision.constants:
        if (index, position) in places.inputs:
            constants[position] = scales.points[places.inputs[index, position]]
        elif (index, position) in network.graph_weights.quantizers:
            found = np.asarray(ops.convert_to_numpy(scales.weight(index, position)), np.float32)
            shared = network.graph_weights.quantizers[index, position].storage
            constants[position] = replace(shared, scale=tuple(found.reshape(-1).tolist()))
    rule = find_rule(decision.kind)
    for weight, bias in () if rule is None else rule.products():
        if bias in constants:
            scale = scales.input_scale(index)
            constants[bias] = _bias_storage(constants[bias], constants.get(weight), scale)
    return replace(decision, inputs=inputs, constants=constants)


def _bias_storage(stored: Storage, weight: Storage | None, input_scale: float | None) -> Storage:
    """The storage of a bias on the grid of the product, computed in float32 as in the kernels' check."""
    if weight is None or input_scale is None:
        return stored
    product = np.asarray(weight.scale, np.float64) * np.float64(np.float32(input_scale))
    return replace(stored, scale=tuple(product.astype(np.float32).tolist()))
