"""From a float file to the quantized file: read, clean, calibrate, plan, apply, lay out, write, check."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tightfit.convert.conversion import open_model
from tightfit.errors import ModelError, OptionError, RuntimeFailureError, unknown_name
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Array, Model
from tightfit.graph.passes.clean import clean
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import restore_sparse
from tightfit.graph.versions.op_version import min_runtime_version
from tightfit.graph.writer import write_model
from tightfit.provenance.probes import limits_of, output_steps
from tightfit.provenance.record import KEY, ProvenanceRecord, fill, grouped, reserve, source_facts, versions
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import (
    Calibration,
    Probe,
    calibrate,
    calibration_workers,
    input_names,
    main_signature,
    output_names,
)
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.checking import Check, check_file, random_probes, snr_db
from tightfit.quantization.layouts import LAYOUTS, lay_out
from tightfit.quantization.plan import Plan
from tightfit.quantization.planning import Overrides, check_overrides, make_plan, refuse_quantized
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.runtime.child import prepare

# A layout computes the same integers on another path: rounding may differ by a step here and there, which
# costs a few dB against the float model; garbage costs tens.
_TRIAL: Final = re.compile(r"\.tightfit-[^/\\]*[/\\]")
_LAYOUT_LOSS_DB: Final = 6.0
_CLEARLY_RIGHT_DB: Final = 45.0


@dataclass
class Source:
    """A float model ready to be quantized.

    Args:
        model: cleaned. notes: what the clean-up did.
        facts: what a file made of it says about its data, overrides and steps; None leaves provenance out.
    """

    path: Path
    model: Model
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] | None = field(default_factory=dict)


@dataclass
class Written:
    """A quantized file that LiteRT ran.

    Args:
        layout: the rewrites that changed something. snr_db: against the float model on the probes.
        notes: fallbacks and other things to know.
    """

    path: Path
    plan: Plan
    layout: dict[str, int]
    snr_db: float
    notes: list[str]


def open_source(path: str | Path) -> Source:
    """Reads and cleans a float ``.tflite``; a model of another framework is converted first.

    Sparse constants become dense ones.

    Raises:
        ModelError: it cannot be read, or is already quantized.
    """
    place = open_model(path)
    model = read_model(place)
    notes = [*restore_sparse(model), *clean(model)]
    refuse_quantized(model)
    return Source(place, model, notes)


def write_plan(
    source: Source,
    plan: Plan,
    output: Path,
    *,
    target: str = "cpu",
    probes: Sequence[Probe] = (),
    adapt: Callable[[Model], list[str]] | None = None,
) -> Written:
    """Applies a plan and writes the first layout of the target that LiteRT runs correctly.

    Args:
        adapt: changes the quantized model in place for a device, and says what it did.

    Raises:
        OptionError: unknown target, or the output is the source's file.
        ModelError: the output cannot be written. RuntimeFailureError: LiteRT runs none of the layouts.
    """
    _check_places(source.path, output, target)
    base = apply_plan(source.model, plan)
    notes = [*plan.notes, *(adapt(base) if adapt is not None else ())]
    for rewrites in LAYOUTS[target]:
        model = copy_model(base)
        changed = lay_out(model, rewrites)
        if rewrites and not changed:
            continue
        try:
            facts = provenance(source, plan, changed, notes)
            check = _write_checked(model, base if changed else None, source, output, probes, facts)
        except RuntimeFailureError as error:
            if not changed:
                raise
            notes.append(f"layout {' + '.join(changed)} was given up: {error}")
            continue
        return Written(output, plan, changed, check.snr_db, notes)
    raise RuntimeFailureError(f"LiteRT ran no layout of '{output.name}'.")


def _check_places(path: Path, output: Path, target: str) -> None:
    if target not in LAYOUTS:
        raise OptionError(unknown_name("layout", target, LAYOUTS))
    if output.resolve() == path.resolve():
        raise OptionError(
            f"The output '{output}' is the model itself, which is never changed; name another file."
        )


def provenance(
    source: Source, plan: Plan | None, layout: Mapping[str, int], notes: Sequence[str]
) -> dict[str, Any] | None:
    """Gives what a file made of a source says about itself, None where it is to say nothing."""
    if source.facts is None:
        return None
    steps = [*source.facts.get("steps", ()), *notes]
    facts = {"versions": versions(), "source": source_facts(source.path)} | source.facts | {"steps": steps}
    if plan is not None:
        reasons = [(p.kind, p.reason) for p in plan.refusals()]
        facts |= {"scheme": plan.scheme.name, "interface": plan.scheme.interface, "layout": dict(layout)}
        facts |= {"plan": plan.counts(), "left_in_float": grouped(reasons)}
    return facts


def _write_checked(
    model: Model,
    base: Model | None,
    source: Source,
    output: Path,
    probes: Sequence[Probe],
    facts: dict[str, Any] | None,
) -> Check:
    """Writes beside the output, checks, then renames: a file that fails its check never stands there."""
    finish(model)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".tightfit-") as folder:
            trial = Path(folder) / output.name
            check = write_recorded(model, trial, source.model, probes, facts)
            if base is not None and probes and check.snr_db < _CLEARLY_RIGHT_DB:
                _compare_with_base(check, base, source, Path(folder) / "base.tflite", probes)
            trial.replace(output)
    except OSError as error:
        raise ModelError(f"Cannot write '{output}': {error.strerror}. Choose a writable place.") from error
    except ModelError as error:
        # The user named the output, not the trial file beside it.
        raise ModelError(_TRIAL.sub("", str(error))) from error
    return check


def write_recorded(
    model: Model, path: Path, reference: Model, probes: Sequence[Probe], facts: dict[str, Any] | None
) -> Check:
    """Writes a file, checks it in LiteRT, and puts its provenance and its answers to seeded probes in.

    Args:
        reference: the float model. facts: see ``provenance``; None leaves provenance out.

    Raises:
        ModelError: it cannot be written. RuntimeFailureError: see ``check_file``.
    """
    mark = None if facts is None else reserve(model)
    write_model(model, path)
    limits = limits_of([inputs for inputs, _ in probes])
    check = check_file(path, reference, probes, seeded=None if mark is None else limits)
    if mark is not None and facts is not None:
        steps = output_steps(output_names(model))
        called = main_signature(model)
        key = None if called is None else called.key
        record = ProvenanceRecord(facts, limits, unreplayable=check.unanswered, signature=key)
        fill(model, path, mark, record, [{n: (v, steps.get(n)) for n, v in a.items()} for a in check.answers])
    return check


def _compare_with_base(
    check: Check, base: Model, source: Source, path: Path, probes: Sequence[Probe]
) -> None:
    finish(base)
    write_model(base, path)
    try:
        plain = check_file(path, source.model, probes[:1])
    except RuntimeFailureError:
        return  # the plain layout does not even run
    loss = plain.snr_db - snr_db(check.outputs[0], probes[0][1])
    if loss > _LAYOUT_LOSS_DB:
        raise RuntimeFailureError(f"its signal-to-noise is {loss:.1f} dB below that of the plain layout")


def finish(model: Model) -> None:
    """Stamps the least runtime version that the file needs into its metadata; drops an older provenance."""
    model.metadata.pop(KEY, None)
    stamp_version(model)


def stamp_version(model: Model) -> None:
    """Stamps the least runtime version that the file needs into its metadata.

    Raises:
        ModelError: the model is not consistent.
    """
    model.validate()
    version = min_runtime_version(model)
    if version:
        model.metadata["min_runtime_version"] = version.encode().ljust(16, b"\0")


def quantize_file(  # noqa: PLR0913 - the options of one verb
    path: str | Path | Source,
    scheme: Scheme | str,
    output: str | Path,
    samples: Iterable[Mapping[str, Array]] | None = None,
    *,
    overrides: Overrides = (),
    observers: Mapping[str, str] | None = None,
    target: str = "cpu",
) -> Written:
    """Quantizes one file by one scheme.

    Args:
        path: a float ``.tflite``, or one that ``open_source`` has read.
        scheme: a ``Scheme`` or its name.
        output: the file to write.
        samples: calibration inputs by name, read once; needed by int8 and int16x8.
        overrides: see ``make_plan``.
        observers: integer type → observer name.
        target: a key of ``LAYOUTS``.

    Raises:
        OptionError: samples are missing for a scheme that needs them, or an option is unknown.
        ModelError, DataError, QuantizationError, RuntimeFailureError: see the steps.
    """
    wanted = find_scheme(scheme) if isinstance(scheme, str) else scheme
    if wanted.needs_data and samples is None:
        raise OptionError(
            f"The scheme '{wanted.name}' needs sample inputs to calibrate with; "
            "pass data (about 100 samples)."
        )
    _check_places(path.path if isinstance(path, Source) else Path(path), Path(output), target)
    detailed = Ranges([], observers).detailed
    prepare(calibration_workers() if samples is not None else 1)
    source = path if isinstance(path, Source) else open_source(path)
    rules = check_overrides(source.model, overrides)
    seen = calibrate(source.model, samples, detailed=detailed) if samples is not None else None
    probes = seen.probes if seen else random_probes(source.path, source.model)
    prepare()  # the process that checks the file starts while the plan is made
    ranges = Ranges([seen.statistics] if seen else [], observers)
    plan = make_plan(source.model, wanted, ranges, overrides=rules)
    return write_plan(source, plan, Path(output), target=target, probes=probes)


__all__ = ["Calibration", "Source", "Written", "input_names", "open_source", "quantize_file", "write_plan"]
