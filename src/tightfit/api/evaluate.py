"""What a file is, how accurate it is and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tightfit.api.arguments import Image, image_options
from tightfit.api.model_inputs import Pathlike, inputs_of, outputs_of
from tightfit.conversion.load_model import open_model
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.evaluation.accuracy import Accuracy, Asked, wanted_metrics
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.machine import machine
from tightfit.evaluation.slices.files import slices_of
from tightfit.evaluation.slices.parts import NamedSlices
from tightfit.evaluation.ssh_device import Device, latency_on
from tightfit.graph.reader import read_model
from tightfit.graph.summary import summary
from tightfit.runtime.native.op_profile import OpTime, profile_ops
from tightfit.types import Steps


def evaluate(  # noqa: PLR0913 - the options of one verb
    models: Any,
    data: Any,
    *,
    image: Image = None,
    metric: Asked = "auto",
    limit: int | None = None,
    progress: Steps | None = None,
    slices: tuple[NamedSlices, ...] = (),
) -> list[Accuracy]:
    """Return the accuracy of each model on the data, with the paired change from the first.

    Args:
        models: one model or several (files or anything that ``load`` takes); the first is the reference.
        data: samples, with labels or without.
        image: how images become arrays: ``ImageOptions``, its text, or a dict.
        metric: ``auto``, names as in docs/metrics.md with commas between them, a function, or several of
            either.
        limit: the most samples.
        progress: called with (samples done, samples in all).

    Raises:
        TightfitError: the data does not fit the first model, or that one fails.
    """
    wanted = wanted_metrics(metric)
    paths = [open_model(m) for m in _several(models)]
    read = [read_model(path) for path in paths]
    dataset = open_data(
        data, image=image_options(image), inputs=inputs_of(read[0], paths[0]), outputs=outputs_of(read[0])
    )
    indices = None
    if limit is not None and limit < len(dataset):
        indices, _ = split(dataset.classes(), len(dataset), limit, overlap=True)
    return evaluate_models(
        paths, dataset, indices, metric=wanted, progress=progress, slices=slices_of(read[0], slices)
    )


def _several(models: Any) -> list[Any]:
    """Return a list of models; one model is a list of one."""
    return list(models) if isinstance(models, list | tuple) else [models]


@dataclass(frozen=True)
class Benchmark:
    """What one file costs, and the machine that its latency was measured on."""

    path: str
    latency: Latency
    footprint: Footprint
    machine: dict[str, Any] = field(default_factory=machine)
    ops: tuple[OpTime, ...] = ()


def benchmark(
    models: Any,
    *,
    threads: int = 1,
    rounds: int = 50,
    seconds: float = 30.0,
    on: Device | None = None,
    per_op: bool = False,
) -> list[Benchmark]:
    """Return interleaved latency, memory and sizes of each model; ratios are to the first.

    Args:
        models: one model or several (files or anything that ``load`` takes).
        threads: that LiteRT computes with.
        rounds: most rounds; each runs all models once.
        seconds: time limit of all rounds.
        on: measure latency on this device instead of here.
        per_op: also measure the time of each op here, by LiteRT's profiler.

    Raises:
        ModelError: a file cannot be read.
        RuntimeFailureError: the first model does not run, LiteRT cannot profile one, or the device cannot be
            reached.
    """
    models = _several(models)
    paths = [open_model(m) for m in models]
    for path in paths:
        read_model(path)
    where = machine()
    if on is None:
        latencies = compare_latency(paths, threads=threads, rounds=rounds, budget_s=seconds)
    else:
        where, latencies = latency_on(on, paths, threads=threads, rounds=rounds, seconds=seconds)
    named = zip(models, paths, latencies, strict=True)
    ops = [tuple(profile_ops(p, threads=threads)) if per_op else () for p in paths]
    return [Benchmark(str(m), t, footprint(p), where, o) for (m, p, t), o in zip(named, ops, strict=True)]


def inspect(model: Pathlike) -> dict[str, Any]:
    """Gives what a model is: inputs, outputs, ops, parameters, MACs, how it is quantized.

    Raises:
        ModelError: the file cannot be read.
    """
    return summary(read_model(open_model(model)))
