"""Small real models, and observers that a child process can import."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
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


def remainder() -> bytes:
    """``remainder = x mod y`` on int32."""
    graph = Graph()
    graph.inputs = [Tensor(name, (1, 2), "int32") for name in "xy"]
    graph.outputs = [Tensor("remainder", (1, 2), "int32")]
    graph.append(Op("FLOOR_MOD", graph.inputs, graph.outputs))
    return serialize(Model([graph]))


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


class Ender:
    """Ends its own process by a signal, as a fault of the code that runs there would.

    Args:
        number: of the signal. after: arrays that it lets pass.
    """

    def __init__(self, number: int, after: int = 0) -> None:
        self.number, self.left = number, after

    def update(self, array: np.ndarray) -> None:
        del array
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        self.left -= 1


class Sleeper:
    """Takes a minute for each array."""

    def update(self, array: np.ndarray) -> None:
        del array
        time.sleep(60)


class Refuser:
    """Raises at the first array."""

    def update(self, array: np.ndarray) -> None:
        raise ValueError(f"no array of shape {array.shape} today")
