"""The walk through a quantized ONNX graph: what is known of each value, and the nodes that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tightfit.conversion.qdq.integer_moves import MOVES, ROUNDED_AGAIN, computed, interpolates
from tightfit.conversion.qdq.node_order import (
    STANDARD,
    TYPES,
    domain_of,
    in_order,
    inner_names,
    plain_array,
    typed_array,
)
from tightfit.conversion.qdq.qdq_parameters import LIMITS, QdqParameters, digest, symmetric16
from tightfit.errors import ModelError
from tightfit.types import Array

_AXES_SINCE: Final = 13
"""The opset from which QuantizeLinear has an axis."""


@dataclass
class NormalForm:
    """A model of reals.

    Args:
        model: with ``QuantizeLinear`` and ``DequantizeLinear`` as described above.
        constants: digest of a constant's reals → its parameters, and whether activations are quantized at run
            time.
        inputs: those that are integers in the source → parameters.
        outputs: see ``inputs``.
        notes: what could not be kept.
    """

    model: onnx.ModelProto
    constants: dict[str, tuple[QdqParameters, bool]] = field(default_factory=dict)
    inputs: dict[str, QdqParameters] = field(default_factory=dict)
    outputs: dict[str, QdqParameters] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Form = Callable[["Walker", onnx.NodeProto], None]
"""How a node is rewritten: it writes nodes and says what its outputs are."""


class Walker:
    """Goes through a graph in order and writes the nodes of the normal form.

    Attributes:
        known: name → constant array.
        ints: name of an integer value → (name of its reals, parameters).
        alias: name in the source → name here.
        nodes: written so far.
        uses: name → nodes that read it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.source = model
        self.known: dict[str, Array] = {}
        self.kept: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        self.ints: dict[str, tuple[str, QdqParameters]] = {}
        self.alias: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.made: dict[str, onnx.TensorProto] = {}
        self.result = NormalForm(onnx.ModelProto())
        self.uses: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.uses.setdefault(name, []).append(node)
        self._inputs = {i.name: TYPES.get(i.type.tensor_type.elem_type, "") for i in model.graph.input}
        self._count = 0

    def run(self, rows: Mapping[tuple[str, str], Form]) -> NormalForm:
        """Return the normal form.

        Args:
            rows: (domain, op) → how it is rewritten.

        Raises:
            ModelError: a node has no normal form.
        """
        written = {name for node in self.source.graph.node for name in node.output} | {""}
        written |= self._inputs.keys() | self.kept.keys()
        written |= {t.values.name for t in self.source.graph.sparse_initializer}
        for node in in_order(self.source.graph):
            missing = [name for name in node.input if name not in written]
            if missing:
                raise self.refuse(node, f"reads '{missing[0]}', which nothing in the file writes")
            row = rows.get((domain_of(node), node.op_type))
            if row is not None:
                row(self, node)
            elif not self._fold(node):
                self._other(node)
        self._finish()
        return self.result

    # -- reading -------------------------------------------------------------------------------

    def constant(self, name: str) -> Array | None:
        """The value of a constant, None for what is computed or an absent input."""
        name = self.alias.get(name, name)
        if name not in self.known and name in self.kept:
            self.known[name] = plain_array(numpy_helper.to_array(self.kept[name]))
        return self.known.get(name) if name else None

    def dtype_of(self, name: str) -> str:
        """ONNX's type of a constant or of a graph's input, "" where it is not known."""
        name = self.alias.get(name, name)
        if name in self.kept:
            return TYPES.get(self.kept[name].data_type, "")
        return self._inputs.get(name, "")

    def refuse(self, node: onnx.NodeProto, why: str) -> ModelError:
        """The error for a node without a normal form."""
        return ModelError(f"The ONNX op {node.op_type} '{node.name or node.output[0]}' {why}.")

    def parameters(
        self, node: onnx.NodeProto, scale: str, zero_point: str, dtype: str, axis: int | None
    ) -> QdqParameters:
        """What constants say about a value.

        Raises:
            ModelError: they are computed, or the type is no integer.
        """
        scales = self.constant(scale)
        if scales is None:
            raise self.refuse(node, "has a scale that is computed at run time; quantize the model statically")
        points = self.constant(zero_point) if zero_point else None
        wide = scales.astype(np.float32).reshape(-1)
        zeros = np.zeros(wide.size, np.int64) if points is None else points.astype(np.int64).reshape(-1)
        stored = (self.dtype_of(zero_point) if zero_point else "") or dtype
        if stored not in LIMITS:
            raise self.refuse(
                node, "quantizes to a type that is no integer (float8, float4), which LiteRT has not"
            )
        zeros = np.broadcast_to(zeros, wide.shape) if zeros.size == 1 else zeros
        return QdqParameters(stored, wide, zeros, axis if wide.size > 1 else None)

    # -- writing -------------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"{name}/{self._count}"

    def emit(
        self, op: str, inputs: Iterable[str], output: str, like: onnx.NodeProto, **attributes: Any
    ) -> None:
        """Writes a node; its inputs are names of the normal form."""
        node = helper.make_node(op, list(inputs), [output], name=like.name or output, **attributes)
        self.nodes.append(node)

    def store(self, name: str, values: Array) -> str:
        """Adds a constant and gives its name."""
        self.known[name] = values
        self.made[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def real(self, name: str) -> str:
        """The name here of a value that a node of the source reads as a real."""
        return self.ints[name][0] if name in self.ints else self.alias.get(name, name)

    def round(self, node: onnx.NodeProto, value: str, output: str, parameters: QdqParameters) -> None:
        """Rounds a real to integers; ``output`` is the source's name of these."""
        wanted = self._writable(node, parameters)
        reals = self.fresh(output)
        if wanted.dtype != parameters.dtype and parameters.dtype in ("int4", "uint4", "int2", "uint2"):
            value = self._clipped(node, value, parameters)
        stored = [
            self.store(self.fresh("scale"), wanted.scale),
            self.store(self.fresh("zero"), typed_array(wanted)),
        ]
        axis = {} if self._opset() < _AXES_SINCE else {"axis": wanted.axis or 0}
        self.emit("QuantizeLinear", [value, *stored], reals, node, **axis)
        self.ints[output] = reals, parameters

    def _opset(self) -> int:
        return next((o.version for o in self.source.opset_import if o.domain in STANDARD), 1)

    def _writable(self, node: onnx.NodeProto, parameters: QdqParameters) -> QdqParameters:
        if parameters.dtype in ("int4", "uint4", "int2", "uint2"):
            return QdqParameters("int8", parameters.scale, parameters.zero_point, parameters.axis)
        if parameters.dtype == "uint16" or (parameters.dtype == "int16" and parameters.zero_point.any()):
            self.result.notes.append(
                f"{node.op_type} '{node.name or node.output[0]}': 16 bits with a zero point became int16 "
                "around zero with another scale, as LiteRT takes no other (up to one bit coarser)."
            )
            return symmetric16(parameters)
        return parameters

    def _clipped(self, node: onnx.NodeProto, value: str, parameters: QdqParameters) -> str:
        """Fewer bits than eight: the reals end where those integers end."""
        ends = [float(parameters.dequantize(np.asarray(v)).reshape(-1)[0]) for v in LIMITS[parameters.dtype]]
        names = [self.store(self.fresh("end"), np.asarray(end, np.float32)) for end in ends]
        output = self.fresh(value)
        self.emit("Clip", [value, *names], output, node)
        return output

    def dequantized(
        self, node: onnx.NodeProto, name: str, parameters: QdqParameters, *, dynamic: bool = False
    ) -> str:
        """The name of a constant's reals, or of an integer value's."""
        integers = self.constant(name)
        if integers is None:
            return self._dequantized_value(node, name, parameters)
        reals = parameters.dequantize(integers)
        output = self.store(self.fresh(name), reals)
        if parameters.dtype != "int32":
            self.result.constants[digest(reals)] = parameters, dynamic
        return output

    def _dequantized_value(self, node: onnx.NodeProto, name: str, parameters: QdqParameters) -> str:
        if name in self.ints:
            reals, own = self.ints[name]
            if not own.same(parameters):
                raise self.refuse(node, "reads integers with another scale than they were written with")
            return reals
        if self._inputs.get(name):
            self.result.inputs[name] = parameters
            self.round(node, name, name, parameters)
            return self.ints[name][0]
        raise self.refuse(node, "dequantizes integers whose scale is not known")

    # -- nodes ---------------------------------------------------------------------------------

    def _fold(self, node: onnx.NodeProto) -> bool:
        """Computes what producers do to stored integers before they dequantize them."""
        if node.op_type == "Constant" and domain_of(node) == "":
            tensor = next((a.t for a in node.attribute if a.name == "value"), None)
            if tensor is not None:
                self.kept[node.output[0]] = tensor
            return False
        values = [self.constant(name) if name else None for name in node.input]
        if not node.input or any(v is None for n, v in zip(node.input, values, strict=True) if n):
            return False
        first = values[0]
        if first is None or first.dtype.kind not in "iu" or not self.dtype_of(node.input[0]):
            return False
        folded = computed(node, values)
        if folded is None:
            return False
        proto = onnx.TensorProto(
            name=node.output[0], data_type=self.kept[self.alias.get(node.input[0], node.input[0])].data_type
        )
        self.kept[node.output[0]], self.known[node.output[0]] = proto, folded
        return True

    def _other(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.metadata_props[:]  # exporters leave paths of the producer's machine there
        read = [n for n in node.input if n in self.ints]
        for i, name in enumerate(node.input):
            copy.input[i] = self.real(name)
        if not read:
            self.nodes.append(copy)
            return
        if node.op_type not in MOVES or domain_of(node) != "":
            raise self.refuse(node, "computes on stored integers, which has no normal form")
        parameters = self.ints[read[0]][1]
        for i in MOVES[node.op_type]:
            value = self.constant(node.input[i]) if i < len(node.input) else None
            if value is not None:
                copy.input[i] = self.store(self.fresh(node.input[i]), parameters.dequantize(value))
        for i, name in enumerate(node.output):
            reals = self.fresh(name)
            copy.output[i] = reals
            self.ints[name] = reals, parameters
        self.nodes.append(copy)
        if node.op_type in ROUNDED_AGAIN and interpolates(node):
            self.round(node, copy.output[0], node.output[0], parameters)
            self.result.notes.append(
                f"{node.op_type} '{node.name or node.output[0]}' interpolates stored integers, which "
                "onnxruntime rounds down; here they are rounded to the nearest (one step)."
            )

    def _finish(self) -> None:
        model = self.result.model
        model.CopyFrom(self.source)
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        for output in model.graph.output:
            if output.name in self.ints:
                reals, parameters = self.ints[output.name]
                self.result.outputs[output.name] = parameters
                self.nodes.append(helper.make_node("Identity", [reals], [output.name]))
                output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            elif output.name in self.alias:
                self.nodes.append(helper.make_node("Identity", [self.alias[output.name]], [output.name]))
        for value in model.graph.input:
            if value.name in self.result.inputs:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        self.nodes = [n for n in self.nodes if not all(o in self.made for o in n.output)]
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input} | {o.name for o in model.graph.output}
        used |= {n for node in self.nodes for a in node.attribute for n in inner_names(a)}
        tensors = self.made | {t.name: t for t in self.source.graph.initializer}
        model.graph.initializer.extend(t for name, t in tensors.items() if name in used)
