"""Writes one file by one scheme, with or without recoveries, for a target or for none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tightfit.api.model_inputs import Pathlike, inputs_of
from tightfit.data.dataset import Dataset
from tightfit.data.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.doctor.notes import quick_check
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import DataError, OptionError
from tightfit.graph.ir import Array
from tightfit.pipeline.quantize_file import QuantizationResult, Source, open_source, quantize_file, write_plan
from tightfit.quantization.calibration.calibrate import calibrate, calibration_workers
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import Overrides, check_overrides, make_plan
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.recovery.state import Progress
from tightfit.recovery.steps import RecoveryState, recover
from tightfit.runtime.child import prepare
from tightfit.targets.profile import find_target
from tightfit.targets.target_planning import overrides_for, rewrites_for, scheme_for


def quantize(
    model: Pathlike,
    scheme: str,
    output: Pathlike,
    *,
    data: str | None = None,
    image: ImageOptions | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> QuantizationResult:
    """Writes one file by one scheme, checked on LiteRT against the float model.

    Args:
        data: calibration samples; needed by int8 and int16x8.
        progress: hears what a recovery does: (what, done, of), of 0 where that is not known.
        options: ``QuantizeOptions``' fields.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.
    """
    chosen = QuantizeOptions(**options)
    wanted = chosen.scheme(scheme)
    prepare(calibration_workers() if data is not None else 1)
    source = open_source(model)
    source.facts = chosen.facts()
    given = None if data is None else CalibrationSamples.of(source, model, data, image, chosen)
    samples = None if given is None else given.samples
    if chosen.recovery or (chosen.target and samples):
        written = quantize_recovered(source, wanted, Path(output), samples, chosen, progress)
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
    if given is None or not chosen.doctor:
        return written
    return replace(
        written, notes=[*quick_check(source, given.dataset, given.indices, given.log), *written.notes]
    )


@dataclass
class CalibrationSamples:
    """The samples that ranges are seen on; what the doctor looks at is kept on the first pass.

    Args:
        indices: which samples of the data set; None for all.
    """

    dataset: Dataset
    indices: Array | None
    log: SampleLog = field(default_factory=SampleLog)

    @classmethod
    def of(
        cls, source: Source, model: Pathlike, data: str, image: ImageOptions | None, chosen: QuantizeOptions
    ) -> CalibrationSamples:
        """Opens the data, chooses samples; the source notes which data it was.

        Raises:
            DataError: the data cannot be read, or has one sample.
        """
        dataset = open_data(data, image=image, inputs=inputs_of(source.model, model))
        if len(dataset) < 2:
            raise DataError(
                f"The data has {len(dataset)} sample; ranges seen on it say nothing about others. Give at "
                "least 20, better 100."
            )
        count = min(chosen.calibration, len(dataset))
        indices = None
        if count < len(dataset):
            indices, _ = split(dataset.labels(), len(dataset), count, seed=chosen.seed, overlap=True)
        if source.facts is not None:
            source.facts["data"] = data_facts(dataset, count, chosen.seed)
        return cls(dataset, indices)

    def samples(self) -> Iterator[Mapping[str, Array]]:
        """Inputs, one sample after another; may be called again."""
        given = self.dataset.samples(self.indices)
        return (s.inputs for s in (given if self.log.samples else self.log.watch(given)))


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
    progress: Progress | None = None,
) -> QuantizationResult:
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
    work = RecoveryState(source.model, plan, ranges, samples, source.path.stat().st_size, options.max_size)
    work.noise = options.max_noise or work.noise
    work.overrides = rules
    work.progress = progress
    work.folder = output.with_name(f"{output.name}.unfinished")
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
