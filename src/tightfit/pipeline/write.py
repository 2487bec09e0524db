"""The one way to write a file: beside its place, checked on LiteRT, recorded, then renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightfit.errors import OptionError, RuntimeFailureError, unknown_name
from tightfit.evaluation.slices.model_slices import compare, slices_of
from tightfit.evaluation.slices.output_quality import headline, unfit_sentences
from tightfit.files import checked_write, refuse_input_as_output
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.signature_models import share_equal_constants
from tightfit.graph.signatures import main_signature, output_names
from tightfit.graph.versions.op_version import min_runtime_version
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.source import Source
from tightfit.provenance.probes import limits_of, output_steps
from tightfit.provenance.record import KEY, ProvenanceRecord, fill, grouped, reserve, source_facts, versions
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.checking import Check, check_file, snr_db
from tightfit.quantization.layouts import LAYOUTS, alternatives, lay_out
from tightfit.quantization.plan import Plan
from tightfit.streaming.slice_axes import Slices
from tightfit.units import format_decibels

Adapt = Callable[[Model], tuple[Model, list[str]]]
"""Rewrite a quantized model for a device; give it and what was done."""


# A layout computes the same integers on another path: rounding may differ by a step here and there, which
# costs a few dB against the float model; garbage costs tens.
_LAYOUT_LOSS_DB: Final = 6.0


_CLEARLY_RIGHT_DB: Final = 45.0


def _none_narrow(plan: Plan) -> list[str]:
    """A note where a scheme of 4-bit weights stores nothing in 4 bits."""
    stored = {s.dtype for op in plan.ops() for s in op.constants.values()}
    if plan.scheme.weights != "int4" or "int4" in stored:
        return []
    return [
        f"No weight is stored in 4 bits: {plan.scheme.name} keeps depthwise convolutions and tensors of "
        f"fewer than {plan.scheme.least_narrow:,} elements in 8 bits, and the model has no others."
    ]


def write_plan(  # noqa: PLR0913 - the options of one verb
    source: Source,
    plan: Plan,
    output: Path,
    *,
    layout: str = "cpu",
    probes: Sequence[Probe] = (),
    adapt: Adapt | None = None,
    slices: Slices | None = None,
) -> QuantizationResult:
    """Apply a plan and write the first form of the layout that LiteRT runs correctly.

    Args:
        source: the float model, with the facts for the provenance.
        plan: made for the source's model.
        output: the file to write.
        layout: a key of ``LAYOUTS``.
        probes: (inputs, float outputs) to check the file with.
        adapt: rewrites the quantized model for a device.
        slices: of the outputs; found by themselves by default.

    Returns:
        The file with its plan, layout and notes.

    Raises:
        OptionError: the layout is unknown, or the output is the source's file.
        ModelError: the output cannot be written.
        RuntimeFailureError: LiteRT runs none of the forms.
    """
    if layout not in LAYOUTS:
        raise OptionError(unknown_name("layout", layout, LAYOUTS))
    refuse_input_as_output(output, source.path)
    base, done = apply_plan(source.model, plan), list[str]()
    if adapt is not None:
        base, done = adapt(base)
    notes = [*plan.notes, *_none_narrow(plan), *done]
    for rewrites in alternatives(layout, pinned=plan.pinned):
        model = copy_model(base)
        changed = lay_out(model, rewrites)
        if rewrites and not changed:
            continue
        try:
            facts = provenance(source, plan, changed, notes)
            check = _write_form(model, base if changed else None, source, output, (probes, slices), facts)
        except RuntimeFailureError as error:
            if not changed:
                raise
            notes.append(f"layout {' + '.join(changed)} was given up: {error}")
            continue
        return QuantizationResult(output, plan, changed, check.snr_db, notes, check.quality)
    raise RuntimeFailureError(f"LiteRT ran no form of the layout '{layout}' of '{output.name}'.")


def write_float(
    model: Model,
    source: Source,
    output: Path,
    *,
    reference: Model | None = None,
    probes: Sequence[Probe] = (),
    notes: Sequence[str] = (),
) -> Check:
    """Write a float model, check it on LiteRT, and record its provenance.

    Args:
        model: left as it is.
        source: gives the facts for the provenance.
        output: the file to write.
        reference: the model that its outputs are compared with; the model itself by default.
        probes: (inputs, outputs of the reference) to check with.
        notes: steps for the provenance.

    Returns:
        The check, with the signal-to-noise against the reference.

    Raises:
        OptionError: the output is the source's file.
        ModelError: the output cannot be written.
        RuntimeFailureError: LiteRT does not run the model.
    """
    refuse_input_as_output(output, source.path)
    changed = copy_model(model)
    finish(changed)
    facts = provenance(source, None, {}, notes)
    with checked_write(output) as trial:
        return write_recorded(changed, trial, changed if reference is None else reference, probes, facts)


def provenance(
    source: Source, plan: Plan | None, layout: Mapping[str, int], notes: Sequence[str]
) -> dict[str, Any] | None:
    """Return what a file made of a source records about itself; None where provenance is left out."""
    if source.facts is None:
        return None
    steps = [*source.facts.get("steps", ()), *notes]
    facts = {"versions": versions(), "source": source_facts(source.path)} | source.facts | {"steps": steps}
    if plan is not None:
        reasons = [(p.kind, p.reason) for p in plan.refusals()]
        facts |= {"scheme": plan.scheme.name, "interface": plan.scheme.interface, "layout": dict(layout)}
        facts |= {"plan": plan.counts(), "left_in_float": grouped(reasons)}
    return facts


def _write_form(
    model: Model,
    base: Model | None,
    source: Source,
    output: Path,
    known: tuple[Sequence[Probe], Slices | None],
    facts: dict[str, Any] | None,
) -> Check:
    """Write one form of a layout and compare it with the plain form ``base`` where that is given."""
    finish(model)
    probes, slices = known
    with checked_write(output) as trial:
        check = write_recorded(model, trial, source.compared, probes, facts, slices)
        if base is not None and probes and check.snr_db < _CLEARLY_RIGHT_DB:
            _compare_with_base(check, base, source, trial.with_name("base.tflite"), probes)
        return check


def write_recorded(
    model: Model,
    path: Path,
    reference: Model,
    probes: Sequence[Probe],
    facts: dict[str, Any] | None,
    slices: Slices | None = None,
) -> Check:
    """Write a file, check it on LiteRT, and store its provenance and its answers to seeded probes in it.

    Args:
        model: finished (see ``finish``).
        path: a trial path (see ``files.checked_write``).
        reference: the model that the outputs are compared with.
        probes: (inputs, outputs of the reference).
        facts: see ``provenance``; None leaves provenance out.
        slices: of the reference's outputs; found by themselves by default.

    Returns:
        What the check measured.

    Raises:
        ModelError: it cannot be written.
        RuntimeFailureError: see ``check_file``.
    """
    mark = None if facts is None else reserve(model)
    write_model(model, path)
    limits = limits_of([inputs for inputs, _ in probes])
    check = check_file(path, reference, probes, seeded=None if mark is None else limits)
    quality = compare(reference, check.outputs, probes, slices_of(reference) if slices is None else slices)
    check = replace(check, quality=quality)
    if mark is not None and facts is not None:
        steps = output_steps(output_names(model))
        called = main_signature(model)
        key = None if called is None else called.key
        facts = facts | ({"quality": headline(quality)} if quality else {})
        unfit = unfit_sentences(quality)
        facts = facts | ({"unfit": unfit} if unfit else {})
        record = ProvenanceRecord(facts, limits, unreplayable=check.unanswered, signature=key)
        fill(model, path, mark, record, [{n: (v, steps.get(n)) for n, v in a.items()} for a in check.answers])
    return check


def _compare_with_base(
    check: Check, base: Model, source: Source, path: Path, probes: Sequence[Probe]
) -> None:
    finish(base)
    write_model(base, path)
    try:
        plain = check_file(path, source.compared, probes[:1])
    except RuntimeFailureError:
        return  # the plain layout does not even run
    loss = plain.snr_db - snr_db(check.outputs[0], probes[0][1])
    if loss > _LAYOUT_LOSS_DB:
        raise RuntimeFailureError(
            f"its signal-to-noise is {format_decibels(loss)} below that of the plain layout"
        )


def finish(model: Model) -> None:
    """Stamps the least runtime version that the file needs into its metadata; drops an older provenance."""
    model.metadata.pop(KEY, None)
    if len(model.graphs) > 1:
        share_equal_constants(model)  # the plan of each graph made integers of its own
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
