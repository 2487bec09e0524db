"""Runs samples through the float model on LiteRT and collects the statistics of its activations.

The tensors to watch become outputs of a copy of the model, which keeps XNNPACK's speed; the statistics are
taken in the runtime's child process on views of LiteRT's own memory, so nothing is copied or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Graph, Model, Signature, Tensor
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration.tensor_statistics import Statistics, Watch
from tightfit.quantization.ops.rule_lookup import READS_ANY_TYPE, find_rule, real_inputs, real_outputs
from tightfit.runtime.loaded import unique_names
from tightfit.runtime.parallel import cores, observe_together

Samples = Iterable[Mapping[str, Array]]
Probe = tuple[Mapping[str, Array], dict[str, Array]]

MOST_WORKERS: Final = 4
PROBES: Final = 2
"""How many samples are kept with their float outputs, to check written files with."""


def watched_tensors(graph: Graph) -> list[Tensor]:
    """The activations of a graph whose ranges an integer plan may need."""
    wanted: dict[Tensor, None] = {}
    for op in graph.ops:
        rule = find_rule(op.kind)
        if rule is None or op.kind in READS_ANY_TYPE or (rule.int8 is None and rule.int16 is None):
            continue
        for _, tensor in (*real_inputs(op, rule), *real_outputs(op, rule)):
            if not tensor.is_constant and not tensor.is_variable:
                wanted[tensor] = None
    return list(wanted)


def watching_model(model: Model, *, detailed: bool = True) -> tuple[Model, dict[str, Watch]]:
    """Gives a copy whose outputs are the watched tensors and the original outputs, and a watch for each."""
    twin = copy_model(model)
    graph = twin.main
    keys = graph.keys()
    inputs = input_names(twin)
    ends = [t for t in graph.outputs if t.producer is not None]
    measured = [t for t in watched_tensors(graph) if t.producer is not None]
    # A model whose outputs are its inputs still has to be run: to see that it can be.
    graph.outputs = list(dict.fromkeys([*measured, *ends])) or graph.outputs[:1]
    twin.signatures = [Signature("watch", inputs, {keys[t]: t for t in graph.outputs})]
    known = set(measured)
    watches = {
        keys[t]: Watch(statistics=t in known, keep=PROBES if t in ends else 0, detailed=detailed)
        for t in graph.outputs
    }
    return twin, watches


def main_signature(model: Model) -> Signature | None:
    """Gives the signature that calls the main graph: ``serving_default``, else the first, else None."""
    callers = [s for s in model.signatures if s.graph_index == 0]
    named = [s for s in callers if s.key == "serving_default"]
    return next(iter([*named, *callers]), None)


def input_names(model: Model) -> dict[str, Tensor]:
    """Gives the names by which the main graph's inputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.inputs:
        return dict(signature.inputs)
    return _by_name(model.main.inputs)


def output_names(model: Model) -> dict[str, Tensor]:
    """Gives the names by which the main graph's outputs are called: the signature's, else the tensors'."""
    signature = main_signature(model)
    if signature is not None and signature.outputs:
        return dict(signature.outputs)
    return _by_name(model.main.outputs)


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """The names that a session gives to ends without a signature."""
    return dict(zip(unique_names([t.name for t in tensors]), tensors, strict=True))


def keeps_state(model: Model) -> bool:
    """Tells whether a call sees what earlier calls left behind, so that the order of samples counts."""
    tensors = any(t.is_variable for graph in model.graphs for t in graph.tensors())
    return tensors or any(op.kind == "READ_VARIABLE" for graph in model.graphs for op in graph.ops)


@dataclass
class Calibration:
    """What one pass over the samples gave.

    Args:
        statistics: tensor key → what was seen, for the main graph.
        samples: how many samples ran.
        probes: the first few (inputs by name, float outputs by tensor key), to check written files with.
    """

    statistics: dict[str, Statistics]
    samples: int
    probes: list[Probe]


def calibrate(
    model: Model,
    samples: Samples,
    *,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
    detailed: bool = True,
) -> Calibration:
    """Runs every sample once through the float model; memory does not grow with their number.

    Args:
        model: the float model.
        samples: inputs by name; read once.
        workers: child processes; one a core, at most 4, by default; always one for a model with state.
        progress: called after each sample.
        detailed: whether histograms are taken, which observers of more than the extremes need.

    Raises:
        DataError: there is not one sample, or one does not fit the model's inputs.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    twin, watches = watching_model(model, detailed=detailed)
    counter = _Counter(samples, model, progress, detailed=detailed)
    several = 1 if keeps_state(model) else workers or calibration_workers()
    seen: dict[str, Watch] = observe_together(serialize(twin), counter, watches, workers=several)
    if not counter.count:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    statistics = {k: w.statistics for k, w in seen.items() if w.statistics is not None}
    statistics.update(counter.inputs)
    ends = {k: w.kept for k, w in seen.items() if w.kept}
    probes = [(x, {k: kept[i] for k, kept in ends.items()}) for i, x in enumerate(counter.first)]
    return Calibration(statistics, counter.count, probes)


def calibration_workers() -> int:
    """The number of child processes that calibrate: one a core, at most 4."""
    return min(cores(), MOST_WORKERS)


class _Counter:
    """Passes samples on, counts them and takes the statistics of the inputs."""

    def __init__(
        self, samples: Samples, model: Model, progress: Callable[[], None] | None, *, detailed: bool
    ) -> None:
        self.samples = samples
        self.progress = progress
        self.count = 0
        self.first: list[Mapping[str, Array]] = []
        keys = model.main.keys()
        watched = set(watched_tensors(model.main))
        self.places = {n: keys[t] for n, t in input_names(model).items() if t in watched}
        self.inputs = {key: Statistics(detailed=detailed) for key in self.places.values()}

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        for given in self.samples:
            sample = _copied(given)
            for name, key in self.places.items():
                if name in sample and sample[name].dtype.kind in "fiub":
                    self.inputs[key].update(sample[name])
            if len(self.first) < PROBES:
                self.first.append(sample)
            yield sample
            self.count += 1
            if self.progress:
                self.progress()


def _copied(sample: Mapping[str, Array]) -> dict[str, Array]:
    """The sample's own arrays: it waits for a free child process, and its maker may fill them anew."""
    if not isinstance(sample, Mapping):
        raise DataError(
            f"A calibration sample is a mapping from input names to arrays; received {type(sample).__name__}."
        )
    return {name: np.array(values) for name, values in sample.items()}
