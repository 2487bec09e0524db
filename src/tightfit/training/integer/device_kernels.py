"""The device's integer arithmetic for a network: one row for each op, on NumPy arrays of integers.

``Network`` trains with reals that are rounded where the kernels round. This is exact up to the last bit of
float32, which decides the rounding of a sum halfway between two integers. Therefore ``simulate`` computes the
ops with a row here in integers as the device does; every other op runs as in training.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.constant_movements import MOVES
from tightfit.quantization.ops.rule_lookup import find_rule
from tightfit.quantization.plan import INTEGER
from tightfit.training.fake_quant.quantization_points import Point
from tightfit.training.integer.integer_elementwise import ELEMENTWISE
from tightfit.training.integer.integer_movements import CHOICES, moved
from tightfit.training.integer.integer_operands import IntegerOperands, IntegerWeights, stored_weights
from tightfit.training.integer.integer_products import PRODUCTS
from tightfit.training.integer.integer_reductions import REDUCTIONS
from tightfit.training.integer.integer_tables import TABLES
from tightfit.training.integer.rescaling import Grid, requantize
from tightfit.training.lowering.op_lowerings import OP_LOWERINGS
from tightfit.types import Array

DEVICE_KERNELS: Final[dict[str, Callable[[IntegerOperands], Array]]] = {
    **PRODUCTS, **ELEMENTWISE, **REDUCTIONS, **TABLES, **CHOICES,
}  # fmt: skip
"""Op kind → its int8 and int16 arithmetic in LiteRT on a CPU."""

_NEED_WEIGHTS: Final = frozenset({*PRODUCTS, "PRELU"})


def this_device() -> str:
    """Return the kind of this computer's processor, ``arm`` or ``x86``."""
    return "arm" if platform.machine().lower() in ("aarch64", "arm64") else "x86"


class DeviceKernels:
    """Runs ops of a network in integers as the device does.

    Args:
        network: a network with fixed ranges; its weights are read once.
        device: whose kernels are repeated, ``x86`` or ``arm``; None for this computer's.
    """

    def __init__(self, network: Any, device: str | None = None) -> None:
        self.device = device or this_device()
        self.program = network.program
        self.decisions = network.plan.graphs[0].ops if network.plan is not None else []
        self.weights: dict[int, IntegerWeights | None] = {}
        self.grids: dict[Point, Grid] = {}

    def run(self, call: Any, index: int, op: Op) -> list[Array] | None:
        """Return the stored integers of an op's outputs, the batch first; None for an op without a row.

        Args:
            call: the forward pass.
            index: index of the op.
            op: the op.
        """
        row, point = DEVICE_KERNELS.get(op.kind), self.program.points.outputs.get((index, 0))
        moves = op.kind in MOVES and index in self.program.points.moved
        if (row is None and not moves) or point is None or self.decisions[index].mode != INTEGER:
            return None
        work = self.work(call, index, op, point)
        if work is None:
            return None
        return moved(work) if row is None else [row(work)]

    def work(self, call: Any, index: int, op: Op, output: Point) -> IntegerOperands | None:
        """Return the operands of an op; None where it reads reals that are not on a grid."""
        weights, rule = self.stored(index, op), find_rule(op.kind)
        if op.kind in _NEED_WEIGHTS and weights is None:
            return None
        row, points = OP_LOWERINGS[op.kind], self.program.points.inputs
        values: list[Array | None] = [None] * len(op.inputs)
        grids: list[Grid | None] = [None] * len(op.inputs)
        statics = {}
        for position, tensor in enumerate(op.inputs):
            if tensor is None or (weights is not None and tensor.is_constant and position not in row.static):
                continue
            if position in row.static:
                statics[position] = call.operand(index, row, op, position, tensor)
            elif (index, position) in points:
                values[position] = self.integers(call, index, op, position)
                grids[position] = self.grid(points[index, position])
        activation = 0 if rule is None else rule.activation
        batch = max((v.shape[0] for v in values if v is not None), default=0)
        if batch == 0 or grids[activation] is None:
            return None
        dtype, grid = output.storage.dtype, self.grid(output)
        return IntegerOperands(
            op, dtype, batch, values, grids, grid, statics, weights, activation, self.device
        )

    def integers(self, call: Any, index: int, op: Op, position: int) -> Array:
        """Return the integers of an op's input."""
        tensor = op.operand(position)
        point = self.program.points.inputs[index, position]
        if (tensor, point) in call.integers:
            return np.asarray(call.integers[tensor, point])
        reals = call.operand(index, OP_LOWERINGS[op.kind], op, position, tensor)
        return self.stored_integers(np.asarray(ops.convert_to_numpy(reals)), self.grid(point))

    def requantized(self, reals: Any, held: Point, wanted: Point) -> Any:
        """Return reals of one grid requantized to another by the kernel of QUANTIZE."""
        source, output = self.grid(held), self.grid(wanted)
        values = self.stored_integers(np.asarray(ops.convert_to_numpy(reals)), source)
        short = held.storage.dtype == wanted.storage.dtype == "int8"
        return self.reals(requantize(values, source, output, short=short), wanted)

    def stored_integers(self, reals: Array, grid: Grid) -> Array:
        """Return the integers of reals that are on a grid."""
        return grid.within(np.rint(reals / grid.scale) + grid.zero_point)

    def reals(self, values: Array, point: Point) -> Any:
        """Return the reals of integers as a tensor of the backend."""
        grid = self.grid(point)
        shifted = np.subtract(values, grid.zero_point, dtype=np.float32)
        return ops.convert_to_tensor(shifted * grid.scale)

    def grid(self, point: Point) -> Grid:
        """Return the grid of a point."""
        if point not in self.grids:
            self.grids[point] = Grid.of(self.program.quantizers[point].trained())
        return self.grids[point]

    def stored(self, index: int, op: Op) -> IntegerWeights | None:
        """Return the weights of an op as ``apply_plan`` writes them."""
        if index not in self.weights:
            constants = {
                i: self.constant(t) for i, t in enumerate(op.inputs) if t is not None and t.is_constant
            }
            self.weights[index] = stored_weights(op, self.decisions[index], constants)
        return self.weights[index]

    def constant(self, tensor: Tensor) -> Array:
        """Return the reals of a constant."""
        return np.asarray(ops.convert_to_numpy(self.program.weights.value(tensor)))
