"""Runs samples through the float model on LiteRT and collects the statistics of its activations.

The tensors to watch become outputs of a copy of the model, which keeps XNNPACK's speed; the statistics are
taken in the runtime's child process on views of LiteRT's own memory, so nothing is copied or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tightfit.errors import DataError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.graph.signatures import input_names, keeps_state, tap
from tightfit.graph.split_inputs import split_values
from tightfit.quantization.calibration.cell_taps import tap_cells
from tightfit.quantization.calibration.observing import observe_model
from tightfit.quantization.ops.rule_lookup import READS_ANY_TYPE, find_rule, real_inputs, real_outputs
from tightfit.streaming.tensor_statistics import Statistics, Watch
from tightfit.types import Array, SampleStream

Probe = tuple[Mapping[str, Array], dict[str, Array]]

PROBES: Final = 2
"""How many samples are kept with their float outputs whatever their size."""

_MOST_KEPT: Final = 128
_INPUT_BYTES: Final = 24 << 20
_OUTPUT_BYTES: Final = 8 << 20


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
    """Return a copy whose outputs are the watched tensors and the original outputs, and a watch for each."""
    twin = copy_model(model)
    graph = twin.main
    keys = graph.keys()
    ends = [t for t in graph.outputs if t.producer is not None]
    measured = [t for t in watched_tensors(graph) if t.producer is not None]
    cells = tap_cells(graph, detailed=detailed)
    tapped = {keys[t]: t for t in dict.fromkeys([*measured, *ends])}
    # A model whose outputs are its inputs still has to be run: to see that it can be.
    tap(twin, tapped | {keys[cell]: joined for cell, joined, _ in cells})
    known, state = set(measured), keeps_state(model)
    watches = {
        keys[t]: Watch(
            statistics=t in known,
            keep=PROBES if t in ends else 0,
            more_bytes=_OUTPUT_BYTES if t in ends else 0,
            most=_MOST_KEPT,
            in_order=state,
            detailed=detailed,
        )
        for t in tapped.values() or graph.outputs
    }
    return twin, watches | {keys[cell]: watch for cell, _, watch in cells}


@dataclass
class Calibration:
    """What one pass over the samples gave.

    Args:
        statistics: tensor key → what was seen, for the main graph.
        samples: how many samples ran.
        probes: the first few (inputs by name, float outputs by tensor key), to check written files with.
        kept: more of them, spread over all samples, to measure files with.
        places: their numbers.
    """

    statistics: dict[str, Statistics]
    samples: int
    probes: list[Probe]
    kept: list[Probe] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


def calibrate(
    model: Model,
    samples: SampleStream,
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
    names = list(input_names(model))
    split = (split_values(s, names) if isinstance(s, Mapping) else s for s in samples)
    counter = SampleCounter(split, model, progress, detailed=detailed)
    return _collected(counter, _observe(model, counter, workers, detailed=detailed))


def observe_lane(model: Model, samples: SampleStream, lane: int, lanes: int) -> dict[str, Watch]:
    """Return what one lane's samples show; the lanes may run on several machines.

    Args:
        model: the float model.
        samples: those of the numbers ``lane``, ``lane + lanes``, ``lane + 2 * lanes``, …
        lane: number of this lane.
        lanes: number of all of them.
    """
    twin, watches = watching_model(model)
    for watch in watches.values():
        watch.place(lane, lanes)
    return observe_model(twin, samples, watches, workers=1)


def count_samples(model: Model, samples: SampleStream) -> SampleCounter:
    """Return what is known of samples without running the model: statistics of inputs, and copies of some."""
    counter = SampleCounter(samples, model, None, detailed=True)
    for _ in counter:
        pass
    counter.samples = ()
    return counter


def merge_lanes(counter: SampleCounter, lanes: Sequence[dict[str, Watch]]) -> Calibration:
    """Return the calibration of ``count_samples`` and of every lane, equal to the last bit to ``calibrate``.

    Args:
        counter: over all samples.
        lanes: in order; as many as ``lane_count`` says.
    """
    first, *others = lanes
    for key, watch in first.items():
        watch.merge([other[key] for other in others])
    return _collected(counter, first)


def _observe(model: Model, samples: SampleStream, workers: int | None, *, detailed: bool) -> dict[str, Watch]:
    """What the watched tensors showed, in several child processes."""
    twin, watches = watching_model(model, detailed=detailed)
    return observe_model(twin, samples, watches, workers=workers)


def _collected(counter: SampleCounter, seen: Mapping[str, Watch]) -> Calibration:
    if not counter.count:
        raise DataError("There is no calibration sample; give at least one, better 100.")
    statistics = {k: w.statistics for k, w in seen.items() if w.statistics is not None}
    statistics.update(counter.inputs)
    ends = {k: w.kept for k, w in seen.items() if w.kept}
    answered = min((w.answered for w in seen.values() if w.kept), default=counter.count)
    places = [i for i in counter.kept if i < answered]
    kept = [(counter.kept[i], {k: outputs[i] for k, outputs in ends.items()}) for i in places]
    probes = [(x, {k: outputs[i] for k, outputs in ends.items()}) for i, x in enumerate(counter.first)]
    return Calibration(statistics, counter.count, probes, kept, places)


class SampleCounter:
    """Passes samples on, counts them and takes the statistics of the inputs."""

    def __init__(
        self, samples: SampleStream, model: Model, progress: Callable[[], None] | None, *, detailed: bool
    ) -> None:
        self.samples = samples
        self.progress = progress
        self.count = 0
        self.first: list[Mapping[str, Array]] = []
        self.kept: dict[int, Mapping[str, Array]] = {}
        self._in_order = keeps_state(model)
        self._step, self._held = 1, 0
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
            self._keep(sample)
            yield sample
            self.count += 1
            if self.progress:
                self.progress()

    def _keep(self, sample: Mapping[str, Array]) -> None:
        """Keeps every n-th sample; when they take too much memory, every second one of them goes.

        Of a model with state the first ones stay, as a call depends on those before it.
        """
        size = sum(a.nbytes for a in sample.values())
        full = self._held + size > _INPUT_BYTES or len(self.kept) >= _MOST_KEPT
        if self.count % self._step or (full and self._in_order and len(self.kept) >= PROBES):
            return
        self.kept[self.count] = sample
        self._held += size
        if full and not self._in_order:
            self._step *= 2
            self.kept = {i: s for i, s in self.kept.items() if i % self._step == 0}
            self._held = sum(a.nbytes for s in self.kept.values() for a in s.values())


def _copied(sample: Mapping[str, Array]) -> dict[str, Array]:
    """The sample's own arrays: it waits for a free child process, and its maker may fill them anew."""
    if not isinstance(sample, Mapping):
        raise DataError(
            f"A calibration sample is a mapping from input names to arrays; received {type(sample).__name__}."
        )
    return {name: np.array(values) for name, values in sample.items()}
