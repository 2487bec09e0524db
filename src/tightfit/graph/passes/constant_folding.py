"""Constant folding: replace ops with constant inputs by their results.

The decision is here, the arithmetic in ``constant_ops`` and ``constant_movements``. An op is not folded when
its result is an output of the graph (its name must be kept), when a type, option or value is not supported,
or when the result would be more than 1 MB larger than the inputs.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from tightfit.graph.format.storage import ITEM_TYPES
from tightfit.graph.ir import Graph, Model, Op, Quantization, Tensor
from tightfit.graph.passes.constant_movements import MOVES
from tightfit.graph.passes.constant_ops import ARITHMETIC, ConstantOp, NotComputableError
from tightfit.types import Array
from tightfit.units import format_count

CONSTANT_OPS: Final[dict[str, ConstantOp]] = ARITHMETIC | MOVES

_REFUSALS: Final = (NotComputableError, ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError)


def fold_constants(model: Model, *, dequantize: bool = False) -> list[str]:
    """Compute ops whose inputs are all constant, and SHAPE and RANK of tensors of static shape.

    Condition: every input is a dense constant; no output belongs to the graph's or a signature's outputs;
    quantized constants are only moved. A dynamic batch remains dynamic: SHAPE is folded only when no
    dimension is −1.

    Args:
        model: the model; it is changed in place.
        dequantize: fold DEQUANTIZE too. Folding an int8 weight behind DEQUANTIZE makes it four times as
            large, so this is off by default.

    Returns:
        A sentence with the number of ops; empty when no op was folded.
    """
    folded: Counter[str] = Counter()
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        for op in list(graph.ops):
            if op.outputs and kept.isdisjoint(op.outputs) and fold_op(graph, op, dequantize=dequantize):
                folded[op.kind] += 1
    if not folded:
        return []
    return [f"Computed {format_count(folded.total(), 'op')} on constants beforehand: {count_kinds(folded)}."]


def fold_op(graph: Graph, op: Op, *, dequantize: bool = False) -> bool:
    """Replace the outputs of one op by constants; return False, without a change, when that is impossible.

    Args:
        graph: the graph of the op.
        op: the op.
        dequantize: fold DEQUANTIZE too.
    """
    values = _evaluate(graph, op, dequantize)
    if values is None or not _fit(op, values):
        return False
    graph.remove(op)
    for tensor, value in zip(op.outputs, values, strict=True):
        tensor.data = np.asarray(value, order="C")
        tensor.shape, tensor.shape_signature = value.shape, None
        tensor.has_rank = True
    return True


def kept_tensors(model: Model, graph: Graph) -> set[Tensor]:
    """Return the tensors that callers name: inputs and outputs of the graph and of its signatures."""
    kept = {*graph.inputs, *graph.outputs}
    for signature in model.signatures:
        if model.graphs[signature.graph_index] is graph:
            kept.update(signature.inputs.values(), signature.outputs.values())
    return kept


def count_kinds(counts: Counter[str]) -> str:
    """Return op kinds with their number, the most frequent first.

    Example:
        >>> count_kinds(Counter({"RESHAPE": 2, "SHAPE": 1}))
        'RESHAPE ×2, SHAPE'
    """
    return ", ".join(f"{kind} ×{n}" if n > 1 else kind for kind, n in counts.most_common())


def _evaluate(graph: Graph, op: Op, dequantize: bool) -> list[Array] | None:
    if op.kind in ("SHAPE", "RANK"):
        return _describe(graph, op)
    if op.kind == "DEQUANTIZE":
        return dequantized(op) if dequantize else None
    row = CONSTANT_OPS.get(op.kind)
    arrays = _arrays(op)
    if row is None or arrays is None or not (_computes(op, row) if row.dtypes else _moves(op)):
        return None
    try:
        with np.errstate(all="ignore"):
            result = row.kernel(op, arrays)
    except _REFUSALS:
        return None
    return [np.asarray(r) for r in (result if isinstance(result, list) else [result])]


def _arrays(op: Op) -> list[Array] | None:
    arrays = []
    for tensor in op.inputs:
        if tensor is None or not is_plain_constant(tensor):
            return None
        arrays.append(tensor.data)
    return [a for a in arrays if a is not None] or None


def is_plain_constant(tensor: Tensor) -> bool:
    """Return True for a dense constant of numbers that is not a variable."""
    fixed = tensor.is_constant and not tensor.is_variable and tensor.sparsity is None
    return fixed and tensor.dtype in ITEM_TYPES


def _computes(op: Op, row: ConstantOp) -> bool:
    """Whether inputs and outputs are unquantized numbers of types that the row supports."""
    read = [t for t in op.inputs if t is not None]
    typed = all(t.dtype in (row.dtypes or ()) for t in read)
    return typed and not any(t.is_quantized for t in (*read, *op.outputs))


def _moves(op: Op) -> bool:
    """Whether a data-movement op keeps the quantization; PAD adds zeros, so quantized PAD is excluded."""
    scaled = [t for t in (*op.inputs, *op.outputs) if t is not None and t.is_quantized]
    if not scaled:
        return True
    first = scaled[0].quantization
    alike = all(same_quantization(first, t.quantization) for t in (*scaled, *op.outputs))
    return alike and op.kind not in ("PAD", "FILL") and first is not None and first.scale.size == 1


def same_quantization(a: Quantization | None, b: Quantization | None) -> bool:
    """Return True when integers represent the same reals under both."""
    if a is None or b is None or not (a.is_affine or a.details or b.is_affine or b.details):
        return not any(q is not None and (q.is_affine or q.details) for q in (a, b))
    if a.details is not None or b.details is not None:
        return a is b
    alike = np.array_equal(a.scale, b.scale) and np.array_equal(a.zero_point, b.zero_point)
    return alike and (a.axis == b.axis or a.scale.size == 1)


def _describe(graph: Graph, op: Op) -> list[Array] | None:
    """The value of SHAPE or RANK for a tensor whose shape callers cannot change."""
    tensor = op.input(0)
    if tensor is None or not (tensor.shape or tensor.has_rank or tensor.is_constant):
        return None
    if op.kind == "RANK":
        return [np.asarray(len(tensor.shape), np.int32)]
    dynamic = any(-1 in (t.shape_signature or ()) for t in (tensor, *graph.inputs))
    # A tensor without a shape signature may depend on a dynamic input.
    unknown = dynamic and (tensor.shape_signature is None or -1 in tensor.shape_signature)
    if unknown and not tensor.is_constant:
        return None
    return [np.asarray(tensor.shape, op.outputs[0].dtype)]


def dequantized(op: Op) -> list[Array] | None:
    """Return a constant's values behind DEQUANTIZE: ``scale · (q − zero_point)``; float16 is only widened."""
    tensor, out = op.input(0), op.outputs[0]
    if tensor is None or tensor.data is None or not is_plain_constant(tensor) or out.dtype != "float32":
        return None
    if tensor.dtype in ("float16", "float32"):
        return [tensor.data.astype(np.float32)]
    quantization = tensor.quantization
    if quantization is None or not quantization.is_affine or quantization.details is not None:
        return None
    if tensor.data.dtype.kind not in "iu" or tensor.dtype == "bfloat16" or tensor.dtype.startswith("float8"):
        return None
    scale, zero_point = quantization.scale, quantization.zero_point
    if scale.size > 1:
        if tensor.shape[quantization.axis : quantization.axis + 1] != (scale.size,):
            return None
        channels = [-1 if i == quantization.axis else 1 for i in range(tensor.data.ndim)]
        scale, zero_point = scale.reshape(channels), zero_point.reshape(channels)
    shifted = tensor.data.astype(np.int64) - zero_point.astype(np.int64)
    # The exact product fits into float64, so that it is rounded once, as in the reference kernel; LiteRT's
    # vector code multiplies a zero point other than 0 out, and may differ in the last place then.
    values = (shifted * scale.astype(np.float64)).astype(np.float32)
    return [values.reshape(tensor.shape)]


def _fit(op: Op, values: list[Array]) -> bool:
    """True when the results have the shapes and types of the file; −1 matches any size."""
    if len(values) != len(op.outputs):
        return False
    for tensor, value in zip(op.outputs, values, strict=True):
        declared = tensor.shape_signature if tensor.shape_signature is not None else tensor.shape
        # Kernels store bool as one byte of 0 or 1, as NumPy does.
        typed = value.dtype == np.dtype(ITEM_TYPES.get(tensor.dtype, np.void))
        same_rank = len(declared) == value.ndim
        if not (
            typed and same_rank and all(d in (-1, n) for d, n in zip(declared, value.shape, strict=True))
        ):
            return False
    return not any(t.is_variable for t in op.outputs)
