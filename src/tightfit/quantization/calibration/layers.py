"""The layers that recoveries change: ops with constant weights, as matrices of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.plan import OpPlan
from tightfit.streaming.moments import MOST_INPUTS, MomentWindow, window_of
from tightfit.types import Array

KINDS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_STORED: Final = ("int8", "int4", "int2")


@dataclass(frozen=True)
class Layer:
    """One op with stored weights, and its plan.

    Args:
        op: the op in the float graph.
        plan: its row in the plan.
    """

    op: Op
    plan: OpPlan

    @property
    def source(self) -> Tensor:
        """The input that is multiplied by the weights."""
        return self.op.operand(0)

    @property
    def weights(self) -> Tensor:
        """The constant weights."""
        return self.op.operand(1)

    @property
    def bias(self) -> Tensor | None:
        """The constant bias, if there is one."""
        return self.op.input(2)

    @property
    def known_bias(self) -> Tensor:
        """The bias of a layer that has one.

        Raises:
            ModelError: it has none.
        """
        return self.op.operand(2)

    @property
    def window(self) -> MomentWindow:
        """The window of the input that one output is computed from."""
        return window_of(self.op.kind, self.weights.shape, self.op.options)

    @property
    def is_measurable(self) -> bool:
        """Whether the second moments of its input fit into memory (at most ``MOST_INPUTS`` columns)."""
        return self.window.depthwise or self.weights.size // self.weights.shape[0] <= MOST_INPUTS

    def rows(self, values: Array) -> npt.NDArray[np.float64]:
        """Return weights as (output channels, K), in the column order of ``Moments``."""
        if self.op.kind == "DEPTHWISE_CONV_2D":
            return np.asarray(values.reshape(-1, values.shape[-1]).T, np.float64)
        return np.asarray(values.reshape(values.shape[0], -1), np.float64)

    def shaped(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Return the inverse of ``rows``."""
        if self.op.kind == "DEPTHWISE_CONV_2D":
            return np.ascontiguousarray(rows.T.reshape(self.weights.shape), np.float32)
        return rows.reshape(self.weights.shape).astype(np.float32)


def layers_of(graph: Graph, plans: Iterable[OpPlan]) -> list[Layer]:
    """Return the layers whose weights the plan stores in 8 bits or fewer and no other op reads."""
    found = []
    for op, plan in zip(graph.ops, plans, strict=True):
        storage = plan.constants.get(1)
        weights = op.input(1)
        if op.kind not in KINDS or storage is None or storage.dtype not in _STORED or weights is None:
            continue
        source, bias = op.input(0), op.input(2)
        single = len(weights.consumers) == 1 and (bias is None or len(bias.consumers) == 1)
        channels = source.shape[-1] if source is not None and source.shape else 0
        grouped = op.kind == "CONV_2D" and weights.shape[-1] != channels
        multiplied = op.kind == "DEPTHWISE_CONV_2D" and weights.shape[-1] != channels
        flattened = op.kind == "FULLY_CONNECTED" and weights.shape[-1] != channels
        if weights.is_constant and single and not (grouped or multiplied or flattened):
            found.append(Layer(op, plan))
    return found
