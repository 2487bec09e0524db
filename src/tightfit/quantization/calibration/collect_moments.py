"""Collect statistics of layers' inputs by one pass of the float model in the runtime's child processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.signatures import input_names, tap
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.calibration.observing import observe_model
from tightfit.quantization.plan import Plan
from tightfit.streaming.moments import Means, Moments, MomentWindow
from tightfit.types import Array

Values = npt.NDArray[np.float32]


class Gathered(Protocol):
    """Statistics of one layer's input: ``Moments`` or ``Means``."""

    def update(self, values: Values) -> None: ...  # noqa: D102 - see Moments

    def merge(self, others: Sequence[Self]) -> None: ...  # noqa: D102 - see Moments


Kind = TypeVar("Kind", bound=Gathered)


def collect_moments(
    model: Model,
    plan: Plan,
    samples: Iterable[Mapping[str, Array]],
    *,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
) -> dict[str, Moments]:
    """Return layer name → second moments of its input over the samples.

    Layers that read the same tensor through the same window share one object; layers that are not measurable
    are left out.

    Args:
        model: the float model.
        plan: its plan.
        samples: the samples, read once.
        workers: number of child processes; None for the default.
        progress: called after each sample.

    Raises:
        RuntimeFailureError: LiteRT cannot run the model.
    """
    twin = copy_model(model)
    layers = [la for la in layers_of(twin.main, plan.graphs[0].ops) if la.is_measurable]
    return _collect(twin, layers, Moments, _Pass(samples, workers, progress))


def collect_means(
    model: Model,
    plan: Plan,
    samples: Iterable[Mapping[str, Array]],
    *,
    progress: Callable[[], None] | None = None,
) -> dict[str, Means]:
    """Return layer name → means of its input over the samples, which is much faster than moments.

    Args:
        model: the float model.
        plan: its plan.
        samples: the samples, read once.
        progress: called after each sample.

    Raises:
        RuntimeFailureError: LiteRT cannot run the model.
    """
    twin = copy_model(model)
    layers = layers_of(twin.main, plan.graphs[0].ops)
    return _collect(twin, layers, Means, _Pass(samples, None, progress))


def _collect(
    twin: Model, layers: Sequence[Layer], kind: Callable[[MomentWindow], Kind], going: _Pass
) -> dict[str, Kind]:
    """One pass over the samples; ``twin`` is changed."""
    keys = twin.main.keys()
    wanted = {(keys[layer.source], layer.window): layer.source for layer in layers}
    fed = {key for key, _ in wanted if wanted_input(twin, key, keys)}
    observers = {key: Several([w for k, w in wanted if k == key], kind) for key, _ in wanted}
    watched = {key: t for (key, _), t in wanted.items() if key not in fed}
    names = input_names(twin)
    tap(twin, watched)
    inputs = {n: keys[t] for n, t in names.items() if keys[t] in fed}
    feed = going.shown_to({n: observers[k] for n, k in inputs.items()})
    inner = {k: o for k, o in observers.items() if k not in fed}
    observers.update(observe_model(twin, feed, inner, workers=going.workers))
    return {layer.op.name: observers[keys[layer.source]].of(layer.window) for layer in layers}


def wanted_input(model: Model, key: str, keys: Mapping[Tensor, str]) -> bool:
    """Return True when a key names an input of the main graph."""
    return any(keys[t] == key for t in model.main.inputs)


class Several(Generic[Kind]):
    """An observer of one tensor through several windows."""

    def __init__(self, windows: Sequence[MomentWindow], kind: Callable[[MomentWindow], Kind]) -> None:
        self._found = {w: kind(w) for w in windows}

    def update(self, values: Values) -> None:
        """Add one sample's tensor to the statistics of each window."""
        for found in self._found.values():
            found.update(values)

    def merge(self, others: Sequence[Several[Kind]]) -> None:
        """Add the statistics of other observers."""
        for window, found in self._found.items():
            found.merge([other.of(window) for other in others])

    def of(self, window: MomentWindow) -> Kind:
        """Return the statistics of one window."""
        return self._found[window]


class _Pass:
    """A pass over the samples that reports progress after each."""

    def __init__(
        self,
        samples: Iterable[Mapping[str, Array]],
        workers: int | None,
        progress: Callable[[], None] | None,
    ) -> None:
        self.samples, self.workers, self.progress = samples, workers, progress

    def shown_to(self, observers: Mapping[str, Several[Kind]]) -> Iterator[Mapping[str, Array]]:
        """Yield the samples; update the observers of the inputs before each."""
        for sample in self.samples:
            for name, observer in observers.items():
                observer.update(sample[name])
            yield sample
            if self.progress:
                self.progress()
