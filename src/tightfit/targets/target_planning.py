"""What a target asks of a file that is made for it: scheme, types at the ends, scales, layout, op types.

``check`` judges what there is; this decides what is to be made. An op whose type the target does not take
gets another one by an override, so the reason is in the plan like every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from tightfit.errors import ModelError, OptionError, QuantizationError
from tightfit.graph.ir import Model
from tightfit.quantization.allowed import Allowed
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.modes import Override
from tightfit.quantization.plan import INTEGER
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.targets.fixes.apply_fixes import fix
from tightfit.targets.placement import check
from tightfit.targets.profile import Target
from tightfit.targets.verdict import Placement, Verdict

_INTEGERS: Final = ("int8", "int16x8")
_ACCELERATED: Final = 0.9
"""Share of the multiply–accumulates that a remedy must leave to the accelerator."""


def scheme_for(target: Target, name: str, interface: str | None = None) -> Scheme:
    """Return a scheme as the target takes it: integer ends and one scale where it wants them.

    Args:
        target: the device.
        name: of a scheme, such as ``int8``.
        interface: type of inputs and outputs; None for what leaves nothing to convert on the fallback.

    Raises:
        OptionError: the target takes no file of this scheme, or the scheme cannot have these ends.

    Example:
        >>> from tightfit.targets.profile import find_target
        >>> scheme_for(find_target("ethos-u55-128"), "int16x8").interface
        'int16'
    """
    scheme, family = find_scheme(name), target.family
    if name not in family.schemes:
        raise OptionError(
            f"The target '{target.name}' ({family.title}) takes {', '.join(family.schemes)}; received the "
            f"scheme '{name}', of which it accelerates nothing or refuses the file."
        )
    ends = interface or interface_for(target, name)
    return replace(scheme.with_interface(ends), one_scale=family.one_scale)


def interface_for(target: Target, name: str) -> str:
    """Return the type of inputs and outputs that leaves nothing to convert on the target's fallback."""
    activations = find_scheme(name).activations
    if target.family.interface == "float32" or activations is None:
        return "float32"
    return "int16" if activations == "int16" else target.family.interface


def overrides_for(
    target: Target, model: Model, scheme: Scheme, ranges: Ranges, given: Sequence[Override] = ()
) -> tuple[Override, ...]:
    """Return the overrides with which the target runs most of a model's plan; ``given`` ones come first.

    An op that falls back gets the target's other integer type where that is accelerated. An op that the
    target refuses, or that nothing runs, gets it too, or else stays float.
    """
    found = tuple(given)
    if scheme.compute != INTEGER:
        return found
    for other in (*_other_integers(target, scheme), "float"):
        verdict = _verdict(target, model, scheme, ranges, found)
        tried = {p.name: _override(p, other, target) for p in _changeable(verdict, model, other, found)}
        if not tried:
            continue
        after = _verdict(target, model, scheme, ranges, (*found, *tried.values()))
        kept = [o for name, o in tried.items() if _helps(after, name, refused=_must_change(verdict, name))]
        found = (*found, *kept)
    return found


def rewrites_for(target: Target, model: Model) -> tuple[Model, list[str]]:
    """Return a quantized model rewritten so that less falls back or is wrong, and what was done.

    Raises:
        QuantizationError: the target is strict, and would still refuse the file or compute wrong values.
    """
    try:
        fixed, applied = fix(model, target, ends=False)
    except ModelError:  # nothing falls back, or no rewrite is known
        fixed, applied = model, []
    if target.family.strict:
        _refuse_wrong(check(fixed, target))
    return fixed, [f"for {target.name}: {a.effect} ({len(a.ops)})" for a in applied]


def _refuse_wrong(verdict: Verdict) -> None:
    wrong = next((p for p in verdict.placements if p.wrong), None)
    if verdict.refused:
        raise QuantizationError(f"The target '{verdict.target.name}' refuses the file: {verdict.refused}.")
    if wrong is not None:
        raise QuantizationError(
            f"The target '{verdict.target.name}' computes wrong values for {wrong.kind} '{wrong.name}' "
            f"({wrong.wrong}), and no rewrite is known. {wrong.fix}"
        )


def allowed_on(target: Target, plain: Model) -> Allowed:
    """Return what remedies of outputs may use on a target.

    Args:
        target: the device.
        plain: the quantized model without remedies; what a remedy leaves to the fallback counts against it.
    """
    least = min(_ACCELERATED, check(plain, target).accelerated_share)

    def accepts(made: Model) -> bool:
        verdict = check(rewrites_for(target, made)[0], target)
        return verdict.runs and not verdict.refused and verdict.accelerated_share >= least

    integers = target.family.interface != "float32"
    return Allowed(1 - _ACCELERATED, "int16x8" in target.family.schemes, integers, accepts)


def _other_integers(target: Target, scheme: Scheme) -> Iterator[str]:
    return (n for n in _INTEGERS if n != scheme.name and n in target.family.schemes)


def _verdict(
    target: Target, model: Model, scheme: Scheme, ranges: Ranges, overrides: Sequence[Override]
) -> Verdict:
    return check(apply_plan(model, make_plan(model, scheme, ranges, overrides=overrides)), target)


def _changeable(verdict: Verdict, model: Model, other: str, given: Sequence[Override]) -> Iterator[Placement]:
    """The fallbacks that are ops of the float model under no override, and worth a try in another type."""
    kinds = {op.name: op for graph in model.graphs for op in graph.ops}
    for p in verdict.fallbacks:
        op = kinds.get(p.name)
        blameless = not p.rule  # it falls back because another op has the file refused
        if blameless or op is None or op.kind != p.kind or any(o.matches(op) for o in given):
            continue
        if other != "float" or _must_change(verdict, p.name):
            yield p


def _must_change(verdict: Verdict, name: str) -> bool:
    """True when the file does not run because of the op."""
    place = next((p for p in verdict.fallbacks if p.name == name), None)
    return place is not None and (place.refuses or not verdict.target.family.fallback)


def _helps(after: Verdict, name: str, *, refused: bool) -> bool:
    place = next((p for p in after.placements if p.name == name), None)
    if place is None or place.accelerated or (refused and not place.refuses and after.target.family.fallback):
        return True
    # Another op still has the whole file refused, which says nothing about this one.
    return bool(after.refused) and not place.refuses and not place.rule


def _override(place: Placement, scheme: str, target: Target) -> Override:
    # The name may hold the signs of a pattern.
    name = "".join(f"[{c}]" if c in "*?[" else c for c in place.name)
    return Override(name, scheme, f"for {target.name}: {place.reason}")
