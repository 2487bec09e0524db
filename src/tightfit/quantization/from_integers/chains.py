"""QUANTIZE and DEQUANTIZE are no computation: they say in which form a reader takes a value.

``collapse`` takes them out of a graph and notes for each reader which roundings its value went through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tightfit.graph.ir import Graph, Op, Tensor
from tightfit.quantization.from_integers.held import stands_for_reals
from tightfit.quantization.plan import Storage

Reader = tuple[Op, int]
CONVERSIONS: Final = frozenset({"QUANTIZE", "DEQUANTIZE"})


@dataclass
class Chains:
    """Which roundings stood between a value and who takes it.

    Args:
        reads: (op, input position) → storages that the value was rounded to, in order.
        gives: output of the graph → the same.
        unpacked: (op, input position) of constants that a DEQUANTIZE unpacked.
    """

    reads: dict[Reader, list[Storage]] = field(default_factory=dict)
    gives: dict[Tensor, list[Storage]] = field(default_factory=dict)
    unpacked: set[Reader] = field(default_factory=set)


def collapse(graph: Graph, storages: Mapping[Tensor, Storage]) -> Chains:
    """Take every QUANTIZE and DEQUANTIZE out of a graph, in place; names of inputs and outputs stay.

    Args:
        graph: with its types as in the file.
        storages: quantized tensor → how it is stored.

    Returns:
        The roundings that each reader and output saw.
    """
    chains = Chains()
    # Chosen beforehand: once the first of a chain is out, the next one reads reals.
    for op in [op for op in graph.ops if op.kind in CONVERSIONS and _converts(op)]:
        _take_out(graph, op, storages, chains)
    return chains


def _converts(op: Op) -> bool:
    source, result = op.inputs[0], op.outputs[0]
    return source is not None and (stands_for_reals(source) or stands_for_reals(result))


def _take_out(graph: Graph, op: Op, storages: Mapping[Tensor, Storage], chains: Chains) -> None:
    source, result = op.operand(0), op.outputs[0]
    unpacked = (op, 0) in chains.unpacked or (source.is_constant and op.kind == "DEQUANTIZE")
    seen = chains.reads.pop((op, 0), [])
    if op.kind == "QUANTIZE":
        seen = [*seen, storages[result]]
    chains.unpacked.discard((op, 0))
    readers = list(result.consumers)
    graph.remove(op)
    for reader in readers:
        chains.reads[reader] = seen
        if unpacked:
            chains.unpacked.add(reader)
        graph.set_input(*reader, source)
    if result in graph.outputs:
        _name_output(graph, source, result, seen, chains)


def _name_output(graph: Graph, source: Tensor, result: Tensor, seen: list[Storage], chains: Chains) -> None:
    """An output keeps its tensor: the op before the conversion writes it, else a RESHAPE to its shape."""
    producer = source.producer
    if producer is None or source in graph.outputs:
        shape = np.asarray(result.shape, np.int32)
        same = Tensor(f"{result.name}/shape", shape.shape, "int32", shape)
        reshape = graph.append(Op("RESHAPE", [source, same], [result], {}, "ReshapeOptions"))
        chains.reads[reshape, 0] = seen
        return
    graph.set_output(producer, producer.outputs.index(source), result)
    graph.replace_uses(source, result)
    chains.gives[result] = seen
