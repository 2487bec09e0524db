"""One op for a run of elementwise ops that compute it: GELU, HARD_SWISH and the like, however written out.

A region with one input, one output and otherwise only scalar constants is a function of one number. It is
computed in float64 on a dense grid and compared with every function of the table; the first that agrees to
float32 precision everywhere takes its place. So no pattern of any converter is spelled out: 35
multiplications of a polynomial, ``x · relu6(x + 3) / 6`` and ``0.5 x (1 + tanh …)`` are found alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.passes.constant_folding import count_kinds, kept_tensors
from tightfit.types import Array
from tightfit.units import format_count

TOLERANCE: Final = 2.0**-20
"""Of max(1, |x|): four units in the last place of float32, what a written-out erf of float32 keeps to."""

_LARGEST_REGION: Final = 128
_FEW: Final = np.array([-20.0, -4.0, -2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.0, 2.9, 3.5, 5.0, 6.5, 30.0])
_TAIL: Final = np.logspace(-6, 4, 500)
_GRID: Final = np.concatenate([np.linspace(-12, 12, 4001), _TAIL, -_TAIL])

# -- what elementwise ops compute ------------------------------------------------------------------


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


_ACTIVATIONS: Final[dict[int, Callable[[Array], Array]]] = {
    1: lambda x: np.maximum(x, 0), 2: lambda x: np.clip(x, -1, 1), 3: lambda x: np.clip(x, 0, 6), 4: np.tanh,
}  # fmt: skip

_COMPUTED: Final[dict[str, Callable[..., Any]]] = {
    "ABS": np.abs, "ADD": np.add, "DIV": np.divide, "EXP": np.exp, "LOGISTIC": _sigmoid, "LOG": np.log,
    "MAXIMUM": np.maximum, "MINIMUM": np.minimum, "MUL": np.multiply, "NEG": np.negative, "POW": np.power,
    "RELU": _ACTIVATIONS[1], "RELU_N1_TO_1": _ACTIVATIONS[2], "RELU6": _ACTIVATIONS[3],
    "RELU_0_TO_1": lambda x: np.clip(x, 0, 1), "RSQRT": lambda x: 1 / np.sqrt(x), "SIGN": np.sign,
    "SQRT": np.sqrt, "SQUARE": np.square, "SQUARED_DIFFERENCE": lambda a, b: np.square(a - b),
    "SUB": np.subtract, "TANH": np.tanh, "LESS": np.less, "LESS_EQUAL": np.less_equal,
    "GREATER": np.greater, "GREATER_EQUAL": np.greater_equal, "EQUAL": np.equal, "SELECT": np.where,
    "SELECT_V2": np.where, "LOGICAL_AND": np.logical_and, "LOGICAL_OR": np.logical_or,
    "LOGICAL_NOT": np.logical_not,
}  # fmt: skip

# -- what a region may turn out to be --------------------------------------------------------------


class Known(NamedTuple):
    """An op of one number: its function, options and options table."""

    kind: str
    function: Callable[[Array], Array]
    options: dict[str, Any]
    table: str | None


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


KNOWN: Final = (
    Known("GELU", lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))), {"approximate": False}, "GeluOptions"),
    Known("GELU", _gelu_tanh, {"approximate": True}, "GeluOptions"),
    Known("HARD_SWISH", lambda x: x * np.clip(x + 3, 0, 6) / 6, {}, "HardSwishOptions"),
    Known("LOGISTIC", _sigmoid, {}, None),
    Known("TANH", np.tanh, {}, None),
    Known("ELU", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), {}, None),
    Known("RELU", _ACTIVATIONS[1], {}, None),
    Known("RELU6", _ACTIVATIONS[3], {}, None),
    Known("RELU_0_TO_1", _COMPUTED["RELU_0_TO_1"], {}, None),
)


def fuse_scalar_functions(model: Model) -> list[str]:
    """Puts one op in the place of each region that computes a function of the table.

    Condition: the region has two ops or more, all its tensors have one shape, no other op and no caller reads
    what is inside, and the functions agree within ``TOLERANCE`` on 5,001 points from -10,000 to 10,000.
    """
    done: Counter[str] = Counter()
    for graph in model.graphs:
        kept = kept_tensors(model, graph)
        places = {id(op): i for i, op in enumerate(graph.ops)}  # removing ops keeps their order
        for op in reversed(list(graph.ops)):
            if op.graph is graph and (found := _recognized(op, kept, places)):
                known, source, region = found
                _replace(graph, op, known, source, region)
                done[known.kind] += 1
    if not done:
        return []
    return [f"Fused elementwise ops into {format_count(done.total(), 'op')}: {count_kinds(done)}."]


def _recognized(last: Op, kept: set[Tensor], places: dict[int, int]) -> tuple[Known, Tensor, list[Op]] | None:
    """The function that ends in this op, its input and its ops; the largest region that is one."""
    if last.kind not in _COMPUTED or last.outputs[0].dtype != "float32":
        return None
    for source, region in reversed(_regions(last, places)):
        if len(region) > 1 and _is_closed(region, last, kept):
            known = _matching(source, region, last)
            if known is not None:
                return known, source, region
    return None


def _regions(last: Op, places: dict[int, int]) -> list[tuple[Tensor, list[Op]]]:
    """Every way back from an op to one tensor that it depends on, the nearest first."""
    shape = last.outputs[0].shape
    frontier, region = [last.outputs[0]], list[Op]()
    found = []
    while len(region) < _LARGEST_REGION:
        # What is written last depends on nothing else of the frontier, so it is taken apart first.
        newest = max(frontier, key=lambda t: places.get(id(t.producer), -1))
        operands = None if newest.producer is None else _operands(newest.producer, shape)
        if newest.producer is None or operands is None:
            break
        region.append(newest.producer)
        frontier = [t for t in frontier if t is not newest]
        frontier += [t for t in dict.fromkeys(operands) if t not in frontier]
        if not frontier:
            break
        if len(frontier) == 1 and frontier[0].dtype == "float32":
            found.append((frontier[0], region[::-1]))
    return found


def _operands(op: Op, shape: tuple[int, ...]) -> list[Tensor] | None:
    """The tensors that an elementwise op of this shape computes with; None for any other op."""
    if op.kind not in _COMPUTED or len(op.outputs) != 1 or op.outputs[0].shape != shape:
        return None
    if op.options.get("fusedActivationFunction", 0) not in (0, *_ACTIVATIONS):
        return None
    operands = []
    for tensor in op.inputs:
        if tensor is None or (tensor.is_constant and tensor.size != 1):
            return None
        if not tensor.is_constant:
            if tensor.shape != shape or tensor.is_variable or tensor.is_quantized:
                return None
            operands.append(tensor)
    return operands


def _is_closed(region: list[Op], last: Op, kept: set[Tensor]) -> bool:
    """True when nothing outside reads what the region computes on its way."""
    inside = {id(op) for op in region}
    return all(
        op is last or (op.outputs[0] not in kept and all(id(r) in inside for r, _ in op.outputs[0].consumers))
        for op in region
    )


def _matching(source: Tensor, region: list[Op], last: Op) -> Known | None:
    """The function of the table that the region computes everywhere on the grid."""
    with np.errstate(all="ignore"):
        few = _computed(source, region, last, _FEW)
        close = [k for k in KNOWN if _agree(few, k.function(_FEW), _FEW)]
        if not close:
            return None
        values = _computed(source, region, last, _GRID)
        return next((k for k in close if _agree(values, k.function(_GRID), _GRID)), None)


def _computed(source: Tensor, region: list[Op], last: Op, points: Array) -> Array:
    values: dict[Tensor, Array] = {source: points}
    for op in region:
        arrays = []
        for tensor in map(op.operand, range(len(op.inputs))):
            known = tensor.data is not None
            arrays.append(np.asarray(tensor.data, np.float64).reshape(()) if known else values[tensor])
        if op.kind in ("SELECT", "SELECT_V2"):
            arrays[0] = arrays[0].astype(bool)
        result = _COMPUTED[op.kind](*arrays)
        fused = op.options.get("fusedActivationFunction", 0)
        values[op.outputs[0]] = _ACTIVATIONS[fused](result) if fused else result
    return np.broadcast_to(values[last.outputs[0]], points.shape)


def _agree(values: Array, wanted: Array, points: Array) -> bool:
    return bool((np.abs(values - wanted) <= TOLERANCE * np.maximum(1, np.abs(points))).all())


def _replace(graph: Graph, last: Op, known: Known, source: Tensor, region: list[Op]) -> None:
    result, position = last.outputs[0], graph.ops.index(last)
    fused = Op(known.kind, [source], [result], dict(known.options), known.table)
    for op in reversed(region):
        graph.remove(op)
    graph.insert(position - len(region) + 1, fused)
