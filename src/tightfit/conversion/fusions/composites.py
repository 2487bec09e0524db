"""Composites that carry the name of an op of ``.tflite`` become that op; see ``stablehlo.composite_ops``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tightfit.errors import ModelError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops import sequence_lstm
from tightfit.graph.ops.sequence_lstm import Gates, layer_ops
from tightfit.graph.passes.edits import constant, each_op
from tightfit.graph.passes.unused_graphs import remove_unused_graphs

PREFIX: Final = "tightfit."
Numbers = Mapping[str, int]
Build = Callable[[list[Tensor], Tensor, Numbers], list[Op]]
"""Of the composite's inputs, its result and its numbers: the ops, the last of which writes the result."""


def write_composites(model: Model) -> list[str]:
    """Replace each composite that names an op by the op, and drop the graphs that described them.

    Condition: the name starts with "tightfit." and the table below has the op.
    """
    each_op(model, _replace, "{}")
    remove_unused_graphs(model)
    return []


def _replace(graph: Graph, op: Op, kept: set[Tensor]) -> bool:
    del kept
    if op.kind != "STABLEHLO_COMPOSITE":
        return False
    kind, numbers = parse_name(op.options.get("name", b""))
    if kind not in _OPS:
        return False
    inputs, result = [t for t in op.inputs if t is not None], op.outputs[0]
    for made in _OPS[kind](inputs, Tensor(result.name, result.shape), numbers):
        graph.insert_before(op, made)
    graph.remove(op)
    graph.set_output(made, 0, result)
    return True


def parse_name(name: bytes | str) -> tuple[str, dict[str, int]]:
    """Return the op and the numbers that a composite's name holds.

    Example:
        >>> parse_name(b"tightfit.RESIZE_BILINEAR.corners_0.half_1")
        ('RESIZE_BILINEAR', {'corners': 0, 'half': 1})
    """
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    if not text.startswith(PREFIX):
        return "", {}
    kind, *words = text.removeprefix(PREFIX).split(".")
    return kind, {key: int(value) for key, value in (word.rsplit("_", 1) for word in words)}


def _resize(kind: str, table: str) -> Build:
    def build(inputs: list[Tensor], result: Tensor, numbers: Numbers) -> list[Op]:
        options = {"alignCorners": bool(numbers["corners"]), "halfPixelCenters": bool(numbers["half"])}
        size = constant(f"{result.name}/size", result.shape[1:3])
        return [Op(kind, [inputs[0], size], [result], options, table)]

    return build


def _scatter(inputs: list[Tensor], result: Tensor, numbers: Numbers) -> list[Op]:
    del numbers
    shape = constant(f"{result.name}/shape", result.shape)
    return [Op("SCATTER_ND", [*inputs, shape], [result], {}, "ScatterNdOptions")]


def _sequence_lstm(inputs: list[Tensor], result: Tensor, numbers: Numbers) -> list[Op]:
    """Inputs: values, then weights, recurrent weights, biases, each of the four gates below one another."""
    del numbers
    x, *matrices = inputs
    if any(m.data is None for m in matrices):
        raise ModelError(
            f"The weights of the LSTM '{result.name}' are computed at run time; the fused op takes "
            "constants: convert with --recurrent unrolled."
        )
    return layer_ops(x, Gates.of_rows(*(m.values for m in matrices)), result)


_OPS: Final[dict[str, Build]] = {
    "RESIZE_BILINEAR": _resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "SCATTER_ND": _scatter,
    sequence_lstm.KIND: _sequence_lstm,
}
