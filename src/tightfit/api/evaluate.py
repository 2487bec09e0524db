"""How accurate files are and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, overload

from tightfit.api.parameters.arguments import Image, image_options
from tightfit.api.parameters.model_inputs import inputs_of, outputs_of
from tightfit.api.parameters.signature_data import signature_file
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.conversion.held_models import label_of
from tightfit.conversion.open_model import open_model
from tightfit.data.sources import check_data, open_data
from tightfit.data.split import split
from tightfit.distributed.options import RayCluster, is_cluster
from tightfit.errors import OptionError
from tightfit.evaluation.accuracy import Accuracy, Asked, wanted_metrics
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.devices.ssh_device import Device
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.latency import Latency
from tightfit.evaluation.machine import machine
from tightfit.evaluation.output_difference import PlaceDifference
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.evaluation.slices.output_quality import lost_sentences
from tightfit.graph.reader import read_model
from tightfit.kinds import DataLike, ModelLike
from tightfit.result import Result, ResultList, Row
from tightfit.runtime.native.op_profile import OpTime, profile_ops
from tightfit.spoken import verb
from tightfit.streaming.slice_axes import NamedSlices, named_slices
from tightfit.targets.places.place import check_timed, find_place, latencies_on
from tightfit.targets.places.place_difference import place_difference


@verb()
def evaluate(  # noqa: PLR0913 - the options of one verb
    models: ModelLike | Sequence[ModelLike],
    data: DataLike,
    *,
    image: Image = None,
    metric: Asked = "auto",
    limit: int | None = None,
    slices: str | Sequence[NamedSlices | str] = (),
    signature: str | None = None,
    on: Device | RayCluster | str | None = None,
    progress: ProgressLike = None,
) -> Evaluation:
    """Return the accuracy of each model on the data, with the paired change from the first.

    Args:
        models: one model or several (files or anything that ``load`` takes); the first is the reference.
        data: samples, with labels or without.
        image: how images become arrays: ``ImageOptions``, its text, or a dict.
        metric: ``auto``, names as in docs/metrics.md with commas between them, a function, or several of
            either.
        limit: the most samples.
        slices: slices of outputs that must each be kept, as ``"out=-1:0-4=boxes"``.
        signature: the signature to run, where the models have several.
        on: where the models run instead of on this computer: ``arm`` or ``arm:CORE`` (emulated), ``gpu``
            (LiteRT's GPU accelerator), ``phone`` (float16 arithmetic, simulated), ``ssh://user@host`` or
            ``adb://SERIAL``. The result then also has how far the outputs are from this computer's. Or the
            workers of a Ray cluster, each on a part of the samples: ``ray``, ``ray://HOST:10001`` or a
            ``tightfit.RayCluster``; the result is that of this computer.
        progress: see ``tightfit.Progress``.

    Returns:
        accuracy of each model, with its change from the first and the 95 % interval of that.

    Raises:
        TightfitError: the data does not fit the first model, that one fails, or the place cannot be reached.

    Example:
        ``tightfit.evaluate(["float.tflite", "int8.tflite"], "samples.npz:x_test,y_test")``
    """
    wanted = wanted_metrics(metric)
    cluster = RayCluster.of(on) if isinstance(on, RayCluster) or is_cluster(on) else None
    place = None if on is None or isinstance(on, RayCluster) or cluster else find_place(on)
    several = _several(models)
    check_data(data)
    paths = [signature_file(open_model(m), signature) for m in several]
    read = [read_model(path) for path in paths]
    images, ends = image_options(image), (inputs_of(read[0], paths[0]), outputs_of(read[0]))
    dataset = open_data(data, image=images, inputs=ends[0], outputs=ends[1])
    indices = None
    if limit is not None and limit < len(dataset):
        indices, _ = split(dataset.classes(), len(dataset), limit, overlap=True)
    named = named_slices(slices)
    with tracked(progress) as tracker:
        steps, sliced = tracker.steps("evaluating"), slices_of(read[0], named)
        if cluster is not None:
            from tightfit.distributed.evaluation import Evaluated, evaluate_on  # noqa: PLC0415 - a cluster's

            chosen = sorted(range(len(dataset)) if indices is None else {int(i) for i in indices})
            asked = Evaluated(data, images, *ends, wanted, chosen, sliced)
            results = evaluate_on(cluster, paths, asked, dataset.notes, steps)
        else:
            runs = paths if place is None else [partial(place.open, path) for path in paths]
            results = evaluate_models(runs, dataset, indices, metric=wanted, progress=steps, slices=sliced)
        apart: list[PlaceDifference] = []
        if place is not None:
            few = sorted(range(len(dataset)) if indices is None else (int(i) for i in indices))[:_COMPARED]
            apart = [place_difference(path, place, dataset.samples(few)) for path in paths]
    return Evaluation(tuple(map(label_of, several)), tuple(results), tuple(apart))


_COMPARED: Final = 8
"""Samples whose outputs are compared between this computer and another place."""


def _several(models: ModelLike | Sequence[ModelLike]) -> list[ModelLike]:
    """Return a list of models; one model, also a (torch module, example inputs), is a list of one."""
    given: Any = models
    is_pair = isinstance(models, tuple) and len(models) == 2 and isinstance(models[1], tuple | list)
    several = list(given) if isinstance(models, list | tuple) and not is_pair else [given]
    if not several:
        raise OptionError(
            "Received no model; expected one or several, such as ['float.tflite', 'int8.tflite']."
        )
    return several


@dataclass(frozen=True, repr=False)
class Evaluation(Result, Sequence[Accuracy]):
    """The accuracy of one or several models on the same samples, as a sequence.

    Args:
        models: what they are called.
        results: one for each, the first is the reference.
        apart: how far the outputs of each are from this computer's, where they ran elsewhere; else empty.
    """

    models: tuple[str, ...]
    results: tuple[Accuracy, ...]
    apart: tuple[PlaceDifference, ...] = ()

    @property
    def path(self) -> Path:
        """The first model."""
        return Path(self.models[0])

    @property
    def usable(self) -> bool:
        """False where a model failed, or has an output that is of no use beside the first model's."""
        return not any(r.failure or any(lost_sentences(r.outputs)) for r in self.results)

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the labels and of where the models ran."""
        named = zip(self.models, self.apart, strict=False)
        return [*self.results[0].notes, *(f"{Path(m).name}: {d.sentence()}" for m, d in named)]

    @overload
    def __getitem__(self, index: int) -> Accuracy: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Accuracy]: ...
    def __getitem__(self, index: int | slice) -> Accuracy | Sequence[Accuracy]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, object]:
        """Return plain data: one entry a model, as ``tightfit evaluate --json`` prints it."""
        return {"models": self.rows()}

    def rows(self) -> list[dict[str, object]]:
        """Return plain data of each model, with ``on`` where it ran elsewhere."""
        named = zip(self.models, self.results, strict=True)
        rows = [{"path": path, **result.to_dict()} for path, result in named]
        if not self.apart:
            return rows
        return [row | {"on": apart.to_dict()} for row, apart in zip(rows, self.apart, strict=True)]

    def headline(self) -> str:
        """Return the metric of each model."""
        values = ", ".join("failed" if r.value is None else f"{r.value:.4g}" for r in self.results)
        return f"Evaluation({self.results[0].metric} {values}, {self.results[0].n} samples)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return one row a model."""
        titles = ("model", self.results[0].metric, "95 %", "change", "agreement")
        named = zip(self.models, self.results, strict=True)
        rows = [(Path(m).name, r.value, _span(r.low, r.high), r.change, r.agreement) for m, r in named]
        return titles, rows


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4g} … {high:.4g}"


@dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """What one file costs, and the machine that its latency was measured on.

    Args:
        path: the file, as it was named.
        latency: median and interval in ms, and the ratio to the first file, measured in turns.
        footprint: bytes on disk and compressed, and the peak memory of the process.
        machine: processor, system and versions; of the device where one measured.
        ops: time of each op, where it was asked for.
    """

    path: str
    latency: Latency
    footprint: Footprint
    machine: dict[str, object] = field(default_factory=machine)
    ops: tuple[OpTime, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Why there is no latency, where there is none."""
        return [self.latency.reason] if self.latency.reason else []

    def headline(self) -> str:
        """Return the latency and the size."""
        time = "no latency" if self.latency.median_ms is None else f"{self.latency.median_ms:.3g} ms"
        return f"Benchmark('{self.path}', {time}, {self.footprint.size_bytes:,} bytes)"

    def table(self) -> tuple[Sequence[str], Iterable[Row]]:
        """Return the measured values, or the time of each op."""
        if self.ops:
            return ("op", "kind", "ms"), [(op.name, op.kind, op.mean_ms) for op in self.ops]
        values = {**vars(self.latency), **vars(self.footprint)}
        return ("", ""), [(name, value) for name, value in values.items() if value is not None]


@verb()
def benchmark(  # noqa: PLR0913 - the options of one verb
    models: ModelLike | Sequence[ModelLike],
    *,
    threads: int = 1,
    rounds: int = 50,
    seconds: float = 30.0,
    on: Device | str | None = None,
    per_op: bool = False,
    signature: str | None = None,
) -> ResultList[Benchmark]:
    """Return interleaved latency, memory and sizes of each model; ratios are to the first.

    Args:
        models: one model or several (files or anything that ``load`` takes).
        threads: that LiteRT computes with.
        rounds: most rounds; each runs all models once.
        seconds: time limit of all rounds.
        on: measure latency on this device, ``ssh://user@host``, instead of here, or on the ``gpu`` of this
            computer. An emulator (``arm``) has no latency.
        per_op: also measure the time of each op here, by LiteRT's profiler.
        signature: the signature to run, where the models have several; sizes are those of the whole files.

    Returns:
        latency in ms, memory and sizes in bytes of each model; ratios are to the first.

    Raises:
        ModelError: a file cannot be read.
        RuntimeFailureError: the first model does not run, LiteRT cannot profile one, or the device cannot be
            reached.

    Example:
        ``tightfit.benchmark(["float.tflite", "int8.tflite"])``
    """
    check_timed(on)
    several = _several(models)
    files = [open_model(m) for m in several]
    paths = [signature_file(path, signature) for path in files]
    for path in paths:
        read_model(path)
    where, latencies = latencies_on(on, paths, threads=threads, rounds=rounds, seconds=seconds)
    named = zip(several, files, latencies, strict=True)
    ops = [tuple(profile_ops(p, threads=threads)) if per_op else () for p in paths]
    return ResultList(
        Benchmark(label_of(m), t, footprint(p), where, o) for (m, p, t), o in zip(named, ops, strict=True)
    )
