"""The tail of an output: the ops behind the last layers, which cost next to nothing and may stay float.

One integer tensor has one scale. Where an output joins boxes in pixels with probabilities, the scale of the
boxes rounds the probabilities to nothing. In float behind the layers each part keeps the scale of its own
layer, and nothing is rounded once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.ops.elementwise_ops import BINARY, UNARY
from tightfit.graph.signatures import tap
from tightfit.quantization.modes import Override

COMPARISONS: Final = frozenset(["EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL"])
"""An operand that is rounded across the threshold chooses another value."""

_TRUTHS: Final = frozenset(["CAST", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR"])
"""What combines comparisons, and makes numbers of them."""

_TAIL: Final = (
    UNARY
    | BINARY
    | COMPARISONS
    | _TRUTHS
    | frozenset(
        [
            "BROADCAST_TO",
            "CLIP",
            "CONCATENATION",
            "CUMSUM",
            "EXPAND_DIMS",
            "GATHER",
            "L2_NORMALIZATION",
            "LOG_SOFTMAX",
            "MEAN",
            "PACK",
            "PAD",
            "PADV2",
            "REDUCE_MAX",
            "REDUCE_MIN",
            "RESHAPE",
            "REVERSE_V2",
            "SELECT",
            "SELECT_V2",
            "SLICE",
            "SOFTMAX",
            "SPLIT",
            "SPLIT_V",
            "SQUEEZE",
            "STRIDED_SLICE",
            "SUM",
            "TILE",
            "TRANSPOSE",
            "UNPACK",
        ]
    )
)
REASON: Final = "one integer scale cannot hold the parts of its output, which have different units"
_MOST_OPS: Final = 400
_FOLLOWED: Final = ("float32", "bool")


@dataclass(frozen=True)
class Tail:
    """The ops between the last layers and the outputs.

    Args:
        ops: in graph order.
        heads: what they read of the layers before, each once.
    """

    ops: tuple[Op, ...]
    heads: tuple[Tensor, ...]


def find_tail(graph: Graph, outputs: Iterable[Tensor]) -> Tail:
    """Return the tail of some outputs; the outputs themselves are heads where a layer writes them."""
    found: dict[Op, None] = {}
    heads: dict[Tensor, None] = {}
    todo = list(outputs)
    while todo:
        tensor = todo.pop()
        op = tensor.producer
        if op is None or op.kind not in _TAIL or len(found) >= _MOST_OPS:
            if op is not None and tensor.dtype == "float32":
                heads[tensor] = None
            continue
        if op in found:
            continue
        found[op] = None
        todo += [t for t in op.inputs if t is not None and not t.is_constant and t.dtype in _FOLLOWED]
    order = {op: i for i, op in enumerate(graph.ops)}
    return Tail(tuple(sorted(found, key=order.__getitem__)), tuple(heads))


def overrides_of(ops: Iterable[Op], scheme: str, reason: str = REASON) -> tuple[Override, ...]:
    """Return overrides that give each op another scheme, by its name."""
    return tuple(Override(literal(op.name), scheme, reason) for op in ops)


def literal(name: str) -> str:
    """Return a pattern that matches a name only, whatever signs it has.

    Example:
        >>> literal("a[0]")
        'a[[]0]'
    """
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def move_to_end(graph: Graph, tail: Tail) -> None:
    """Put the ops of a tail behind all others, so that a compiler with one partition gets all of these.

    An op that something else than the tail reads stays, with all that it needs.
    """
    last: set[Op] = set()
    for op in reversed(graph.ops):
        readers = {reader for t in op.outputs for reader, _ in t.consumers}
        if op in tail.ops and readers <= last:
            last.add(op)
    graph.ops = [op for op in graph.ops if op not in last] + [op for op in graph.ops if op in last]


def ending_at(model: Model, keys: Sequence[str]) -> Model:
    """Return a copy that gives the tensors of these keys, in order, and nothing else."""
    twin = copy_model(model)
    mine = {key: t for t, key in twin.main.keys().items()}
    # LiteRT gives a signature's outputs in the order of their names.
    tap(twin, {f"end{i:06}": mine[key] for i, key in enumerate(keys)})
    return twin
