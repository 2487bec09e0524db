"""Weights with a scale for each block, which no layer of LiteRT takes in this form, become reals."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import helper

from tightfit.conversion.qdq.node_order import MICROSOFT
from tightfit.conversion.qdq.qdq_parameters import Array
from tightfit.conversion.qdq.walker import Form, Walker


def _say(walker: Walker, node: onnx.NodeProto, size: int) -> None:
    walker.result.notes.append(
        f"{node.op_type} '{node.name or node.output[0]}': its weights have a scale for each block of {size}, "
        "which no kernel takes; they are float here, to be quantized anew."
    )


def unblocked(walker: Walker, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
    """Return the name of the reals of a constant that DequantizeLinear takes in blocks.

    Args:
        walker: writes the constant.
        node: the DequantizeLinear.
        attributes: its attributes.

    Raises:
        ModelError: it is no constant.
    """
    values, scale = walker.constant(node.input[0]), walker.constant(node.input[1])
    if values is None or scale is None:
        raise walker.refuse(node, "dequantizes blocks that are computed at run time")
    size = int(attributes["block_size"])
    axis = int(attributes.get("axis", 1)) % values.ndim
    zero = walker.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    zeros = np.zeros_like(scale) if zero is None else zero
    wide = [
        np.take(np.repeat(v, size, axis=axis), range(values.shape[axis]), axis=axis) for v in (scale, zeros)
    ]
    reals = (values.astype(np.float64) - wide[1].astype(np.float64)) * wide[0]
    _say(walker, node, size)
    return walker.store(walker.fresh(node.input[0]), reals.astype(np.float32))


def _matmul_bits(walker: Walker, node: onnx.NodeProto) -> None:
    """MatMulNBits: B is [N, blocks, bytes], the low bits first; without zero points the middle is zero."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bits, size, width = (int(attributes[k]) for k in ("bits", "block_size", "K"))
    count = int(attributes["N"])
    packed, scale = walker.constant(node.input[1]), walker.constant(node.input[2])
    if packed is None or scale is None or (len(node.input) > 4 and node.input[4]):
        raise walker.refuse(node, "has weights that are computed or whose columns are permuted (g_idx)")
    blocks = -(-width // size)
    integers = _unpacked(packed.astype(np.uint8), bits).reshape(count, -1)[:, : blocks * size]
    zeros = np.full((count, blocks), 2.0 ** (bits - 1))
    given = walker.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if given is not None:
        whole = given.dtype.kind == "f" or given.size == count * blocks
        wide = given if whole else _unpacked(given.astype(np.uint8), bits)
        zeros = wide.reshape(count, -1)[:, :blocks].astype(np.float64)
    reals = integers.reshape(count, blocks, size) - zeros[:, :, None]
    reals = (reals * scale.reshape(count, blocks, 1)).reshape(count, -1)[:, :width].T
    weights = walker.store(walker.fresh(node.input[1]), np.ascontiguousarray(reals, np.float32))
    _say(walker, node, size)
    output = node.output[0]
    bias = node.input[5] if len(node.input) > 5 else ""
    raw = walker.fresh(output) if bias else output
    walker.emit("MatMul", [walker.real(node.input[0]), weights], raw, node)
    if bias:
        walker.emit("Add", [raw, walker.real(bias)], output, node)


def _unpacked(packed: Array, bits: int) -> Array:
    """Integers of a few bits, the low ones first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (
        ((packed[..., None] >> shifts) & np.uint8(2**bits - 1))
        .reshape(*packed.shape[:-1], -1)
        .astype(np.float64)
    )


FORMS: Final[dict[tuple[str, str], Form]] = {(MICROSOFT, "MatMulNBits"): _matmul_bits}
