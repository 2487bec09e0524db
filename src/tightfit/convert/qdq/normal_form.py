"""Rewrites a quantized ONNX model so that its values are reals and two ops are left of the quantization.

``DequantizeLinear`` has a constant and gives its reals. ``QuantizeLinear`` rounds reals to integers and back,
so its output is real. Everything else computes on reals. What the producers write (``FORMS``, one row an op)
is brought to this form; ops that move integers move reals instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tightfit.convert.qdq.parameters import LIMITS, Array, Parameters, digest, symmetric16
from tightfit.errors import ModelError

STANDARD: Final = ("", "ai.onnx")
MICROSOFT: Final = "com.microsoft"
_TYPES: Final = {
    int(getattr(onnx.TensorProto, name.upper())): name
    for name in LIMITS
    if hasattr(onnx.TensorProto, name.upper())
}
_MOVES: Final[dict[str, tuple[int, ...]]] = {
    "Clip": (1, 2), "Concat": (), "DepthToSpace": (), "Expand": (), "Flatten": (), "Gather": (), "Identity": (),
    "Max": (), "MaxPool": (), "Min": (), "Pad": (2,), "Reshape": (), "Resize": (), "Slice": (), "SpaceToDepth": (),
    "Split": (), "Squeeze": (), "Transpose": (), "Unsqueeze": (), "ReduceMax": (), "ReduceMin": (),
}  # fmt: skip
"""Ops that act on stored integers → the inputs that are integers of the same scale where they are constants."""
_AXES_SINCE: Final = 13
"""The opset from which QuantizeLinear has an axis."""
_ROUND_AGAIN: Final = ("Resize",)
"""Of these, those whose results are rounded: onnxruntime floors them."""


@dataclass
class NormalForm:
    """A model of reals.

    Args:
        model: with ``QuantizeLinear`` and ``DequantizeLinear`` as described above. constants: digest of a
            constant's reals → its parameters, and whether activations are quantized at run time.
        inputs, outputs: those that are integers in the source → parameters. notes: what could not be kept.
    """

    model: onnx.ModelProto
    constants: dict[str, tuple[Parameters, bool]] = field(default_factory=dict)
    inputs: dict[str, Parameters] = field(default_factory=dict)
    outputs: dict[str, Parameters] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Return True when a node of the main graph quantizes or computes on quantized values.

    Args:
        model: any ONNX model.
    """
    return any((_domain(node), node.op_type) in forms() for node in model.graph.node)


def has_integer_kernels(model: onnx.ModelProto) -> bool:
    """Return True when an op of the source computes on integers itself (QLinearConv, MatMulInteger).

    Args:
        model: a quantized ONNX model.
    """
    plain = {"QuantizeLinear", "DequantizeLinear", "Quant"}
    kinds = {(_domain(n), n.op_type) for n in model.graph.node if n.op_type not in plain}
    return not kinds.isdisjoint(forms())


def normal_form(model: onnx.ModelProto) -> NormalForm:
    """Return the normal form of a quantized model, which is not changed.

    Args:
        model: with QuantizeLinear, QLinear or integer ops of any producer.

    Raises:
        ModelError: a node quantizes in a way that has no normal form; the sentence names it.
    """
    return Walker(model).run()


def as_qdq(form: NormalForm) -> onnx.ModelProto:
    """Return a normal form as an ONNX model that every runtime computes: Q and DQ around float ops.

    Args:
        form: of a quantized source; not changed.
    """
    model = onnx.ModelProto()
    model.CopyFrom(form.model)
    del model.graph.node[:]
    for node in form.model.graph.node:
        if node.op_type != "QuantizeLinear":
            model.graph.node.append(node)
            continue
        first, integers = onnx.NodeProto(), f"{node.output[0]}/integers"
        first.CopyFrom(node)
        first.output[0] = integers
        scales = [integers, *node.input[1:]]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        model.graph.node.extend(
            [first, helper.make_node("DequantizeLinear", scales, list(node.output), axis=axis)]
        )
    for node in model.graph.node:
        node.ClearField("name")  # several nodes here come from one of the source
    return model


def in_range(form: NormalForm, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return inputs within the range that a source was calibrated for, integers where it takes integers.

    Args:
        form: of the source. arrays: reals in [-1, 1) by input's name; only those with a scale are given back.
    """
    known = {t.name: t for t in form.model.graph.initializer}
    found: dict[str, Array] = {}
    for node in form.model.graph.node:
        name = node.input[0] if node.input else ""
        if node.op_type != "QuantizeLinear" or name not in arrays:
            continue
        scale, zero = (numpy_helper.to_array(known[n]) for n in node.input[1:3])
        own = Parameters(zero.dtype.name, scale.reshape(-1)[:1], zero.astype(np.int64).reshape(-1)[:1])
        low, high = (float(own.dequantize(np.asarray(v))) for v in LIMITS[own.dtype])
        # Dense in the middle like most data: uniform noise saturates the values behind it.
        folded = np.arcsin(np.clip(arrays[name], -1, 1)) / np.pi * np.abs(arrays[name])
        found[name] = ((folded + 0.5) * (high - low) + low).astype(np.float32)
    for name, parameters in form.inputs.items():
        found[name] = parameters.quantize(found.get(name, arrays[name])).astype(parameters.dtype)
    return found


def reals_of_inputs(form: NormalForm, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return a source's inputs as its normal form takes them: reals where the source takes integers.

    Args:
        form: of the source. arrays: by input's name.
    """
    return {n: form.inputs[n].dequantize(a) if n in form.inputs else a for n, a in arrays.items()}


def integer_outputs(form: NormalForm, results: list[Array]) -> list[Array]:
    """Return a normal form's outputs as the source gives them: integers where it does.

    Args:
        form: of the source. results: of its outputs, in order.
    """
    named = zip((o.name for o in form.model.graph.output), results, strict=True)
    return [
        form.outputs[n].quantize(r).astype(form.outputs[n].dtype) if n in form.outputs else r
        for n, r in named
    ]


def forms() -> dict[tuple[str, str], Callable[[Walker, onnx.NodeProto], None]]:
    """Return the rows: (domain, op) → how it is rewritten."""
    from tightfit.convert.qdq import blocks, dynamic, linear_ops, qonnx  # noqa: PLC0415 - the rows use this module

    own = {("", "QuantizeLinear"): _quantize, ("", "DequantizeLinear"): _dequantize}
    own |= {(MICROSOFT, op): function for (_, op), function in own.items()}
    return own | linear_ops.FORMS | dynamic.FORMS | blocks.FORMS | qonnx.FORMS


def _domain(node: onnx.NodeProto) -> str:
    return "" if node.domain in STANDARD else node.domain


class Walker:
    """Goes through a graph in order and writes the nodes of the normal form.

    Attributes:
        known: name → constant array. ints: name of an integer value → (name of its reals, parameters).
        alias: name in the source → name here. nodes: written so far. uses: name → nodes that read it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.source = model
        self.known: dict[str, Array] = {}
        self.kept: dict[str, onnx.TensorProto] = {t.name: t for t in model.graph.initializer}
        self.ints: dict[str, tuple[str, Parameters]] = {}
        self.alias: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.made: dict[str, onnx.TensorProto] = {}
        self.result = NormalForm(onnx.ModelProto())
        self.uses: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self.uses.setdefault(name, []).append(node)
        self._inputs = {i.name: _TYPES.get(i.type.tensor_type.elem_type, "") for i in model.graph.input}
        self._count = 0

    def run(self) -> NormalForm:
        rows = forms()
        for node in self.source.graph.node:
            row = rows.get((_domain(node), node.op_type))
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
            self.known[name] = _plain(numpy_helper.to_array(self.kept[name]))
        return self.known.get(name) if name else None

    def dtype_of(self, name: str) -> str:
        """ONNX's type of a constant or of a graph's input, "" where it is not known."""
        name = self.alias.get(name, name)
        if name in self.kept:
            return _TYPES.get(self.kept[name].data_type, "")
        return self._inputs.get(name, "")

    def refuse(self, node: onnx.NodeProto, why: str) -> ModelError:
        """The error for a node without a normal form."""
        return ModelError(f"The ONNX op {node.op_type} '{node.name or node.output[0]}' {why}.")

    def parameters(
        self, node: onnx.NodeProto, scale: str, zero_point: str, dtype: str, axis: int | None
    ) -> Parameters:
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
        return Parameters(stored, wide, zeros, axis if wide.size > 1 else None)

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

    def round(self, node: onnx.NodeProto, value: str, output: str, parameters: Parameters) -> None:
        """Rounds a real to integers; ``output`` is the source's name of these."""
        wanted = self._writable(node, parameters)
        reals = self.fresh(output)
        if wanted.dtype != parameters.dtype and parameters.dtype in ("int4", "uint4", "int2", "uint2"):
            value = self._clipped(node, value, parameters)
        stored = [
            self.store(self.fresh("scale"), wanted.scale),
            self.store(self.fresh("zero"), _typed(wanted)),
        ]
        axis = {} if self._opset() < _AXES_SINCE else {"axis": wanted.axis or 0}
        self.emit("QuantizeLinear", [value, *stored], reals, node, **axis)
        self.ints[output] = reals, parameters

    def _opset(self) -> int:
        return next((o.version for o in self.source.opset_import if o.domain in STANDARD), 1)

    def _writable(self, node: onnx.NodeProto, parameters: Parameters) -> Parameters:
        if parameters.dtype in ("int4", "uint4", "int2", "uint2"):
            return Parameters("int8", parameters.scale, parameters.zero_point, parameters.axis)
        if parameters.dtype == "uint16" or (parameters.dtype == "int16" and parameters.zero_point.any()):
            self.result.notes.append(
                f"{node.op_type} '{node.name or node.output[0]}': 16 bits with a zero point became int16 around "
                "zero with another scale, as LiteRT takes no other (up to one bit coarser)."
            )
            return symmetric16(parameters)
        return parameters

    def _clipped(self, node: onnx.NodeProto, value: str, parameters: Parameters) -> str:
        """Fewer bits than eight: the reals end where those integers end."""
        ends = [float(parameters.dequantize(np.asarray(v)).reshape(-1)[0]) for v in LIMITS[parameters.dtype]]
        names = [self.store(self.fresh("end"), np.asarray(end, np.float32)) for end in ends]
        output = self.fresh(value)
        self.emit("Clip", [value, *names], output, node)
        return output

    def dequantized(
        self, node: onnx.NodeProto, name: str, parameters: Parameters, *, dynamic: bool = False
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

    def _dequantized_value(self, node: onnx.NodeProto, name: str, parameters: Parameters) -> str:
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
        if node.op_type == "Constant" and _domain(node) == "":
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
        folded = _computed(node, values)
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
        if node.op_type not in _MOVES or _domain(node) != "":
            raise self.refuse(node, "computes on stored integers, which has no normal form")
        parameters = self.ints[read[0]][1]
        for i in _MOVES[node.op_type]:
            value = self.constant(node.input[i]) if i < len(node.input) else None
            if value is not None:
                copy.input[i] = self.store(self.fresh(node.input[i]), parameters.dequantize(value))
        for i, name in enumerate(node.output):
            reals = self.fresh(name)
            copy.output[i] = reals
            self.ints[name] = reals, parameters
        self.nodes.append(copy)
        if node.op_type in _ROUND_AGAIN and _is_linear(node):
            self.round(node, copy.output[0], node.output[0], parameters)
            self.result.notes.append(
                f"{node.op_type} '{node.name or node.output[0]}' interpolates stored integers, which onnxruntime "
                "rounds down; here they are rounded to the nearest (one step)."
            )

    def _finish(self) -> None:
        model, graph = self.result.model, self.source.graph
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
        del graph
        model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input} | {o.name for o in model.graph.output}
        used |= {n for node in self.nodes for a in node.attribute for n in _inner_names(a)}
        tensors = self.made | {t.name: t for t in self.source.graph.initializer}
        model.graph.initializer.extend(t for name, t in tensors.items() if name in used)


def _quantize(walker: Walker, node: onnx.NodeProto) -> None:
    """QuantizeLinear of an activation, or of a constant (AIMET, onnxruntime's AddQDQPairToWeight)."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = _TYPES.get(attributes.get("output_dtype", 0), "uint8")
    if attributes.get("block_size"):
        raise walker.refuse(node, "quantizes in blocks, which no activation of LiteRT does")
    zero = node.input[2] if len(node.input) > 2 else ""
    parameters = walker.parameters(node, node.input[1], zero, given, attributes.get("axis", 1))
    value = walker.constant(node.input[0])
    if value is None:
        walker.round(node, walker.real(node.input[0]), node.output[0], parameters)
        return
    name = node.output[0]
    walker.known[name] = parameters.quantize(value)
    walker.kept[name] = onnx.TensorProto(
        name=name, data_type=int(getattr(onnx.TensorProto, parameters.dtype.upper()))
    )


def _dequantize(walker: Walker, node: onnx.NodeProto) -> None:
    """DequantizeLinear of a constant or of an integer value."""
    from tightfit.convert.qdq.blocks import unblocked  # noqa: PLC0415 - its rows use this module

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    zero = node.input[2] if len(node.input) > 2 else ""
    if attributes.get("block_size"):
        walker.alias[node.output[0]] = unblocked(walker, node, attributes)
        return
    source = node.input[0]
    own = walker.dtype_of(source) or (walker.ints[source][1].dtype if source in walker.ints else "uint8")
    parameters = walker.parameters(node, node.input[1], zero, own, attributes.get("axis", 1))
    walker.alias[node.output[0]] = walker.dequantized(node, source, parameters)


def _computed(node: onnx.NodeProto, values: list[Array | None]) -> Array | None:
    """The result of a few ops on stored integers."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    x = values[0]
    assert x is not None  # noqa: S101 - the caller saw it
    if node.op_type == "Clip":
        low, high = (values[i] if i < len(values) else None for i in (1, 2))
        return np.clip(x, low, high)
    if node.op_type == "Transpose":
        return np.transpose(x, attributes.get("perm"))
    if node.op_type == "Reshape" and values[1] is not None:
        return x.reshape([int(v) for v in values[1]])
    return x if node.op_type == "Identity" else None


def _plain(values: Array) -> Array:
    """The array in a type that NumPy computes with."""
    if values.dtype.kind in "fiub":
        return values
    return values.astype(np.int64 if "int" in values.dtype.name else np.float32)


def _typed(parameters: Parameters) -> Array:
    return parameters.zero_point.astype(parameters.dtype)


def _is_linear(node: onnx.NodeProto) -> bool:
    modes = [a.s for a in node.attribute if a.name == "mode"]
    return bool(modes) and modes[0] != b"nearest"


def _inner_names(attribute: onnx.AttributeProto) -> Iterable[str]:
    for graph in (attribute.g, *attribute.graphs):
        for node in graph.node:
            yield from node.input
            for inner in node.attribute:
                yield from _inner_names(inner)
