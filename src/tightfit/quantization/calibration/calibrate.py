"""Runs samples through the float model on LiteRT and collects the statistics of its activations.

The tensors to watch become outputs of a copy of the model, which keeps XNNPACK's speed; the statistics are
taken in the runtime's child process on views of LiteRT's own memory, so nothing is copied or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Signature, Tensor
from tightfit.graph.signatures import input_names, keeps_state, output_names
from tightfit.graph.temporary_files import stored_bytes, temporary_file
from tightfit.quantization.calibration.tensor_statistics import MOST_KEPT, Statistics, Watch
from tightfit.quantization.ops.rule_lookup import READS_ANY_TYPE, find_rule, real_inputs, real_outputs
from tightfit.runtime.parallel import Mergeable, cores, observe_together
from tightfit.types import Array, SampleStream

Probe = tuple[Mapping[str, Array], dict[str, Array]]

MOST_WORKERS: Final = 4
LARGE: Final = 64_000_000
"""A model with more bytes of constants than this is loaded once, for all cores."""

_OUTPUT: Final = "out "
KEPT: Final = 16
"""Samples that are kept to judge by: enough to prove that inputs are fed wrongly, or that a range is."""

PROBES: Final = 2
"""How many samples are kept with their float outputs, to check written files with."""


def kept_places(count: int) -> frozenset[int]:
    """Gives the samples to keep of so many: the first ones, and 16 spread over all.

    Example:
        >>> sorted(kept_places(100))[:4], len(kept_places(100))
        ([0, 1, 6, 13], 17)
    """
    spread = np.linspace(0, count - 1, min(count, KEPT)).astype(int)
    return frozenset(spread.tolist()) | frozenset(range(min(PROBES, count)))


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


def watching_model(
    model: Model, *, detailed: bool = True, keep: Iterable[int] = range(PROBES)
) -> tuple[Model, dict[str, Watch]]:
    """Gives a copy whose outputs are the watched tensors and the original outputs, and a watch for each.

    Args:
        detailed: whether histograms are taken. keep: the samples of which the outputs are kept.
    """
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
        keys[t]: Watch(statistics=t in known, keep=keep if t in ends else 0, detailed=detailed)
        for t in graph.outputs
    }
    return twin, watches


@dataclass
class Calibration:
    """What one pass over the samples gave.

    Args:
        statistics: tensor key → what was seen, for the main graph.
        samples: how many samples ran.
        probes: the kept samples (inputs by name, float outputs by tensor key), to check written files with.
        places: the number of each of them among all samples.
        observed: output name → the observer that was given for it, with what it saw.
    """

    statistics: dict[str, Statistics]
    samples: int
    probes: list[Probe]
    places: list[int] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)


def calibrate(  # noqa: PLR0913 - what one pass may collect
    model: Model,
    samples: SampleStream,
    *,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
    detailed: bool = True,
    keep: Iterable[int] = range(PROBES),
    observers: Mapping[str, Mergeable] | None = None,
) -> Calibration:
    """Runs every sample once through the float model; memory does not grow with their number.

    Args:
        model: the float model.
        samples: inputs by name; read once.
        workers: sessions at once; one a core, at most 4, by default; always one for a model with state.
        progress: called after each sample.
        detailed: whether histograms are taken, which observers of more than the extremes need.
        keep: the samples that are kept with their float outputs, 0 for the first; those that take too much
            memory are left out.
        observers: output name → what else looks at the float model's output for every sample.

    Raises:
        DataError: there is not one sample, or one does not fit the model's inputs.
        RuntimeFailureError: LiteRT cannot run the model.
    """
    wanted = frozenset(keep)
    twin, watches = watching_model(model, detailed=detailed, keep=wanted)
    ends = _watch_outputs(model, twin, observers or {})
    counter = _Counter(samples, model, progress, detailed=detailed, keep=wanted)
    several = calibration_workers(model) if workers is None or keeps_state(model) else workers
    # Kernels outside of the delegate give other last bits with more threads; large models run inside of it.
    threads = cores() if stored_bytes(model) > LARGE and not keeps_state(model) else 1
    with temporary_file(twin) as path:
        seen: dict[str, Any] = observe_together(
            path, counter, watches | ends, workers=several, threads=threads, shared=True
        )
    if not counter.count:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    statistics = {k: w.statistics for k in watches if (w := seen[k]).statistics is not None}
    statistics.update(counter.inputs)
    observed = {name: seen[_OUTPUT + name] for name in observers or {} if _OUTPUT + name in seen}
    probes = _probes(seen, watches, counter.kept)
    return Calibration(statistics, counter.count, list(probes.values()), list(probes), observed)


def _watch_outputs(model: Model, twin: Model, observers: Mapping[str, Mergeable]) -> dict[str, Mergeable]:
    """The observers by the names under which the twin gives the outputs once more; constants are left out."""
    keys, tensors = model.main.keys(), {key: t for t, key in twin.main.keys().items()}
    outputs = {n: tensors[keys[t]] for n, t in output_names(model).items()}
    found = {n: t for n, t in outputs.items() if n in observers and t.producer is not None}
    twin.signatures[0].outputs.update({_OUTPUT + n: t for n, t in found.items()})
    return {_OUTPUT + name: observers[name] for name in found}


def _probes(
    seen: Mapping[str, Any], watches: Mapping[str, Watch], kept: Mapping[int, Mapping[str, Array]]
) -> dict[int, Probe]:
    """The kept samples of which every output was kept too, in order."""
    ends = {k: seen[k].kept for k, w in watches.items() if w.wanted}
    whole = [i for i in sorted(kept) if all(i in arrays for arrays in ends.values())]
    return {i: (kept[i], {k: arrays[i] for k, arrays in ends.items()}) for i in whole}


def calibration_workers(model: Model | None = None) -> int:
    """Gives how many sessions calibrate at once: one a core, at most 4; one with all cores for some models.

    A model with state needs its samples in order, and each session has a copy of a large model's weights.
    """
    if model is not None and (keeps_state(model) or stored_bytes(model) > LARGE):
        return 1
    return min(cores(), MOST_WORKERS)


class _Counter:
    """Passes samples on, counts them, takes the statistics of the inputs and keeps some samples."""

    def __init__(
        self,
        samples: SampleStream,
        model: Model,
        progress: Callable[[], None] | None,
        *,
        detailed: bool,
        keep: frozenset[int],
    ) -> None:
        self.samples = samples
        self.progress = progress
        self.count = 0
        self.keep, self.room = keep, MOST_KEPT
        self.kept: dict[int, Mapping[str, Array]] = {}
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
            self._keep(sample)
            yield sample
            self.count += 1
            if self.progress:
                self.progress()

    def _keep(self, sample: Mapping[str, Array]) -> None:
        size = sum(a.nbytes for a in sample.values())
        if self.count in self.keep and (size <= self.room or not self.kept):
            self.kept[self.count] = sample
            self.room -= size


def _copied(sample: Mapping[str, Array]) -> dict[str, Array]:
    """The sample's own arrays: it waits for a free child process, and its maker may fill them anew."""
    if not isinstance(sample, Mapping):
        raise DataError(
            f"A calibration sample is a mapping from input names to arrays; received {type(sample).__name__}."
        )
    return {name: np.array(values) for name, values in sample.items()}
