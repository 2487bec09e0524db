"""Writes files of a quantized source with the source's own scales, and compares them with its own answers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tightfit import targets
from tightfit.errors import OptionError
from tightfit.graph.ir import Model
from tightfit.pipeline.build_spec import BuildSpec
from tightfit.pipeline.quantization_result import QuantizationResult
from tightfit.pipeline.source import Source
from tightfit.pipeline.write import write_plan
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.calibrate import Probe
from tightfit.quantization.checking import own_probes
from tightfit.quantization.from_integers.start import demote, plan_from_start
from tightfit.quantization.plan import Plan
from tightfit.units import format_decibels

if TYPE_CHECKING:
    from tightfit.targets.profile import Target


_ROUNDS: Final = 3
"""An op that goes to float may bring its neighbours' conversions into sight."""


def build_with_own_scales(
    source: Source, spec: BuildSpec, output: Path, *, ends: str | None = None
) -> QuantizationResult:
    """Build a file of a quantized source without data: with its own scales where the integer type stays.

    Args:
        source: with ``start``.
        spec: the scheme, the layout and the target; the samples' fields are not used.
        output: the file to write.
        ends: type of inputs and outputs; None leaves those of the source, or what the target takes.

    Returns:
        The file; the notes say how its answers differ from the source's own.

    Raises:
        OptionError: the scheme needs ranges that the source has not, or an option needs data.
        RuntimeFailureError: LiteRT runs no form of the file.
    """
    assert source.start is not None  # noqa: S101 - the caller saw a quantized source
    if spec.overrides or spec.observers:
        raise OptionError(
            "Overrides and observers choose ranges on data, and a quantized source keeps its own; pass data, "
            "or leave them out."
        )
    device = spec.target
    only = spec.layout != "cpu" or (device is not None and not device.family.fallback)
    if ends is None and device is not None and spec.scheme.interface != "float32":
        ends = spec.scheme.interface
    plan = plan_from_start(source.model, source.start, spec.scheme, interface=ends, integer_only=only)
    if device is not None and plan.pinned:
        _keep_off(device, source.model, plan)
    probes = own_answers(source)
    adapt = None if device is None else partial(targets.rewrites_for, device)
    written = write_plan(source, plan, output, layout=spec.layout, probes=probes, adapt=adapt)
    said = [source.start.summary(), *source.notes, *written.notes, loss(written.snr_db, len(probes))]
    return replace(written, notes=said)


def own_answers(source: Source) -> list[Probe]:
    """Return noise within the source's input ranges, with what the quantized source itself answers.

    Args:
        source: with ``start``.
    """
    assert source.start is not None  # noqa: S101 - the caller saw a quantized source
    return own_probes(source.start.path, source.model, source.start.limits(source.model))


def loss(snr_db: float, count: int) -> str:
    """Return in a sentence how a file answers beside its quantized source.

    Example:
        >>> loss(math.inf, 2)
        "LiteRT gives the source's own answers to the bit, on 2 samples of noise within its input range"
    """
    samples = f"on {count} samples of noise within its input range"
    if math.isinf(snr_db):
        return f"LiteRT gives the source's own answers to the bit, {samples}"
    return f"Beside the source's own answers: {format_decibels(snr_db)}, {samples}"


def _keep_off(device: Target, model: Model, plan: Plan) -> None:
    """Puts ops that the target refuses back on float, where it has a fallback; the plan has the reason."""
    for _ in range(_ROUNDS if device.family.fallback else 0):
        verdict = targets.check(apply_plan(model, plan), device)
        refused = {
            p.name: f"for {device.name}: {p.reason}" for p in verdict.fallbacks if p.refuses and p.rule
        }
        if not refused or not demote(model, plan, refused):
            return
