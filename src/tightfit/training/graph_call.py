"""``Call``: one forward pass through the ops of a graph with ``keras.ops``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from keras import ops
from keras.backend import standardize_dtype

from tightfit.errors import ModelError
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.constant_folding import CONSTANT_OPS
from tightfit.graph.passes.constant_ops import NotComputableError
from tightfit.training.fake_quant.fused_activation import ends_in_sum, rounded_sum
from tightfit.training.fake_quant.quantization_points import Point, QuantizationPoints
from tightfit.training.fake_quant.quantizers import ActivationQuantizer
from tightfit.training.integer.integer_kernels import INTEGER_KERNELS
from tightfit.training.lowering.batching import lift
from tightfit.training.lowering.op_lowerings import OP_LOWERINGS, Lowering
from tightfit.types import Array

if TYPE_CHECKING:
    from tightfit.training.graph_program import GraphProgram
    from tightfit.training.integer.device_kernels import DeviceKernels

_REFUSALS: Final = (NotComputableError, ValueError, IndexError, TypeError)


class Call:
    """One forward pass: the values computed so far, and the grid of each."""

    def __init__(
        self, program: GraphProgram, dtype: str, *,
        training: bool, rounded: bool, kernels: DeviceKernels | None = None,
    ) -> None:  # fmt: skip
        self.program, self.dtype, self.training = program, dtype, training
        self.weights = program.weights
        self.points = program.points if rounded else QuantizationPoints()
        self.rounded, self.kernels = rounded, kernels
        self.integers: dict[tuple[Tensor, Point], Array] = {}
        self.values: dict[Tensor, Any] = {}
        self.held: dict[Tensor, Point] = {}
        self.forms: dict[tuple[Tensor, Point], Any] = {}
        self.cache: dict[Any, Any] = {}
        self.constants: dict[tuple[int, int], Any] = {}

    # -- inputs and outputs --------------------------------------------------------------------

    def enter(self, tensor: Tensor, value: Any) -> None:
        """Set an input; for a file with an integer interface it is rounded first."""
        point = self.points.entries.get(tensor)
        self.values[tensor] = value if point is None else self.rounding(point, value)
        if point is not None:
            self.held[tensor] = point

    def leave(self, tensor: Tensor) -> Any:
        """Return a wanted tensor; an output of a file with an integer interface is rounded."""
        value = self.batched(tensor)
        point = self.points.exits.get(tensor)
        return value if point is None or self.held.get(tensor) is point else self.rounding(point, value)

    def rounding(self, point: Point, value: Any) -> Any:
        """Return a value on the grid of a point."""
        quantizer = self.program.quantizers[point]
        return quantizer(value, self.cache, training=self.training)

    # -- ops -----------------------------------------------------------------------------------

    def compute(self, index: int, op: Op) -> None:
        """Compute one op and round where its kernel rounds."""
        row = OP_LOWERINGS[op.kind]
        results = self.static_results(op)
        if results is None and self.kernels is not None and self.in_integers(index, op, self.kernels):
            return
        if results is None:
            operands = [self.operand(index, row, op, i, t) for i, t in enumerate(op.inputs)]
            quantizer = self.quantizer_of_sum(index, op, operands)
            if quantizer is not None:
                self.held[op.outputs[0]] = quantizer.point
                self.values[op.outputs[0]] = rounded_sum(
                    row, op, operands, quantizer, quantizer.parameters(self.cache)
                )
                return
            made = row.function(op, operands)
            results = made if isinstance(made, list) else [self.as_kernel(index, op, operands, made)]
        for position, (tensor, value) in enumerate(zip(op.outputs, results, strict=False)):
            point = self.points.outputs.get((index, position))
            if point is not None:
                self.held[tensor] = point
                value = value if index in self.points.moved else self.rounding(point, value)  # noqa: PLW2901
            self.values[tensor] = value

    def quantizer_of_sum(self, index: int, op: Op, operands: list[Any]) -> ActivationQuantizer | None:
        """Return the fake-quantizer that is fused with bias and activation, or None for separate ops.

        Args:
            index: index of the op.
            op: the op.
            operands: its inputs.
        """
        point = self.points.outputs.get((index, 0))
        if point is None or not ends_in_sum(op, operands):
            return None
        quantizer = self.program.quantizers[point]
        return None if quantizer.ranges == "average" else quantizer

    def in_integers(self, index: int, op: Op, kernels: DeviceKernels) -> bool:
        """Compute one op in integers as the device does; return False when the kernels have no row for it."""
        made = kernels.run(self, index, op)
        if made is None:
            return False
        for position, (tensor, values) in enumerate(zip(op.outputs, made, strict=True)):
            point = self.points.outputs[index, position]
            self.held[tensor], self.integers[tensor, point] = point, values
        return True

    def value(self, tensor: Tensor) -> Any:
        """Return a computed value; integers are converted to reals only where reals are read."""
        if tensor not in self.values and self.kernels is not None and tensor in self.held:
            point = self.held[tensor]
            self.values[tensor] = self.kernels.reals(self.integers[tensor, point], point)
        return self.values[tensor]

    def as_kernel(self, index: int, op: Op, operands: list[Any], made: Any) -> Any:
        """Return the value of an integer kernel that does more than round, with the float gradient.

        Args:
            index: index of the op.
            op: the op.
            operands: its inputs.
            made: the output of the float lowering.
        """
        point = self.points.inputs.get((index, 0))
        kernel = None if point is None else INTEGER_KERNELS.get((op.kind, point.storage.dtype))
        if point is None or kernel is None:
            return made
        scale, _ = self.program.quantizers[point].parameters(self.cache)
        exact = kernel(op, ops.stop_gradient(operands[0]), ops.stop_gradient(scale))
        return made + ops.stop_gradient(ops.cast(exact, made.dtype) - made)

    def static_results(self, op: Op) -> list[Any] | None:
        """Compute an op with constant inputs in NumPy, such as shape arithmetic; None otherwise."""
        row = CONSTANT_OPS.get(op.kind)
        arrays = [None if t is None else self.known(t) for t in op.inputs]
        if row is None or not arrays or any(a is None for a in arrays):
            return None
        try:
            made = row.kernel(op, [np.asarray(a) for a in arrays])
        except _REFUSALS:
            return None
        return made if isinstance(made, list) else [made]

    def known(self, tensor: Tensor) -> Array | None:
        """Return a value that is equal for all samples and not trained, or None."""
        value = self.weights.value(tensor) if tensor.is_constant else self.values.get(tensor)
        return value if isinstance(value, np.ndarray | np.generic) else None  # type: ignore[return-value]

    def operand(self, index: int, row: Lowering, op: Op, position: int, tensor: Tensor | None) -> Any:
        """Return one input in the form that the op's lowering requires."""
        if tensor is None or tensor.is_variable:
            return None
        known = self.known(tensor)
        if position in row.static or (position in row.indices and known is not None):
            if known is None:
                raise ModelError(
                    f"Cannot train {op.kind} '{op.name}': its operand '{tensor.name}' depends on the input."
                )
            return known
        if tensor in self.weights.variables:
            value = self.trained(index, position)
        elif known is not None:
            value = self.converted(known)
        else:
            return self.computed(index, row, position, tensor)
        point = self.points.inputs.get((index, position))
        value = value if point is None else self.rounding(point, value)
        return value if position in row.weights else lift(value)

    def trained(self, index: int, position: int) -> Any:
        """Return a trained constant as one op uses it."""
        if (index, position) in self.constants:
            return self.constants[index, position]
        if not self.rounded:
            tensor = self.program.graph.ops[index].operand(position)
            return self.converted(self.weights.variables[tensor])
        return self.converted(self.weights.use(index, position, self.cache))

    def computed(self, index: int, row: Lowering, position: int, tensor: Tensor) -> Any:
        """Return an activation on the grid that the op reads."""
        value = self.value(tensor)
        point = self.points.inputs.get((index, position))
        if point is not None and self.held.get(tensor) is not point:
            if (tensor, point) not in self.forms:
                self.forms[tensor, point] = self.requantized(tensor, point, value)
            value = self.forms[tensor, point]
        return value[0] if position in row.weights and tensor not in self.program.varying else value

    def requantized(self, tensor: Tensor, point: Point, value: Any) -> Any:
        """Return an activation on another grid than that of its producer."""
        held = self.held.get(tensor)
        if self.kernels is None or held is None:
            return self.rounding(point, value)
        return self.kernels.requantized(value, held, point)

    def converted(self, value: Any) -> Any:
        """Return a float constant in the type that the network computes in."""
        tensor = ops.convert_to_tensor(value)
        return ops.cast(tensor, self.dtype) if standardize_dtype(tensor.dtype) == "float32" else tensor

    def batched(self, tensor: Tensor) -> Any:
        """Return a tensor with a batch as first axis."""
        known = self.known(tensor)
        if known is not None:
            return lift(known)
        return lift(self.weights.value(tensor)) if tensor.is_constant else self.value(tensor)
