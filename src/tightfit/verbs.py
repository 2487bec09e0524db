"""The library's verbs, one for each command: they put the parts together and print nothing.

Example:
    >>> import tightfit
    >>> {"benchmark", "evaluate", "inspect", "optimize", "quantize"} <= set(tightfit.__all__)
    True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tightfit.convert.conversion import load, open_model
from tightfit.data.dataset import Dataset
from tightfit.data.image_options import ImageOptions
from tightfit.data.sample_log import SampleLog
from tightfit.data.samples import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.errors import DataError, ModelError, OptionError
from tightfit.evaluation.accuracy import Accuracy
from tightfit.evaluation.accuracy import evaluate as evaluate_models
from tightfit.evaluation.device import Device, latency_on
from tightfit.evaluation.footprint import Footprint, footprint
from tightfit.evaluation.glance import glance
from tightfit.evaluation.latency import Latency, compare_latency
from tightfit.evaluation.machine import machine
from tightfit.graph.inspect import summary
from tightfit.graph.ir import Array, Model
from tightfit.graph.reader import read_model
from tightfit.quantization.calibration import calibrate, calibration_workers, input_names
from tightfit.quantization.pipeline import Source, Written, open_source, quantize_file, write_plan
from tightfit.quantization.planning import Overrides, check_overrides, make_plan
from tightfit.quantization.ranges import Ranges
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.recovery.steps import Work, recover
from tightfit.report.collecting import report_of, write_report
from tightfit.report.report import Report
from tightfit.runtime.child import prepare
from tightfit.search.job import Job, Listener, Outcome
from tightfit.search.run import optimize as search
from tightfit.targets.fitting import overrides_for, rewrites_for, scheme_for
from tightfit.targets.profile import find_target

Pathlike = str | Path
Steps = Callable[[int, int], None]


class Quiet:
    """A listener that hears nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignores a stage."""

    def advance(self, done: int, total: int) -> None:
        """Ignores a step."""

    def found(self, outcome: Outcome) -> None:
        """Ignores a result."""


class _Reporting:
    """Writes the report after each candidate, then passes everything on."""

    def __init__(self, inner: Listener) -> None:
        self.inner = inner

    def stage(self, name: str, total: int) -> None:
        self.inner.stage(name, total)

    def advance(self, done: int, total: int) -> None:
        self.inner.advance(done, total)

    def found(self, outcome: Outcome) -> None:
        write_report(report_of(outcome), outcome.job.output)
        self.inner.found(outcome)


def optimize(job: Job, listener: Listener | None = None) -> Report:
    """Tries every scheme, measures, chooses; writes best.tflite, candidates/, report.json and report.html.

    Args:
        job: the model, the data, the budget and the folder.
        listener: hears the progress.

    Raises:
        TightfitError: the model or the data cannot be used; nothing was written then.
    """
    job = replace(job, model=open_model(job.model))
    return report_of(search(job, _Reporting(listener or Quiet())))


def quantize(
    model: Pathlike,
    scheme: str,
    output: Pathlike,
    *,
    data: str | None = None,
    image: ImageOptions | None = None,
    **options: Any,
) -> Written:
    """Writes one file by one scheme, checked on LiteRT against the float model.

    Args:
        data: calibration samples; needed by int8 and int16x8.
        options: ``QuantizeOptions``' fields.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    chosen = QuantizeOptions(**options)
    wanted = chosen.scheme(scheme)
    prepare(calibration_workers() if data is not None else 1)
    source = open_source(model)
    source.facts = chosen.facts()
    samples: Callable[[], Iterator[Mapping[str, Array]]] | None = None
    if data is not None:
        dataset = open_data(data, image=image, inputs=inputs_of(source.model, model))
        if len(dataset) < 2:
            raise DataError(
                f"The data has {len(dataset)} sample; ranges seen on it say nothing about others. Give at "
                "least 20, better 100."
            )
        labels = dataset.labels()
        count = min(chosen.calibration, len(dataset))
        indices = None
        if count < len(dataset):
            indices, _ = split(labels, len(dataset), count, seed=chosen.seed, overlap=True)
        if source.facts is not None:
            source.facts["data"] = data_facts(dataset, count, chosen.seed)

        log = SampleLog()

        def samples() -> Iterator[Mapping[str, Array]]:
            given = dataset.samples(indices)
            return (s.inputs for s in (given if log.samples else log.watch(given)))

    if chosen.recovery or (chosen.target and samples):
        written = quantize_recovered(source, wanted, Path(output), samples, chosen)
    else:
        written = quantize_file(
            source,
            wanted,
            output,
            samples() if samples else None,
            overrides=chosen.overrides,
            observers=chosen.observers,
            target=chosen.laid_out,
        )
    if not (data is not None and chosen.doctor):
        return written
    return replace(written, notes=[*glance(source, dataset, indices, log), *written.notes])


@dataclass(frozen=True)
class QuantizeOptions:
    """What ``quantize`` takes besides model, scheme and data.

    Args:
        interface: type of the model's inputs and outputs; None for float32, or what the target takes.
        calibration: samples to calibrate with.
        overrides: ordered (op name or kind, scheme or ``float``). observers: integer type → observer.
        layout: ``cpu``, ``npu`` or ``micro``; None for ``cpu``, or the target's.
        recovery: names of ``recovery.steps.STEPS``. max_size: bytes that mixed precision may fill.
        max_noise: share of the outputs' power that mixed activations may cost; None for 1 %.
        target: name of the device that the file is for. provenance: False leaves it out of the file.
        doctor: False says nothing about the data.
    """

    interface: str | None = None
    calibration: int = 100
    seed: int = 0
    overrides: Overrides = ()
    observers: Mapping[str, str] | None = None
    layout: str | None = None
    recovery: tuple[str, ...] = ()
    max_size: int | None = None
    max_noise: float | None = None
    target: str | None = None
    provenance: bool = True
    doctor: bool = True

    def facts(self) -> dict[str, Any] | None:
        """What the file says about the options that it was made with."""
        if not self.provenance:
            return None
        rules = [list(o) if isinstance(o, tuple) else [o.pattern, o.scheme] for o in self.overrides]
        chosen = {"target": self.target, "observers": dict(self.observers or {})}
        return {"overrides": rules, "recovery": list(self.recovery)} | {k: v for k, v in chosen.items() if v}

    def scheme(self, name: str) -> Scheme:
        """The scheme of a name with the types at the ends, as the target takes it."""
        if self.target is None:
            return find_scheme(name, self.interface or "float32")
        return scheme_for(find_target(self.target), name, self.interface)

    @property
    def laid_out(self) -> str:
        """The layout that was asked for, else the target's."""
        own = "cpu" if self.target is None else find_target(self.target).family.layout
        return self.layout or own


def quantize_recovered(
    source: Source,
    scheme: Scheme,
    output: Path,
    samples: Callable[[], Iterator[Mapping[str, Array]]] | None,
    options: QuantizeOptions,
) -> Written:
    """Writes one file by one scheme after recoveries, and as a target takes it; the notes say what was done.

    Raises:
        OptionError: there are no samples, or a recovery is unknown. TightfitError: see ``quantize``.
    """
    if samples is None:
        raise OptionError(
            f"Recovery ({', '.join(options.recovery)}) looks at samples; pass data (about 100)."
        )
    rules = check_overrides(source.model, options.overrides)
    seen = calibrate(source.model, samples())
    ranges, adapt = Ranges([seen.statistics], options.observers), None
    if options.target is not None:
        device = find_target(options.target)
        rules, adapt = (
            overrides_for(device, source.model, scheme, ranges, rules),
            partial(rewrites_for, device),
        )
    plan = make_plan(source.model, scheme, ranges, overrides=rules)
    work = Work(source.model, plan, ranges, samples, source.path.stat().st_size, options.max_size)
    work.noise = options.max_noise or work.noise
    work.overrides = rules
    recover(work, options.recovery)
    recovered = replace(source, model=work.model)
    if source.facts is not None:
        recovered.facts = {**source.facts, "steps": work.notes}
    written = write_plan(
        recovered, work.plan, output, target=options.laid_out, probes=seen.probes, adapt=adapt
    )
    return replace(written, notes=[*work.notes, *written.notes])


def data_facts(dataset: Dataset, calibration: int, seed: int) -> dict[str, Any]:
    """Gives what a file says about the data that it was calibrated with: what tells it apart, no sample."""
    known = dataset.describe()
    return {
        "name": known["name"],
        "count": known["count"],
        "calibration_samples": calibration,
        "seed": seed,
        "fingerprint": dataset.fingerprint(),
    }


def evaluate(
    models: Sequence[Pathlike],
    data: str,
    *,
    image: ImageOptions | None = None,
    metric: str = "auto",
    limit: int | None = None,
    progress: Steps | None = None,
) -> list[Accuracy]:
    """Gives the accuracy of each model on the data, with the paired drop from the first.

    Raises:
        TightfitError: the data does not fit the first model, or that one fails.
    """
    paths = [open_model(m) for m in models]
    for path in paths:
        read_model(path)
    dataset = open_data(data, image=image, inputs=model_inputs(paths[0]))
    indices = None
    if limit is not None and limit < len(dataset):
        indices, _ = split(dataset.labels(), len(dataset), limit, overlap=True)
    return evaluate_models(paths, dataset, indices, metric=metric, threads=2, progress=progress)


@dataclass(frozen=True)
class Benchmark:
    """What one file costs, and the machine that its latency was measured on."""

    path: str
    latency: Latency
    footprint: Footprint
    machine: dict[str, Any] = field(default_factory=machine)


def benchmark(
    models: Sequence[Pathlike],
    *,
    threads: int = 1,
    rounds: int = 50,
    seconds: float = 30.0,
    on: Device | None = None,
) -> list[Benchmark]:
    """Gives interleaved latency, memory and sizes of each model; ratios are to the first.

    Args:
        on: measure latency on this device instead of here.

    Raises:
        ModelError: a file cannot be read. RuntimeFailureError: the first model does not run, or the device
            cannot be reached.
    """
    paths = [open_model(m) for m in models]
    for path in paths:
        read_model(path)
    where = machine()
    if on is None:
        latencies = compare_latency(paths, threads=threads, rounds=rounds, budget_s=seconds)
    else:
        where, latencies = latency_on(on, paths, threads=threads, rounds=rounds, seconds=seconds)
    named = zip(models, paths, latencies, strict=True)
    return [Benchmark(str(m), t, footprint(p), where) for m, p, t in named]


def inspect(model: Pathlike) -> dict[str, Any]:
    """Gives what a model is: inputs, outputs, ops, parameters, MACs, how it is quantized.

    Raises:
        ModelError: the file cannot be read.
    """
    return summary(read_model(open_model(model)))


def model_inputs(path: Pathlike) -> list[InputSpec]:
    """Gives the inputs of a model as the data must fit them; integer inputs are fed from reals.

    Raises:
        ModelError: the file cannot be read, or has no input.
    """
    return inputs_of(read_model(open_model(path)), path)


def inputs_of(model: Model, path: Pathlike) -> list[InputSpec]:
    """Gives the inputs of a model that was read from a path; see ``model_inputs``."""
    named = input_names(model)
    if not named:
        raise ModelError(f"'{path}' has no input, so no data can be run through it.")
    specs = []
    for name, tensor in named.items():
        q = tensor.quantization if tensor.is_quantized else None
        scale = None if q is None else float(q.scale[0])
        zero_point = None if q is None else int(q.zero_point[0])
        specs.append(InputSpec(name, tensor.shape_signature or tensor.shape, tensor.dtype, scale, zero_point))
    return specs


__all__ = ["benchmark", "evaluate", "inspect", "load", "machine", "open_source", "optimize", "quantize"]
