"""Writes one file by one scheme, with or without recoveries, for a target or for none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tightfit.api.arguments import Image, image_options, parse_size
from tightfit.api.model_inputs import Pathlike, inputs_of
from tightfit.data.dataset import Dataset
from tightfit.data.images.image_options import ImageOptions
from tightfit.data.sources import open_data
from tightfit.data.split import split
from tightfit.diagnosis.doctor.notes import quick_check
from tightfit.diagnosis.doctor.sample_log import SampleLog
from tightfit.errors import DataError, OptionError, unknown_name
from tightfit.evaluation.slices.parts import NamedSlices
from tightfit.paths import check_paths
from tightfit.pipeline.builder import Builder, BuildSpec
from tightfit.pipeline.own_scales import build_with_own_scales
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.write import QuantizationResult
from tightfit.quantization.planning import Overrides
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.runtime.child.child_process import prepare_shared
from tightfit.runtime.child.process import worker_count
from tightfit.targets.profile import find_target
from tightfit.targets.target_planning import scheme_for
from tightfit.types import Array, Stage


def quantize(
    model: Pathlike,
    scheme: str,
    output: Pathlike,
    *,
    data: Any = None,
    image: Image = None,
    progress: Stage | None = None,
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
    check_paths({"model": model, "data": data}, {"The output": output})
    chosen = QuantizeOptions(**_renamed(options))
    wanted = chosen.scheme(scheme)
    spec = chosen.spec(wanted, Path(output))
    prepare_shared(worker_count())
    source = open_source(model)
    source.facts = chosen.facts()
    given = None if data is None else CalibrationSamples.of(source, model, data, image_options(image), chosen)
    if source.start is not None and given is None and not chosen.recovery:
        return build_with_own_scales(source, spec, Path(output), ends=chosen.ends)
    spec.check_samples(given=given is not None)
    builder = Builder(source, None if given is None else given.samples, stage=progress)
    written = builder.build(spec, Path(output))
    if source.start is not None:
        written.notes[:0] = [source.start.summary(), "Ranges of activations come from the data given."]
    if given is None or not chosen.doctor:
        return written
    assert builder.seen is not None  # noqa: S101 - samples were given
    checked = quick_check(source, given.log, builder.seen)
    return replace(written, notes=[*checked, *written.notes])


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with the command line's words (``io``, ``recover``, sizes as text) as the fields' own.

    Raises:
        OptionError: an option is unknown.
    """
    known = {f.name for f in fields(QuantizeOptions)}
    named = {{"io": "interface", "recover": "recovery"}.get(k, k): v for k, v in options.items()}
    for name in named:
        if name not in known:
            raise OptionError(unknown_name("option of quantize", name, known | {"data", "image", "progress"}))
    if isinstance(named.get("recovery"), str):
        named["recovery"] = tuple(filter(None, named["recovery"].split(",")))
    if "max_size" in named:
        named["max_size"] = parse_size(named["max_size"])
    return named


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
        cls, source: Source, model: Pathlike, data: Any, image: ImageOptions | None, chosen: QuantizeOptions
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
        recovery: names of ``recovery.steps.RECOVERIES``. max_size: bytes that mixed precision may fill.
        max_noise: share of the outputs' power that mixed activations may cost; None for 1 %.
        target: name of the device that the file is for. provenance: False leaves it out of the file.
        doctor: False says nothing about the data. mend: False tries no remedy for poor slices.
        slices: slices of outputs that the user named.
    """

    interface: str | None = None
    calibration: int = 100
    seed: int = 0
    overrides: Overrides = ()
    observers: Mapping[str, str] | None = None
    layout: str | None = None
    recovery: tuple[str, ...] = ()
    effort: int = 1
    max_size: int | None = None
    max_noise: float | None = None
    target: str | None = None
    provenance: bool = True
    doctor: bool = True
    mend: bool = True
    slices: tuple[NamedSlices, ...] = ()

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
    def ends(self) -> str | None:
        """The type of inputs and outputs that was asked for; None leaves it to the source and the target."""
        return self.interface

    def spec(self, scheme: Scheme, output: Path) -> BuildSpec:
        """Return what file is asked for; the layout is the target's where none is named."""
        target = None if self.target is None else find_target(self.target)
        own = "cpu" if target is None else target.family.layout
        return BuildSpec(
            scheme,
            overrides=self.overrides,
            observers=self.observers,
            recovery=self.recovery,
            effort=self.effort,
            target=target,
            layout=self.layout or own,
            max_size_bytes=self.max_size,
            max_noise=self.max_noise,
            folder=output.with_name(f"{output.name}.unfinished"),
            mend=self.mend and self.effort > 0,
            slices=self.slices,
        )


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
