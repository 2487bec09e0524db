"""Ops that vela takes although each for itself would fall back.

A dilated convolution that a converter wrote as SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND is put
together again before vela asks what is supported. What only computes the shape for a RESHAPE on the NPU is
left out, as the output's own shape is known, and so are the handles of variables that the NPU keeps. Source:
RewriteSpaceToBatchConvBatchToSpace in vela's ``regor/compiler/tflite_graph_optimiser.cpp``; the others were
seen in compiled files.
"""

from __future__ import annotations

from collections.abc import Callable

from tightfit.graph.ir import Graph, Op, Tensor


def dilated_patterns(graph: Graph, supported: Callable[[Op], bool]) -> list[Op]:
    """Return the ops of every dilated convolution whose one-op form is supported."""
    found: list[Op] = []
    for op in graph.ops:
        before, after = _single(op.inputs[:1], "SPACE_TO_BATCH_ND"), _reader(op, "BATCH_TO_SPACE_ND")
        if op.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D") or before is None or after is None:
            continue
        if supported(_merged(op, before, after)):
            found += [before, op, after]
    return found


def _single(tensors: list[Tensor | None], kind: str) -> Op | None:
    """The producer of the one tensor, if it is of that kind and nothing else reads the tensor."""
    tensor = tensors[0] if tensors else None
    if tensor is None or tensor.producer is None or len(tensor.consumers) != 1:
        return None
    return tensor.producer if tensor.producer.kind == kind else None


def _reader(op: Op, kind: str) -> Op | None:
    readers = op.outputs[0].consumers if op.outputs else []
    return readers[0][0] if len(readers) == 1 and readers[0][0].kind == kind else None


def _merged(op: Op, before: Op, after: Op) -> Op:
    """The convolution with dilation, in no graph: it only answers questions."""
    block = before.input(1)
    sizes = [int(v) for v in block.data.reshape(-1)] if block is not None and block.data is not None else [1]
    options = op.options | {"dilationHFactor": sizes[0], "dilationWFactor": sizes[-1]}
    return Op(op.kind, [before.inputs[0], *op.inputs[1:]], after.outputs, options, op.options_type)


def variable_handles(graph: Graph, accelerated: Callable[[Op], bool]) -> list[Op]:
    """Return the VAR_HANDLEs of variables that the NPU alone reads and writes, in memory of its own."""
    handles = [op for op in graph.ops if op.kind == "VAR_HANDLE"]
    return [op for op in handles if all(accelerated(r) for t in op.outputs for r, _ in t.consumers)]


def needless_ops(graph: Graph, accelerated: Callable[[Op], bool]) -> list[Op]:
    """Return the ops whose results are only the shapes of RESHAPEs on the NPU."""
    needless: set[int] = set()
    kept = set(graph.outputs)
    for op in reversed(graph.ops):
        readers = [reader for t in op.outputs for reader in t.consumers]
        are_shapes = all(id(r) in needless or _is_shape(r, p, accelerated) for r, p in readers)
        if readers and are_shapes and not kept & set(op.outputs):
            needless.add(id(op))
    return [op for op in graph.ops if id(op) in needless]


def _is_shape(reader: Op, position: int, accelerated: Callable[[Op], bool]) -> bool:
    return reader.kind == "RESHAPE" and position == 1 and accelerated(reader)
