"""Single ops of a quantized file, built into the float model beside the ops that they stand for.

A branch feeds the file's op with the float model's values, rounded as the op reads them; the float op gets
the same rounded values. The difference of their results is the error that the op adds by itself, computed by
LiteRT's own kernels, for all ops in one run of one model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tightfit.diagnosis.explain.graph_matching import Pairing
from tightfit.graph.copying import copy_model, copy_op
from tightfit.graph.ir import Op, Tensor
from tightfit.quantization.arithmetic import dequantize


class NoBranchError(Exception):
    """The op cannot be built alone; ``args`` say why."""


@dataclass(frozen=True)
class Branch:
    """The tensors that show the error of one op, all float.

    Args:
        value: what the float model computes.
        own: the error that the op adds to it.
        inputs: the error that the rounding of its inputs causes.
        weights: that of its stored constants.
        result: that of holding its result in integers.
    """

    value: Tensor
    own: Tensor
    inputs: Tensor | None = None
    weights: Tensor | None = None
    result: Tensor | None = None


class Branches:
    """A copy of the float model that takes branches.

    Args:
        place: where ops are inserted; None appends them.
    """

    def __init__(self, pairing: Pairing) -> None:
        self.pairing = pairing
        self.model = copy_model(pairing.reference)
        self.graph = self.model.main
        originals = pairing.reference.main.tensors()
        self.copies: dict[Tensor, Tensor] = dict(zip(originals, self.graph.tensors(), strict=True))
        self.place: int | None = None
        self._constants: dict[Tensor, Tensor] = {}
        self._rounded: dict[tuple[Tensor, Tensor], Tensor] = {}

    # -- whole branches --------------------------------------------------------------------------

    def of_op(self, op: Op, *, parts: bool = False) -> Branch:
        """Adds the branch of an op of the float model.

        Raises:
            NoBranchError: the file has no such op, or its inputs are not values of the float model.
        """
        twin = self.pairing.twin(op)
        value = op.outputs[0]
        if twin is None or value.dtype != "float32":
            raise NoBranchError("the file has no op that computes it alone")
        read: dict[Tensor, Tensor] = {}
        inputs = [None if t is None else self._input(t, read) for t in twin.inputs]
        computed = self._run(twin, inputs)[twin.outputs.index(self._maker_output(twin, value))]
        held = self.pairing.held(value)
        real = self._real(computed)
        if held is not None and not _same_storage(held, computed):
            real = self._real(self._quantized(real, held))
        same_inputs = self._float_op(op, {self.copies[v]: t for v, t in read.items()})
        exact = self.copies[value]
        own = self._difference(real, same_inputs)
        if not parts:
            return Branch(exact, own)
        weights = self._float_op(op, {}, self._stored_constants(op, twin))
        result = None if held is None else self._difference(self._real(self._quantized(exact, held)), exact)
        differences = (self._difference(same_inputs, exact), self._difference(weights, exact))
        return Branch(exact, own, *differences, result)

    def of_input(self, value: Tensor) -> Branch:
        """Adds the rounding of an input of the float model.

        Raises:
            NoBranchError: the file holds it in float.
        """
        held = self.pairing.held(value)
        if held is None or value.dtype != "float32":
            raise NoBranchError("the file reads it as it is")
        exact = self.copies[value]
        difference = self._difference(self._real(self._quantized(exact, held)), exact)
        return Branch(exact, difference, result=difference)

    def inject(self, branch: Branch, readers: list[tuple[Op, int]]) -> None:
        """Makes readers and outputs of the value see it with the branch's own error added."""
        changed = Tensor(f"{branch.value.name}+own", branch.value.shape)
        self._add(
            Op("ADD", [branch.value, branch.own], [changed], {"fusedActivationFunction": 0}, "AddOptions")
        )
        for reader, position in readers:
            self.graph.set_input(reader, position, changed)
        outputs = self.graph.outputs
        self.graph.outputs = [changed if t is branch.value else t for t in outputs]
        for signature in self.model.signatures:
            if signature.graph_index == 0:
                moved = {n: changed if t is branch.value else t for n, t in signature.outputs.items()}
                signature.outputs.update(moved)

    # -- pieces ----------------------------------------------------------------------------------

    def _maker_output(self, twin: Op, value: Tensor) -> Tensor:
        return next(t for t in twin.outputs if self.pairing.values.get(t) is value)

    def _input(self, tensor: Tensor, read: dict[Tensor, Tensor]) -> Tensor:
        """What the file's op reads, made from the float model's value; ``read`` gets it as reals."""
        if tensor.is_constant:
            return self._constant(tensor)
        value = self.pairing.values.get(tensor)
        if value is None:
            return self._unpacked(tensor)
        if value not in self.copies or tensor.is_variable:
            raise NoBranchError("it keeps state")
        exact = self.copies[value]
        if tensor.is_quantized:
            made = self._quantized(exact, tensor)
            read[value] = self._real(made)
            return made
        source = (
            tensor.producer.input(0) if tensor.producer and tensor.producer.kind == "DEQUANTIZE" else None
        )
        rounded = exact if source is None else self._real(self._quantized(exact, source))
        read[value] = rounded
        return rounded

    def _unpacked(self, tensor: Tensor) -> Tensor:
        """The result of ops on constants only, such as the DEQUANTIZE of stored weights."""
        op = tensor.producer
        if op is None or any(t is not None and not t.is_constant and t.producer is None for t in op.inputs):
            raise NoBranchError("it reads what the float model does not have")
        inputs = [None if t is None else self._unpacked_input(t) for t in op.inputs]
        return self._run(op, inputs)[op.outputs.index(tensor)]

    def _unpacked_input(self, tensor: Tensor) -> Tensor:
        return self._constant(tensor) if tensor.is_constant else self._unpacked(tensor)

    def _constant(self, tensor: Tensor) -> Tensor:
        if tensor not in self._constants:
            made = Tensor(tensor.name, tensor.shape, tensor.dtype, tensor.data, tensor.quantization)
            made.sparsity = tensor.sparsity
            self._constants[tensor] = made
        return self._constants[tensor]

    def _run(self, op: Op, inputs: list[Tensor | None]) -> list[Tensor]:
        """A copy of an op of the file on other inputs; gives its new outputs."""
        mapping = {
            t: new for t, new in zip(op.inputs, inputs, strict=True) if t is not None and new is not None
        }
        mapping |= {
            t: Tensor(f"{t.name}~", t.shape, t.dtype, quantization=t.quantization) for t in op.outputs
        }
        if op.intermediates:
            raise NoBranchError("it keeps intermediate results")
        return self._add(copy_op(op, mapping)).outputs

    def _float_op(
        self, op: Op, replaced: dict[Tensor, Tensor], constants: dict[int, Tensor] | None = None
    ) -> Tensor:
        """The first result of a copy of a float op on other inputs."""
        inputs = [None if t is None else self.copies[t] for t in op.inputs]
        mapped = [None if t is None else replaced.get(t, t) for t in inputs]
        for position, tensor in (constants or {}).items():
            mapped[position] = tensor
        results = [Tensor(f"{t.name}~float", t.shape, t.dtype) for t in op.outputs]
        twin = Op(op.kind, mapped, results, dict(op.options), op.options_type, op.version)
        twin.custom_code, twin.custom_options, twin.extra = op.custom_code, op.custom_options, dict(op.extra)
        return self._add(twin).outputs[0]

    def _stored_constants(self, op: Op, twin: Op) -> dict[int, Tensor]:
        """The constants of the float op as the file stores them, dequantized."""
        found = {}
        for i, (mine, theirs) in enumerate(zip(op.inputs, twin.inputs, strict=False)):
            stored = theirs
            while stored is not None and not stored.is_constant and stored.producer is not None:
                stored = stored.producer.input(0) if stored.producer.kind == "DEQUANTIZE" else None
            if mine is None or stored is None or not mine.is_constant or mine.dtype != "float32":
                continue
            if stored.data is None or stored.quantization is None or stored.sparsity is not None:
                continue
            q = stored.quantization
            axis = q.axis if q.scale.size > 1 else None
            values = dequantize(stored.data, q.scale, q.zero_point, axis).reshape(mine.shape)
            found[i] = Tensor(f"{mine.name}~stored", mine.shape, data=np.ascontiguousarray(values))
        return found

    def _quantized(self, source: Tensor, like: Tensor) -> Tensor:
        key = (source, like)
        if key not in self._rounded:
            made = Tensor(
                f"{source.name}~{like.dtype}", source.shape, like.dtype, quantization=like.quantization
            )
            self._rounded[key] = self._add(Op("QUANTIZE", [source], [made], {}, "QuantizeOptions")).outputs[0]
        return self._rounded[key]

    def _real(self, tensor: Tensor) -> Tensor:
        if not tensor.is_quantized:
            return tensor
        key = (tensor, tensor)
        if key not in self._rounded:
            made = Tensor(f"{tensor.name}~real", tensor.shape)
            self._rounded[key] = self._add(
                Op("DEQUANTIZE", [tensor], [made], {}, "DequantizeOptions")
            ).outputs[0]
        return self._rounded[key]

    def _difference(self, a: Tensor, b: Tensor) -> Tensor:
        made = Tensor(f"{a.name}-", a.shape)
        options = {"fusedActivationFunction": 0}
        return self._add(Op("SUB", [a, b], [made], options, "SubOptions")).outputs[0]

    def _add(self, op: Op) -> Op:
        if self.place is None:
            return self.graph.append(op)
        self.place += 1
        return self.graph.insert(self.place - 1, op)


def _same_storage(a: Tensor, b: Tensor) -> bool:
    p, q = a.quantization, b.quantization
    if a.dtype != b.dtype or p is None or q is None:
        return False
    return bool(np.array_equal(p.scale, q.scale) and np.array_equal(p.zero_point, q.zero_point))
