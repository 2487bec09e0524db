"""The error that each op of a quantized file adds by itself, and what that error does to the model's outputs.

All ops are measured in one model, run by LiteRT on a few samples (see ``branches``); sums are taken in the
runtime's child processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tightfit.data.sample import Sample
from tightfit.diagnosis.explain.graph_matching import Pairing
from tightfit.diagnosis.explain.op_branches import Branch, Branches, NoBranchError
from tightfit.evaluation.metrics import MOST_DB, decibels
from tightfit.graph.ir import Op, Tensor
from tightfit.graph.signatures import input_names, tap
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration.observing import observe_model
from tightfit.streaming.channel_statistics import ChannelStatistics
from tightfit.types import Array

INPUT = "INPUT"
"""The kind under which the rounding of a model's input is listed."""


@dataclass(frozen=True)
class OwnError:
    """What one op adds by itself.

    Args:
        name: the float model's op; an input of the model has the kind ``INPUT``.
        kind: see ``name``.
        snr_db: of its result, everything before it exact but rounded as it reads it; 200 when equal.
        channel_db: the same with noise ÷ signal averaged over the channels, each 1 at most: a loud channel
            does not hide that the others are lost.
        parts: cause → power ÷ power of the value: ``inputs`` (not its own), ``weights``, ``result``; and
            ``own``. Empty unless they were asked for.
        peaks: largest magnitude of each channel of its result, with the parts.
    """

    name: str
    kind: str
    snr_db: float
    channel_db: float
    parts: Mapping[str, float] = field(default_factory=dict)
    peaks: npt.NDArray[np.float32] | None = field(default=None, compare=False)


def own_errors(
    pairing: Pairing, samples: Iterable[Sample], *, only: Iterable[str] | None = None, parts: bool = False
) -> list[OwnError]:
    """Return the error that each op adds by itself, in graph order; without ops that cannot be built alone.

    Args:
        pairing: of the float model and the file.
        samples: a few are enough.
        only: names of ops and inputs to look at; None takes all.
        parts: splits the error into what inputs, weights and the result's own rounding cause.

    Raises:
        RuntimeFailureError: LiteRT cannot run the model that holds the single ops.
    """
    wanted = None if only is None else set(only)
    branches = Branches(pairing)
    found: list[tuple[str, str, Branch]] = []
    for name, kind, target in places(pairing):
        if wanted is not None and name not in wanted:
            continue
        try:
            branch = (
                branches.of_input(target)
                if isinstance(target, Tensor)
                else branches.of_op(target, parts=parts)
            )
        except NoBranchError:
            continue
        found.append((name, kind, branch))
    if not found:
        return []
    seen = _observe(branches, [branch for _, _, branch in found], samples)
    return [_own_error(name, kind, branch, seen, parts=parts) for name, kind, branch in found]


def places(pairing: Pairing) -> list[tuple[str, str, Op | Tensor]]:
    """Name, kind and op of everything that may add an error, the model's float inputs first."""
    graph = pairing.reference.main
    inputs: list[tuple[str, str, Op | Tensor]] = [
        (t.name, INPUT, t) for t in graph.inputs if t.dtype == "float32"
    ]
    return [*inputs, *((op.name, op.kind, op) for op in graph.ops if op.outputs)]


def injected(pairing: Pairing, target: Op | Tensor) -> bytes:
    """The float model in which one op's result carries the error that the op adds by itself.

    Raises:
        NoBranchError: the op cannot be built alone.
    """
    branches = Branches(pairing)
    value = target if isinstance(target, Tensor) else target.outputs[0]
    copy = branches.copies[value]
    readers = list(copy.consumers)
    branches.place = 0 if copy.producer is None else branches.graph.ops.index(copy.producer) + 1
    branch = branches.of_input(target) if isinstance(target, Tensor) else branches.of_op(target)
    branches.inject(branch, readers)
    return serialize(branches.model)


def _observe(
    branches: Branches, found: Sequence[Branch], samples: Iterable[Sample]
) -> dict[Tensor, ChannelStatistics]:
    tensors: dict[Tensor, str] = {}
    for branch in found:
        for tensor in (branch.value, branch.own, branch.inputs, branch.weights, branch.result):
            if tensor is not None:
                tensors.setdefault(tensor, f"t{len(tensors)}")
    model = branches.model
    names = input_names(model)
    # An input cannot be watched as an output; its sum is taken from the samples on their way.
    fed = {name: tensor for name, tensor in names.items() if tensor in tensors}
    watched = {tensor: key for tensor, key in tensors.items() if tensor not in fed.values()}
    tap(model, {key: t for t, key in watched.items()})
    energies = {tensor: ChannelStatistics() for tensor in fed.values()}
    feed = _feed(samples, list(names), {name: energies[tensor] for name, tensor in fed.items()})
    observers = {key: ChannelStatistics() for key in watched.values()}
    seen = observe_model(model, feed, observers)
    return energies | {tensor: seen[key] for tensor, key in watched.items()}


def _feed(
    samples: Iterable[Sample], names: list[str], looks: Mapping[str, ChannelStatistics]
) -> Iterator[dict[str, Array]]:
    """Samples under the model's input names; looks at some inputs on their way."""
    for sample in samples:
        inputs = dict(sample.inputs)
        if len(names) == len(inputs) == 1:
            inputs = {names[0]: next(iter(inputs.values()))}
        for name, energy in looks.items():
            energy.update(inputs[name])
        yield inputs


def _own_error(
    name: str, kind: str, branch: Branch, seen: Mapping[Tensor, ChannelStatistics], *, parts: bool
) -> OwnError:
    signal, noise = seen[branch.value], seen[branch.own]
    loudness = _ratio_db(signal.total_power, noise.total_power), _channel_db(signal, noise)
    if not parts:
        return OwnError(name, kind, *loudness)
    causes = {"own": branch.own, "inputs": branch.inputs, "weights": branch.weights, "result": branch.result}
    power = max(signal.total_power, 1e-300)
    shares = {cause: seen[t].total_power / power for cause, t in causes.items() if t is not None}
    return OwnError(name, kind, *loudness, shares, signal.largest.astype(np.float32))


def _ratio_db(signal: float, noise: float) -> float:
    """Decibels; a result that is always zero has no signal, which is -200 beside any noise."""
    return decibels(signal, noise) if signal > 0 or noise == 0 else -MOST_DB


def _channel_db(signal: ChannelStatistics, noise: ChannelStatistics) -> float:
    """See ``OwnError``; channels without any signal do not count."""
    alive = signal.power > 0
    if not alive.any() or signal.power.shape != noise.power.shape:
        return _ratio_db(signal.total_power, noise.total_power)
    return decibels(1.0, float(np.minimum(noise.power[alive] / signal.power[alive], 1.0).mean()))
