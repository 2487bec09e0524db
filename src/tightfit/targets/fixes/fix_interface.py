"""Integer inputs and outputs instead of float ones: QUANTIZE and DEQUANTIZE at the ends disappear."""

from __future__ import annotations

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.targets.limits.quantization_limits import equal_quantization

_INTEGERS = ("int8", "uint8", "int16")


def integer_interface(model: Model) -> list[str]:
    """Makes inputs and outputs integers in place and gives the names of those that changed.

    Condition: a float input is read by QUANTIZEs alone, which agree; a float output comes from a DEQUANTIZE.
    """
    changed = []
    for number, graph in enumerate(model.graphs):
        swaps = {**_inputs(graph), **_outputs(graph)}
        for signature in model.signatures:
            if signature.graph_index == number:
                signature.inputs = {n: swaps.get(t, t) for n, t in signature.inputs.items()}
                signature.outputs = {n: swaps.get(t, t) for n, t in signature.outputs.items()}
        changed += [t.name for t in swaps]
    return changed


def _inputs(graph: Graph) -> dict[Tensor, Tensor]:
    swaps = {}
    for position, tensor in enumerate(graph.inputs):
        readers = [op for op, _ in tensor.consumers]
        if not readers or tensor in graph.outputs or not all(_starts(op) for op in readers):
            continue
        kept = readers[0].outputs[0]
        if any(not _agree(op.outputs[0], kept) for op in readers):
            continue
        for op in readers:
            made = op.outputs[0]
            graph.remove(op)
            if made is not kept:
                graph.replace_uses(made, kept)
        kept.shape_signature = tensor.shape_signature
        graph.inputs[position] = swaps[tensor] = kept
    return swaps


def _starts(op: Op) -> bool:
    return (
        op.kind == "QUANTIZE"
        and op.inputs[0] is not None
        and op.inputs[0].dtype == "float32"
        and _integer(op.outputs[0])
    )


def _integer(tensor: Tensor) -> bool:
    return tensor.dtype in _INTEGERS and tensor.is_quantized


def _agree(a: Tensor, b: Tensor) -> bool:
    if a.quantization is None or b.quantization is None or a.dtype != b.dtype:
        return False
    return equal_quantization(a, b)


def _outputs(graph: Graph) -> dict[Tensor, Tensor]:
    swaps = {}
    for position, tensor in enumerate(graph.outputs):
        op = tensor.producer
        if op is None or op.kind != "DEQUANTIZE" or tensor.consumers or op.inputs[0] is None:
            continue
        if not _integer(op.inputs[0]) or op.inputs[0].is_constant:
            continue
        graph.outputs[position] = swaps[tensor] = op.inputs[0]
        graph.remove(op)
    return swaps
