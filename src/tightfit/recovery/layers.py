"""The layers that recovery works on: ops with constant weights, seen as rows of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Graph, Model, Op, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration import calibration_workers, input_names
from tightfit.quantization.plan import OpPlan, Plan
from tightfit.recovery.moments import MOST_INPUTS, Moments, Window, window_of
from tightfit.runtime.parallel import observe_together

KINDS: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_STORED: Final = ("int8", "int4", "int2")


@dataclass(frozen=True)
class Layer:
    """One op with stored weights, and its place in graph and plan.

    Args:
        op: in the float graph. plan: its row in the plan.
    """

    op: Op
    plan: OpPlan

    @property
    def source(self) -> Tensor:
        """The tensor that meets the weights."""
        tensor = self.op.input(0)
        assert tensor is not None  # noqa: S101 - every kind of KINDS has one
        return tensor

    @property
    def weights(self) -> Tensor:
        """The constant weights."""
        tensor = self.op.input(1)
        assert tensor is not None  # noqa: S101 - checked when the layer was found
        return tensor

    @property
    def bias(self) -> Tensor | None:
        """The constant bias, if there is one."""
        return self.op.input(2)

    @property
    def window(self) -> Window:
        """How it walks over its input."""
        return window_of(self.op.kind, self.weights.shape, self.op.options)

    @property
    def is_measurable(self) -> bool:
        """Whether the second moments of what meets its weights fit into memory."""
        return self.window.depthwise or self.weights.size // self.weights.shape[0] <= MOST_INPUTS

    def rows(self, values: Array) -> npt.NDArray[np.float64]:
        """Weights as (output channels, K), in the order that ``Moments`` uses."""
        if self.op.kind == "DEPTHWISE_CONV_2D":
            return np.asarray(values.reshape(-1, values.shape[-1]).T, np.float64)
        return np.asarray(values.reshape(values.shape[0], -1), np.float64)

    def shaped(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The inverse of ``rows``."""
        if self.op.kind == "DEPTHWISE_CONV_2D":
            return np.ascontiguousarray(rows.T.reshape(self.weights.shape), np.float32)
        return rows.reshape(self.weights.shape).astype(np.float32)


def layers_of(graph: Graph, plans: Iterable[OpPlan]) -> list[Layer]:
    """Gives the layers whose weights the plan stores as small integers, each weight used once."""
    found = []
    for op, plan in zip(graph.ops, plans, strict=True):
        storage = plan.constants.get(1)
        weights = op.input(1)
        if op.kind not in KINDS or storage is None or storage.dtype not in _STORED or weights is None:
            continue
        source, bias = op.input(0), op.input(2)
        single = len(weights.consumers) == 1 and (bias is None or len(bias.consumers) == 1)
        channels = source.shape[-1] if source is not None and source.shape else 0
        grouped = op.kind == "CONV_2D" and weights.shape[-1] != channels
        multiplied = op.kind == "DEPTHWISE_CONV_2D" and weights.shape[-1] != channels
        flattened = op.kind == "FULLY_CONNECTED" and weights.shape[-1] != channels
        if weights.is_constant and single and not (grouped or multiplied or flattened):
            found.append(Layer(op, plan))
    return found


def collect_moments(
    model: Model,
    plan: Plan,
    samples: Iterable[Mapping[str, Array]],
    *,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> dict[str, Moments]:
    """Gives layer name → second moments of its input over the samples, by one pass of the float model.

    Layers that read the same tensor through the same window share one matrix; those that are not measurable
    have none.
    """
    twin = copy_model(model)
    keys = twin.main.keys()
    layers = [la for la in layers_of(twin.main, plan.graphs[0].ops) if la.is_measurable]
    wanted = {(keys[layer.source], layer.window): layer.source for layer in layers}
    fed = {key for key, _ in wanted if wanted_input(twin, key, keys)}
    observers = {key: Several([w for k, w in wanted if k == key]) for key, _ in wanted}
    graph = twin.main
    watched = {key: t for (key, _), t in wanted.items() if key not in fed}
    graph.outputs = list(dict.fromkeys(watched.values())) or list(graph.outputs)
    names = input_names(twin)
    twin.signatures = [Signature("moments", names, watched or {keys[t]: t for t in graph.outputs})]
    inputs = {n: keys[t] for n, t in names.items() if keys[t] in fed}
    feed = _Feed(samples, {n: observers[k] for n, k in inputs.items()}, progress)
    inner = {k: o for k, o in observers.items() if k not in fed}
    several = workers or calibration_workers()
    observers.update(observe_together(serialize(twin), feed, inner, workers=several))
    return {layer.op.name: observers[keys[layer.source]].of(layer.window) for layer in layers}


def wanted_input(model: Model, key: str, keys: Mapping[Tensor, str]) -> bool:
    """True when a key names an input of the main graph."""
    return any(keys[t] == key for t in model.main.inputs)


class Several:
    """An observer of one tensor for several windows."""

    def __init__(self, windows: list[Window]) -> None:
        self.moments = {w: Moments(w) for w in windows}

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Adds one sample's tensor to each."""
        for moments in self.moments.values():
            moments.update(values)

    def merge(self, others: Sequence[Several]) -> None:
        """Adds what others saw."""
        for window, moments in self.moments.items():
            moments.merge([other.moments[window] for other in others])

    def of(self, window: Window) -> Moments:
        """Gives the moments of one window."""
        return self.moments[window]


class _Feed:
    """Passes samples on and shows the inputs to their observers."""

    def __init__(
        self,
        samples: Iterable[Mapping[str, Array]],
        observers: Mapping[str, Several],
        progress: Callable[[], None] | None,
    ) -> None:
        self.samples, self.observers, self.progress = samples, observers, progress

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        for sample in self.samples:
            for name, observer in self.observers.items():
                observer.update(sample[name])
            yield sample
            if self.progress:
                self.progress()
