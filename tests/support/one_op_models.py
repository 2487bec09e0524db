"""How a small float model of one op is described, built, fed and merged with others.

``one_op_cases`` lists the descriptions. Merging matters only for speed: LiteRT runs independent ops of one
graph in one process just as it runs each of them alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor


@dataclass(frozen=True)
class Value:
    """A float input of the model, uniform in [low, high]."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class Weights:
    """A float constant, uniform in [low, high]; its channels (along ``axis``) differ in magnitude."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    axis: int | None = None


@dataclass(frozen=True)
class Fixed:
    """A constant that stays as it is: shapes, axes, indices, conditions."""

    values: Any
    dtype: str = "int32"


@dataclass(frozen=True)
class Flags:
    """A bool input of the model."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Typed:
    """An input of the model of any type, uniform in [low, high]."""

    shape: tuple[int, ...]
    dtype: str = "int32"
    low: int = 0
    high: int = 3


@dataclass(frozen=True)
class State:
    """A float variable that the op updates, zero at the start."""

    shape: tuple[int, ...]


Operand = Value | Weights | Fixed | Flags | Typed | State | None


@dataclass(frozen=True)
class Case:
    """An op with its operands.

    Args:
        kind: the builtin operator.
        inputs: operands by input position.
        outputs: shapes of the outputs; an ``(shape, dtype)`` pair where the dtype is not float32.
        table: the name of the options table, None for none.
        options: its fields, named as in the schema's object API.
        note: tells cases of one kind apart.
    """

    kind: str
    inputs: Sequence[Operand]
    outputs: Sequence[Any]
    table: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.note}" if self.note else self.kind


def build(case: Case, seed: int = 0) -> Model:
    """Gives the float model of a case; constants depend on the seed only."""
    rng = np.random.default_rng(seed)
    graph = Graph(case.name)
    inputs = [_operand(graph, spec, f"in{i}", rng) for i, spec in enumerate(case.inputs)]
    outputs = [_output(spec, f"out{i}") for i, spec in enumerate(case.outputs)]
    graph.append(Op(case.kind, inputs, outputs, dict(case.options), case.table))
    graph.outputs = outputs
    signature = Signature(
        "serving_default", {t.name: t for t in graph.inputs}, {t.name: t for t in graph.outputs}
    )
    return Model([graph], [signature])


def draw(case: Case, seed: int = 1) -> dict[str, np.ndarray]:
    """Gives one value for each input of the model, inside the case's ranges and touching both ends."""
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for i, spec in enumerate(case.inputs):
        if isinstance(spec, Value):
            data = rng.uniform(spec.low, spec.high, spec.shape).astype(np.float32)
            if data.size > 1:
                data.reshape(-1)[:2] = rng.permutation([spec.low, spec.high])
            values[f"in{i}"] = data
        elif isinstance(spec, Flags):
            values[f"in{i}"] = rng.random(spec.shape) > 0.5
        elif isinstance(spec, Typed):
            values[f"in{i}"] = rng.integers(spec.low, spec.high + 1, spec.shape).astype(spec.dtype)
    return values


def _operand(graph: Graph, spec: Operand, name: str, rng: np.random.Generator) -> Tensor | None:
    if spec is None:
        return None
    if isinstance(spec, Value | Flags | Typed):
        tensor = Tensor(name, spec.shape, _type(spec))
        graph.inputs.append(tensor)
        return tensor
    if isinstance(spec, State):
        return Tensor(name, spec.shape, is_variable=True)
    if isinstance(spec, Fixed):
        data = np.asarray(spec.values, np.bool_ if spec.dtype == "bool" else spec.dtype)
        return Tensor(name, data.shape, spec.dtype, data)
    return Tensor(name, spec.shape, data=_weights(spec, rng))


def _type(spec: Value | Flags | Typed) -> str:
    if isinstance(spec, Typed):
        return spec.dtype
    return "bool" if isinstance(spec, Flags) else "float32"


def _weights(spec: Weights, rng: np.random.Generator) -> np.ndarray:
    data = rng.uniform(spec.low, spec.high, spec.shape)
    if spec.axis is not None:
        shape = [1] * len(spec.shape)
        shape[spec.axis] = -1
        data = data * np.geomspace(0.25, 1.0, spec.shape[spec.axis]).reshape(shape)
    return data.astype(np.float32)


def _output(spec: Any, name: str) -> Tensor:
    if spec and isinstance(spec[-1], str):
        return Tensor(name, spec[0], spec[1])
    return Tensor(name, spec)


def merge(models: Mapping[str, Model]) -> Model:
    """Gives one model of all ops; the inputs and outputs of each are called ``name/tensor``.

    The given models must not be used afterwards: their tensors move.
    """
    graph = Graph("merged")
    signature = Signature("serving_default", {}, {})
    for name, model in models.items():
        for tensor in model.main.tensors():
            tensor.name = f"{name}/{tensor.name}"
        graph.inputs += model.main.inputs
        graph.outputs += model.main.outputs
        graph.ops += model.main.ops
    signature.inputs = {t.name: t for t in graph.inputs}
    signature.outputs = {t.name: t for t in graph.outputs}
    return Model([graph], [signature])
