"""Puts QUANTIZE and DEQUANTIZE where markers stand, and stored integers where constants have reals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tightfit.conversion.qdq.qdq_parameters import LIMITS, MARKER, Array, QdqParameters, digest, parse_marker
from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Tensor
from tightfit.units import format_count

_COMPOSITE: Final = "STABLEHLO_COMPOSITE"
_HYBRID: Final = frozenset({"FULLY_CONNECTED", "CONV_2D"})
_WIDE: Final = {"uint4": "uint8", "uint2": "uint8"}


def restore(model: Model, constants: Mapping[str, tuple[QdqParameters, bool]]) -> list[str]:
    """Write the quantization of a source into its converted graph, in place.

    Args:
        model: float, with markers.
        constants: digest of reals → parameters, and whether their readers take
            the integers themselves (dynamic range).

    Returns:
        What was found, in words.
    """
    rounded = sum(
        _restore_rounding(graph, op) for graph in model.graphs[:1] for op in list(graph.ops) if _is_marker(op)
    )
    stored = sum(_restore_constants(graph, constants) for graph in model.graphs[:1])
    _drop_decompositions(model)
    if not rounded and not stored:
        return []
    return [
        f"Kept the scales of {format_count(rounded, 'activation')} and {format_count(stored, 'constant')}."
    ]


def _is_marker(op: Op) -> bool:
    return op.kind == _COMPOSITE and _name(op).startswith(MARKER + ".")


def _name(op: Op) -> str:
    name = op.options.get("name", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def _restore_rounding(graph: Graph, op: Op) -> int:
    parameters = parse_marker(_name(op))
    source, result = op.operand(0), op.outputs[0]
    place = graph.ops.index(op)
    graph.remove(op)
    if parameters.axis is None:
        _pair(graph, place, source, result, parameters)
    else:
        _per_channel(graph, place, source, result, parameters)
    return 1


def _pair(graph: Graph, place: int, source: Tensor, result: Tensor, parameters: QdqParameters) -> int:
    """QUANTIZE and DEQUANTIZE between two tensors; gives the place behind them."""
    signature = source.shape_signature
    held = Tensor(
        f"{result.name}_{parameters.dtype}", source.shape, parameters.dtype, shape_signature=signature
    )
    held.quantization = Quantization(parameters.scale, parameters.zero_point)
    graph.insert(place, Op("QUANTIZE", [source], [held], {}, "QuantizeOptions"))
    graph.insert(place + 1, Op("DEQUANTIZE", [held], [result], {}, "DequantizeOptions"))
    return place + 2


def _per_channel(graph: Graph, place: int, source: Tensor, result: Tensor, parameters: QdqParameters) -> None:
    """No activation has a scale for each channel: the channels are multiplied to one scale and back.

    With one zero point for all, ``round(x / s_c)`` is ``round(x · S/s_c / S)``; with several the values are
    counted in steps, shifted by a whole number of them, and rounded at scale 1.
    """
    shape = [-1 if i == parameters.axis else 1 for i in range(len(source.shape))]
    points, scale = parameters.zero_point.reshape(shape), parameters.scale.astype(np.float64).reshape(shape)
    one = points.min() == points.max()
    common = float(np.float32(scale.max())) if one else 1.0
    point = int(points.min()) if one else 0
    value, count = source, 0

    def elementwise(kind: str, constant: Array) -> None:
        nonlocal value, place, count
        count += 1
        made = Tensor(f"{result.name}/{count}", source.shape, shape_signature=source.shape_signature)
        operand = Tensor(f"{made.name}/constant", constant.shape, data=constant.astype(np.float32))
        graph.insert(place, Op(kind, [value, operand], [made], {}, f"{kind.title()}Options"))
        value, place = made, place + 1

    elementwise("MUL", common / scale)
    if not one:
        elementwise("ADD", points)
    held = Tensor(f"{result.name}/held", source.shape, shape_signature=source.shape_signature)
    flat = QdqParameters(parameters.dtype, np.asarray([common], np.float32), np.asarray([point], np.int64))
    place = _pair(graph, place, value, held, flat)
    value = held
    if not one:
        elementwise("SUB", points)
    operand = Tensor(f"{result.name}/scales", tuple(scale.shape), data=(scale / common).astype(np.float32))
    graph.insert(place, Op("MUL", [value, operand], [result], {}, "MulOptions"))


# -- constants -------------------------------------------------------------------------------------


def _restore_constants(graph: Graph, constants: Mapping[str, tuple[QdqParameters, bool]]) -> int:
    count = 0
    for tensor in graph.tensors():
        if (
            tensor.data is None
            or tensor.dtype != "float32"
            or tensor.sparsity is not None
            or not tensor.consumers
        ):
            continue
        found = constants.get(digest(tensor.data))
        twin = None if found is None else _stored(tensor, found[0])
        if found is None or twin is None:
            continue
        count += 1
        _connect(graph, tensor, twin, dynamic=found[1])
    return count


def _stored(tensor: Tensor, parameters: QdqParameters) -> Tensor | None:
    """The integers of a constant along the axis where they give its very reals, None where there is none."""
    dtype = _WIDE.get(parameters.dtype, parameters.dtype)
    several = parameters.scale.size > 1
    axes = [i for i, n in enumerate(tensor.shape) if n == parameters.scale.size] if several else [None]
    for axis in axes:
        given = QdqParameters(parameters.dtype, parameters.scale, parameters.zero_point, axis)
        scale, zero = (
            given.spread(tensor.values.ndim)
            if tensor.values.ndim
            else (parameters.scale[0], parameters.zero_point[0])
        )
        with np.errstate(all="ignore"):
            integers = np.rint(tensor.values.astype(np.float64) / scale) + zero
        low, high = LIMITS[parameters.dtype]
        fits = bool(np.isfinite(integers).all()) and integers.min() >= low and integers.max() <= high
        if fits and np.array_equal(((integers - zero) * scale).astype(np.float32), tensor.values):
            numpy_type = np.int8 if dtype in ("int4", "int2") else np.dtype(dtype)
            data = integers.astype(numpy_type)
            how = Quantization(parameters.scale, parameters.zero_point, axis or 0)
            return Tensor(tensor.name, tensor.shape, dtype, data, how)
    return None


def _connect(graph: Graph, tensor: Tensor, twin: Tensor, *, dynamic: bool) -> None:
    unpacked: Tensor | None = None
    for op, position in list(tensor.consumers):
        if dynamic and op.kind in _HYBRID and position == 1 and not np.any(_points(twin)):
            graph.set_input(op, position, twin)
            if op.kind == "FULLY_CONNECTED":
                op.options["asymmetricQuantizeInputs"] = True
            op.version = 0
            continue
        if unpacked is None:
            unpacked = Tensor(f"{tensor.name}_float32", tensor.shape)
            first = min(graph.ops.index(reader) for reader, _ in tensor.consumers)
            graph.insert(first, Op("DEQUANTIZE", [twin], [unpacked], {}, "DequantizeOptions"))
        graph.set_input(op, position, unpacked)


def _points(tensor: Tensor) -> Array:
    return tensor.grid.zero_point


# -- ends and subgraphs ----------------------------------------------------------------------------


def restore_interface(
    model: Model, inputs: Mapping[str, QdqParameters], outputs: Mapping[str, QdqParameters]
) -> None:
    """Give integer inputs and outputs of the source their types back, in place.

    Args:
        model: with a signature whose names are the source's.
        inputs: input name → parameters.
        outputs: output name → parameters.
    """
    for signature in model.signatures:
        graph = model.graphs[signature.graph_index]
        for name, parameters in inputs.items():
            _integer_input(graph, signature, name, parameters)
        for name, parameters in outputs.items():
            _integer_output(graph, signature, name, parameters)


def _integer_input(graph: Graph, signature: Signature, name: str, parameters: QdqParameters) -> None:
    tensor = signature.inputs[name]
    given = Tensor(tensor.name, tensor.shape, parameters.dtype, shape_signature=tensor.shape_signature)
    given.quantization = Quantization(parameters.scale, parameters.zero_point)
    tensor.name = f"{tensor.name}_float32"
    graph.inputs = [given if t is tensor else t for t in graph.inputs]
    signature.inputs[name] = given
    graph.insert(0, Op("DEQUANTIZE", [given], [tensor], {}, "DequantizeOptions"))


def _integer_output(graph: Graph, signature: Signature, name: str, parameters: QdqParameters) -> None:
    tensor = signature.outputs[name]
    given = Tensor(tensor.name, tensor.shape, parameters.dtype, shape_signature=tensor.shape_signature)
    given.quantization = Quantization(parameters.scale, parameters.zero_point)
    tensor.name = f"{tensor.name}_float32"
    graph.append(Op("QUANTIZE", [tensor], [given], {}, "QuantizeOptions"))
    graph.outputs = [given if t is tensor else t for t in graph.outputs]
    signature.outputs[name] = given


def _drop_decompositions(model: Model) -> None:
    """Subgraphs that only markers called go; the others get their new numbers."""
    reachable = _reachable(model)
    places = {old: new for new, old in enumerate(sorted(reachable))}
    for index in reachable:
        for op in model.graphs[index].ops:
            for key, value in _calls(op):
                op.options[key] = places[int(value)]
    for signature in model.signatures:
        signature.graph_index = places[signature.graph_index]
    model.graphs = [model.graphs[i] for i in sorted(reachable)]


def _reachable(model: Model) -> set[int]:
    found = {0, *(s.graph_index for s in model.signatures)}
    todo = list(found)
    while todo:
        for op in model.graphs[todo.pop()].ops:
            for _, value in _calls(op):
                if int(value) not in found and 0 <= int(value) < len(model.graphs):
                    found.add(int(value))
                    todo.append(int(value))
    return found


def _calls(op: Op) -> list[tuple[str, Any]]:
    return [(k, v) for k, v in op.options.items() if k.lower().endswith(("subgraphindex", "subgraph"))]
