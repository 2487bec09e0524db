"""Run a graph op by op with ``keras.ops``: the forward pass of a ``Network``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tightfit.graph.ir import Graph, Tensor
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.training.fake_quant.quantization_points import Point, QuantizationPoints
from tightfit.training.fake_quant.quantizers import ActivationQuantizer
from tightfit.training.graph_call import Call
from tightfit.training.graph_weights import GraphWeights
from tightfit.training.lowering.trainability import check_lowerings, varying_tensors
from tightfit.training.recurrence.step_scan import StepScan, ordered
from tightfit.training.recurrence.step_search import find_steps

if TYPE_CHECKING:
    from tightfit.training.integer.device_kernels import DeviceKernels


class GraphProgram:
    """The ops of one graph as functions of its inputs and of its weights.

    Args:
        graph: the graph that the plan was made for.
        weights: its constants.
        points: the points where activations are rounded.
        quantizers: the fake-quantizer of each point.
    """

    def __init__(
        self,
        graph: Graph,
        weights: GraphWeights,
        points: QuantizationPoints,
        quantizers: Mapping[Point, ActivationQuantizer],
    ) -> None:
        check_lowerings(graph)
        self.graph, self.weights, self.points, self.quantizers = graph, weights, points, quantizers
        weights.connect(self.input_scale)
        self.varying = varying_tensors(graph)
        self.scans = self._scans()
        self.order = ordered(graph, self.scans)

    def _scans(self) -> list[StepScan]:
        """The repeated steps that are computed as one; moving averages change a variable at each step."""
        if any(quantizer.ranges == "average" for quantizer in self.quantizers.values()):
            return []
        return [StepScan(self, steps) for steps in find_steps(self.graph, self.points, self.weights.first)]

    def input_scale(self, index: int, cache: dict[Any, Any]) -> Any:
        """Return the scale of an integer op's input activation, in the call of this cache."""
        rule = find_rule(self.graph.ops[index].kind)
        assert rule is not None  # noqa: S101 - integer ops have a rule
        return self.quantizers[self.points.inputs[index, rule.activation]].parameters(cache)[0]

    def run(
        self, inputs: Mapping[Tensor, Any], wanted: Iterable[Tensor], *, dtype: str = "float32",
        training: bool = False, rounded: bool = True, kernels: DeviceKernels | None = None,
    ) -> list[Any]:  # fmt: skip
        """Return the wanted tensors, each with the batch as first axis.

        Args:
            inputs: graph input → values with the batch as first axis.
            wanted: tensors of the graph.
            dtype: type of float constants.
            training: whether the network is in training.
            rounded: False omits fake-quantizers and transforms.
            kernels: compute the ops with a row in these kernels in the device's integers, outside of a trace.
        """
        call = Call(self, dtype, training=training, rounded=rounded, kernels=kernels)
        for tensor, value in inputs.items():
            call.enter(tensor, value)
        wanted = list(wanted)
        for item in range(len(self.graph.ops)) if kernels is not None else self.order:
            if isinstance(item, StepScan):
                item.run(call, wanted)
            else:
                call.compute(item, self.graph.ops[item])
        return [call.leave(tensor) for tensor in wanted]
