"""Small real models, and observers that a child process can import."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Quantization, Signature, Tensor
from tightfit.graph.writer import serialize

OFFSET = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)


def adder(*, signature: bool = True) -> bytes:
    """``sum = left + right + OFFSET`` on float32[1, 4]; ``half`` is the sum before the offset."""
    graph = Graph()
    left, right = Tensor("l", (1, 4)), Tensor("r", (1, 4))
    half, total = Tensor("h", (1, 4)), Tensor("s", (1, 4))
    graph.inputs = [left, right]
    graph.append(Op("ADD", [left, right], [half], {}, "AddOptions"))
    graph.append(Op("ADD", [half, Tensor("offset", (1, 4), "float32", OFFSET)], [total], {}, "AddOptions"))
    graph.outputs = [half, total]
    named = Signature("serving_default", {"left": left, "right": right}, {"half": half, "sum": total})
    return serialize(Model([graph], [named] if signature else []))


def twins() -> bytes:
    """Two inputs and two outputs without signature, both pairs with one name for two tensors."""
    graph = Graph()
    graph.inputs = [Tensor("x", (1, 2)), Tensor("x", (1, 2))]
    for source, kind in zip(graph.inputs, ("NEG", "ABS"), strict=True):
        graph.outputs.append(Tensor("y", (1, 2)))
        graph.append(Op(kind, [source], [graph.outputs[-1]]))
    return serialize(Model([graph]))


def negation(shape: Sequence[int] = (1, 4)) -> bytes:
    """``y = -x`` on float32."""
    graph = Graph()
    graph.inputs, graph.outputs = [Tensor("x", shape)], [Tensor("y", shape)]
    graph.append(Op("NEG", graph.inputs, graph.outputs))
    return serialize(Model([graph]))


def two_signatures() -> bytes:
    """``negate`` runs the main graph, ``magnitude`` another one."""
    graphs, signatures = [], []
    for name, kind in (("negate", "NEG"), ("magnitude", "ABS")):
        graph = Graph(name)
        graph.inputs, graph.outputs = [Tensor(f"{name}_x", (1, 2))], [Tensor(f"{name}_y", (1, 2))]
        graph.append(Op(kind, graph.inputs, graph.outputs))
        ends = {"x": graph.inputs[0]}, {"y": graph.outputs[0]}
        signatures.append(Signature(name, *ends, graph_index=len(graphs)))
        graphs.append(graph)
    return serialize(Model(graphs, signatures))


def remainder_chain(before: int, after: int) -> bytes:
    """int32 additions of 0, then ``remainder = x mod y``, then more: the least integer mod -1 kills x86."""
    graph = Graph()
    x, y = Tensor("x", (1, 2), "int32"), Tensor("y", (1, 2), "int32")
    graph.inputs = [x, y]
    zero = Tensor("zero", (1, 2), "int32", np.zeros((1, 2), np.int32))

    def add(count: int, prefix: str, value: Tensor) -> Tensor:
        for i in range(count):
            following = Tensor(f"{prefix}{i}", (1, 2), "int32")
            graph.append(Op("ADD", [value, zero], [following], {}, "AddOptions"))
            value = following
        return value

    remainder = Tensor("remainder", (1, 2), "int32")
    graph.append(Op("FLOOR_MOD", [add(before, "before", x), y], [remainder]))
    graph.outputs = [add(after, "after", remainder)]
    return serialize(Model([graph]))


def scale_of_zero() -> bytes:
    """An int8 addition whose output has the scale 0, on which LiteRT aborts while it loads."""
    graph = Graph()
    one = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    zero = Quantization(np.zeros(1, np.float32), np.zeros(1, np.int64))
    graph.inputs = [Tensor(name, (1, 8), "int8", quantization=one) for name in ("a", "b")]
    doubled = Tensor("fine", (1, 8), "int8", quantization=one)
    graph.outputs = [Tensor("deadly", (1, 8), "int8", quantization=zero)]
    graph.append(Op("ADD", graph.inputs, [doubled], {}, "AddOptions"))
    graph.append(Op("ADD", [doubled, graph.inputs[0]], graph.outputs, {}, "AddOptions"))
    return serialize(Model([graph]))


def endless_loop() -> bytes:
    """A WHILE that runs as long as x is less than 1e30, and adds nothing to it."""
    graphs = [Graph(name) for name in ("main", "condition", "body")]
    for graph in graphs:
        graph.inputs = [Tensor("x", (1,))]
    limit, nothing = np.array([1e30], np.float32), np.zeros(1, np.float32)
    steps = (
        ("WHILE", [], "float32", {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}, "WhileOptions"),
        ("LESS", [Tensor("limit", (1,), "float32", limit)], "bool", {}, "LessOptions"),
        ("ADD", [Tensor("nothing", (1,), "float32", nothing)], "float32", {}, "AddOptions"),
    )
    for graph, (kind, others, dtype, options, options_type) in zip(graphs, steps, strict=True):
        graph.outputs = [Tensor("y", (1,), dtype)]
        graph.append(Op(kind, [*graph.inputs, *others], graph.outputs, options, options_type))
    return serialize(Model(graphs))


def dense(inputs: int, outputs: int, layers: int = 1, *, rounded: bool = False) -> bytes:
    """FULLY_CONNECTED layers on float32[1, inputs]; with a SIGN behind that XNNPACK does not take."""
    graph = Graph()
    value = Tensor("x", (1, inputs))
    graph.inputs = [value]
    generator = np.random.default_rng(0)
    for i in range(layers):
        weights = generator.normal(0.0, 0.1, (outputs, value.shape[1])).astype(np.float32)
        following = Tensor(f"dense{i}", (1, outputs))
        constant = Tensor(f"weights{i}", weights.shape, "float32", weights)
        graph.append(Op("FULLY_CONNECTED", [value, constant, None], [following], {}, "FullyConnectedOptions"))
        value = following
    if rounded:
        graph.append(Op("SIGN", [value], [Tensor("sign", value.shape)]))
        value = graph.ops[-1].outputs[0]
    graph.outputs = [value]
    return serialize(Model([graph]))


class Totals:
    """Keeps the sum of each array that it sees."""

    def __init__(self) -> None:
        self.sums: list[float] = []

    def update(self, array: np.ndarray) -> None:
        self.sums.append(float(array.sum()))


class Hoarder:
    """Keeps what it sees without a copy, which an observer must not."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def update(self, array: np.ndarray) -> None:
        self.seen.append(array)


class Refuser:
    """Raises at the first array."""

    def update(self, array: np.ndarray) -> None:
        raise ValueError(f"no array of shape {array.shape} today")
