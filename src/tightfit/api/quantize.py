"""Writes one file by one scheme, with or without recoveries, for a target or for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tightfit import data as samples
from tightfit.api import parameters
from tightfit.api.parameters.arguments import Image, Size, image_options, parse_size
from tightfit.api.parameters.quantize_options import QuantizeOptions, as_names, observers_of
from tightfit.api.parameters.signature_data import data_by_signature, data_of_one
from tightfit.api.progress.tracking import ProgressLike, tracked
from tightfit.conversion.formats import is_model_name, swapped_scheme
from tightfit.conversion.held_models import label_of, temporary_place
from tightfit.conversion.scale_hints import may_be_quantized
from tightfit.data.images.image_options import ImageOptions
from tightfit.diagnosis import doctor as calibration_doctor
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.signature_models import entry_points, shared_weights, signature_model
from tightfit.kinds import DataLike, ModelLike, Pathlike
from tightfit.paths import check_paths
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.builder import Builder
from tightfit.pipeline.own_scales import build_with_own_scales
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.signature_files import build_by_signature, has_entry_points
from tightfit.pipeline.source import Source, open_source
from tightfit.pipeline.sparse_files import leave_zeros_out
from tightfit.pipeline.write import write_plan
from tightfit.provenance.record import KEY
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.checking import random_probes
from tightfit.quantization.exchange.read_recipe import QuantizerRecipe, read_recipe, recipe_of
from tightfit.quantization.planning import Overrides, make_plan
from tightfit.runtime.child.child_process import prepare_shared
from tightfit.runtime.child.process import worker_count
from tightfit.spoken import verb
from tightfit.streaming.slice_axes import NamedSlices, named_slices
from tightfit.types import Stage


@verb(interface="io", recovery="recover", overrides="override", observers="observer")
def quantize(  # noqa: PLR0913 - the options of one command
    model: ModelLike,
    scheme: str | Path | Sequence[Mapping[str, object]],
    output: Pathlike | None = None,
    *,
    data: DataLike | None = None,
    image: Image = None,
    io: str | None = None,
    target: str | None = None,
    calibration: int = 100,
    observer: str | Mapping[str, str] | None = None,
    override: Overrides = (),
    layout: str | None = None,
    recover: str | Sequence[str] = (),
    effort: int = 1,
    max_noise: float | None = None,
    max_size: Size = None,
    slices: str | Sequence[NamedSlices | str] = (),
    mend: bool = True,
    provenance: bool = True,
    doctor: bool = True,
    seed: int = 0,
    progress: ProgressLike = None,
) -> QuantizationResult:
    """Write one file by one scheme, checked on LiteRT against the float model, and return what it is.

    Args:
        model: a path, ``module:attribute``, bytes, or a Keras, torch or ONNX model.
        scheme: ``float16``, ``weight8``, ``weight4``, ``dynamic``, ``int8``, ``int16x8`` or ``int8x4``; or a
            recipe of litert-quantizer, as a ``.json`` file or its entries.
        output: the ``.tflite`` to write; None: one that lives as long as this process.
        data: calibration samples, needed by the integer schemes; of a file with several signatures a
            mapping from their keys to samples.
        image: how image files become arrays.
        io: type of the model's inputs and outputs; None for float32, or what the target takes.
        target: device that the file is for.
        calibration: samples to calibrate with.
        observer: how ranges follow from samples: one name, or integer type → name.
        override: (op name or kind, scheme or ``float``), in order.
        layout: ``cpu``, ``npu`` or ``micro``; None for the target's, else ``cpu``.
        recover: names of recoveries (docs/recoveries.md), also with commas between them.
        effort: 1 tries what gains accuracy in seconds, 2 also keeps more ops in float; 0 writes the scheme as
            it is.
        max_noise: largest output noise of mixed activations (noise power / signal power), 0 to 1.
        max_size: size limit of mixed precision, in bytes or as text such as ``"3.3MB"``.
        slices: slices of outputs that must each be kept, as ``"out=-1:0-4=boxes"``.
        mend: try remedies where a slice of an output is poor.
        provenance: store recipe, versions and expected outputs in the file.
        doctor: look at the calibration samples.
        seed: of the split.
        progress: see ``tightfit.Progress``.

    Returns:
        The file with its plan, its quality and notes.

    Raises:
        TightfitError: the model, the data or an option cannot be used; nothing was written then.

    Example:
        ``tightfit.quantize("model.tflite", "int8", "small.tflite", data="samples.npz")``
    """
    chosen = QuantizeOptions(
        interface=io,
        calibration=calibration,
        seed=seed,
        overrides=override,
        observers=observers_of(observer),
        layout=layout,
        recovery=as_names(recover),
        effort=effort,
        max_size=parse_size(max_size),
        max_noise=max_noise,
        target=target,
        provenance=provenance,
        doctor=doctor,
        mend=mend,
        slices=named_slices(slices),
    )
    if isinstance(scheme, str | Path) and is_model_name(scheme):
        raise OptionError(swapped_scheme(scheme))
    place = temporary_place(label_of(model)) if output is None else Path(output)
    given = _Given(model, data, image_options(image))
    recipe = _recipe(scheme)
    if recipe is None:
        with tracked(progress) as tracker:
            return _quantize(given, str(scheme), place, chosen, tracker.stages)
    with tracked(progress) as tracker:
        written = _quantize(given, recipe.scheme.name, place, _by_recipe(chosen, recipe), tracker.stages)
    return replace(written, notes=[*recipe.notes, *written.notes])


def _recipe(scheme: str | Path | Sequence[Mapping[str, object]]) -> QuantizerRecipe | None:
    """Return the recipe of a file or of entries; None for the name of a scheme."""
    if isinstance(scheme, str | Path):
        return read_recipe(Path(scheme)) if Path(scheme).suffix == ".json" else None
    return recipe_of(list(scheme))


def _by_recipe(chosen: QuantizeOptions, recipe: QuantizerRecipe) -> QuantizeOptions:
    """Return the options with a recipe's scheme and overrides; those of the caller come first."""
    return replace(
        chosen,
        base=recipe.scheme,
        overrides=(*chosen.overrides, *recipe.overrides),
        interface=chosen.interface or (None if chosen.target else recipe.interface),
    )


@dataclass(frozen=True)
class _Given:
    """What a caller passed: a model, samples, and how images are read."""

    model: ModelLike
    data: DataLike | None
    image: ImageOptions | None


def _quantize(
    given: _Given, scheme: str, output: Path, chosen: QuantizeOptions, stage: Stage
) -> QuantizationResult:
    """Open what was given and build the file, each signature of several by itself."""
    check_paths({"model": given.model, "data": given.data}, {"The output": output})
    wanted = chosen.scheme(scheme)
    spec = chosen.spec(wanted, output)
    if given.data is not None:
        samples.check_data(given.data)
    elif chosen.recovery or not may_be_quantized(given.model):
        spec.check_samples(given=False)
    prepare_shared(worker_count())
    source = open_source(given.model)
    source.facts = chosen.facts()
    ask = _Asked(spec, chosen, given.image, stage)
    if source.start is not None or not has_entry_points(source.model):
        made = _quantize_source(source, data_of_one(source.model, given.data), output, ask)
        return replace(made, notes=[*made.notes, *growth_note(source.path, output)])
    keyed = data_by_signature(source.model, given.data)
    parts = {key: signature_model(source.model, key)[0] for key in entry_points(source.model)}
    if shared_weights(parts) and (spec.is_automatic or spec.mends):
        source.notes.append(
            "Signatures share weights, which are stored once: no recovery changed the weights of one of them."
        )
        plain = replace(chosen, effort=0, mend=False)
        ask = replace(ask, spec=plain.spec(wanted, output), chosen=plain)

    def make(key: str, part: Source, file: Path) -> QuantizationResult:
        if key in keyed or not wanted.needs_data:
            return _quantize_source(part, keyed.get(key), file, ask)
        return _without_data(key, part, file, spec)

    written = build_by_signature(source, make, output)
    return replace(written, notes=[*source.notes, *written.notes, *growth_note(source.path, output)])


@dataclass(frozen=True)
class _Asked:
    """What is asked of each file of one call."""

    spec: BuildSpec
    chosen: QuantizeOptions
    image: ImageOptions | None
    stage: Stage


def _quantize_source(source: Source, data: DataLike | None, output: Path, ask: _Asked) -> QuantizationResult:
    """Build the file of an open source, look at the samples."""
    chosen, spec = ask.chosen, ask.spec
    found = None if data is None else parameters.CalibrationSamples.of(source, data, ask.image, chosen)
    if source.start is not None and found is None and not chosen.recovery:
        return build_with_own_scales(source, spec, output, ends=chosen.ends)
    spec.check_samples(given=found is not None)
    builder = Builder(source, None if found is None else found.samples, stage=ask.stage)
    written = builder.build(spec, output)
    if source.sparse:
        written.notes.extend(leave_zeros_out(output))
    if source.start is not None:
        first = [source.start.summary(), "Ranges of activations come from the data given."]
        written = replace(written, notes=[*first, *written.notes])
    if found is None or not chosen.doctor:
        return written
    assert builder.seen is not None  # noqa: S101 - samples were given
    checked = calibration_doctor.quick_check(source, found.log, builder.seen, written.notes)
    return replace(written, notes=[*checked, *written.notes])


def _without_data(key: str, source: Source, output: Path, spec: BuildSpec) -> QuantizationResult:
    """Write the file of a signature that has no data: integer weights, float ops."""
    plan = make_plan(source.model, spec.scheme, Ranges([]))
    probes = random_probes(source.path, source.model)
    written = write_plan(source, plan, output, layout=spec.layout, probes=probes)
    advice = f"No data for this signature, so its ops compute in float; pass --data {key}=DATA."
    return replace(written, notes=[advice, *written.notes])


def growth_note(source: Path, output: Path) -> list[str]:
    """Return a sentence where a file is larger than its source: its record and scales outweigh its weights.

    Args:
        source: the float file.
        output: the file made of it.
    """
    before, after = source.stat().st_size, output.stat().st_size
    if after <= before:
        return []
    record = len(read_model(output).metadata.get(KEY, b""))
    way = f"{record:,} bytes are its provenance (--no-provenance leaves it out)"
    why = f"the file is {after - before:,} bytes larger than its source, which has few weights to shrink"
    return [f"{why}; {way if record else 'keep the float file where size decides'}"]
