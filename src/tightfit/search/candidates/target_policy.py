"""What a target means for a search: which recipes are tried, how files are made, and their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.data.sample import Sample
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.reader import read_model
from tightfit.quantization.scheme import Scheme, find_scheme
from tightfit.recovery.steps import RECOVERIES
from tightfit.search.candidates.candidate import Candidate, TargetVerdict
from tightfit.search.candidates.recipes import Recipe
from tightfit.search.verdict.budget import Budget
from tightfit.targets.placement import check
from tightfit.targets.places.float16 import float16_simulation
from tightfit.targets.profile import Target, find_target
from tightfit.targets.target_planning import interface_for, scheme_for
from tightfit.targets.tools.proof import Proof, judged, prove
from tightfit.targets.tools.tool_table import TOOLS, require_tool
from tightfit.targets.verdict import Placement, Verdict
from tightfit.units import format_percent, short_name

_MOST_REASONS = 8


class TargetPolicy:
    """One budget's target; without one every question has the plain answer."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.target = None if budget.target is None else find_target(budget.target)

    def recipes(self, recipes: Sequence[Recipe], named: Iterable[str]) -> tuple[Recipe, ...]:
        """The recipes that the target takes, with its types at the ends; others where the user named them."""
        if self.target is None:
            return tuple(recipes)
        device, kept = self.target, list[Recipe]()
        for recipe in recipes:
            if _takes(device, recipe) and recipe.interface == "float32":
                kept.append(replace(recipe, interface=interface_for(device, recipe.scheme)))
            elif recipe.name in named:
                kept.append(recipe)
        return tuple(kept)

    def refused(self, recipes: Sequence[Recipe], kept: Sequence[Recipe]) -> dict[str, list[str]]:
        """Return reason → names of the recipes that the target does not take."""
        if self.target is None:
            return {}
        names, title = {r.name for r in kept}, self.target.title
        found: dict[str, list[str]] = {}
        for recipe in recipes:
            if recipe.name not in names:
                fixed = _takes(self.target, recipe)
                reason = (
                    f"{title} fixes the types of inputs and outputs."
                    if fixed
                    else f"{title} does not take their scheme."
                )
                found.setdefault(reason, []).append(recipe.name)
        return found

    def layout(self, asked: str | None) -> str:
        """The layout that was asked for, else the target's."""
        return asked or ("cpu" if self.target is None else self.target.family.layout)

    def scheme(self, name: str, interface: str) -> Scheme:
        """The scheme as the target takes it, or plainly where it takes none of the kind."""
        if self.target is None or name not in self.target.family.schemes:
            return find_scheme(name, interface)
        return scheme_for(self.target, name, interface)

    def candidate(self, recipe: Recipe, layout: str | None) -> Candidate:
        """Return the candidate that a recipe is for, before anything is done.

        Args:
            recipe: its recipe.
            layout: that was asked for, or None.
        """
        wanted = self.scheme(recipe.scheme, recipe.interface)
        return Candidate(
            recipe.name,
            recipe.scheme,
            (wanted.summary,),
            interface=recipe.interface,
            layout=self.layout(layout),
        )

    def judge(self, candidate: Candidate, path: Path, samples: Iterable[Sample] = ()) -> Candidate:
        """Return a candidate with the target's verdict on its file.

        Args:
            candidate: the candidate.
            path: its file.
            samples: some that fit it, for a target that computes floats in float16.
        """
        if self.target is None:
            return candidate
        model = read_model(path)
        rules = check(model, self.target, memory_bytes=self.budget.target_memory)
        proof = prove(model, rules, in_search=True)
        verdict = self._verdict(judged(rules, proof), proof)
        if self.target.family.float16:
            verdict = _in_float16(verdict, path, samples)
        return replace(candidate, targets={**candidate.targets, self.target.name: verdict})

    def _verdict(self, verdict: Verdict, proof: Proof) -> TargetVerdict:
        reasons = [*self._against(verdict, proof), *_fallbacks(verdict)]
        return TargetVerdict(
            fits=not self._against(verdict, proof),
            accelerated=verdict.accelerated_share,
            latency_ms=(proof.result.latency_ms or None) if proof.result is not None else None,
            reasons=reasons[:_MOST_REASONS],
            memory_bytes=_memory(verdict, proof),
            tool=[*proof.lines(), *_judged_by(verdict, proof)],
            ops=[_op(p) for p in verdict.placements],
        )

    def _against(self, verdict: Verdict, proof: Proof) -> list[str]:
        """Why the target does not take the file as it is asked to."""
        found = []
        if verdict.refused:
            found.append(f"{verdict.target.title} refuses the file: {verdict.refused}")
        elif not verdict.runs:
            found.append(f"nothing runs {_first(verdict)}")
        elif not verdict.right:
            found.append(f"{verdict.target.title} computes wrong values: {_wrong(verdict)}")
        elif verdict.accelerated_share < self.budget.min_accelerated:
            share, least = (
                format_percent(v) for v in (verdict.accelerated_share, self.budget.min_accelerated)
            )
            found.append(f"{share} of its MACs are accelerated, the budget wants {least}: {_first(verdict)}")
        limit, needed = verdict.memory_limit, _memory(verdict, proof)
        if limit is not None and needed > limit:
            found.append(f"it needs {needed:,} bytes for {verdict.target.memory_holds}, there are {limit:,}")
        return found


def _in_float16(verdict: TargetVerdict, path: Path, samples: Iterable[Sample]) -> TargetVerdict:
    """Return a verdict with what float16 does to samples; a file that overflows does not fit."""
    try:
        found = float16_simulation(path, samples)
    except RuntimeFailureError:  # its accuracy fails as well, with this reason
        return verdict
    if not found.samples:
        return verdict
    said = found.sentence("samples of the data")
    if not found.overflows:
        return replace(verdict, tool=[*verdict.tool, said])
    return replace(verdict, fits=False, reasons=[said, *verdict.reasons][:_MOST_REASONS])


def _judged_by(verdict: Verdict, proof: Proof | None = None) -> list[str]:
    """A sentence where a tool could have judged and did not."""
    tool = TOOLS.get(verdict.target.family.tool)
    by_rules = tool is not None and tool.in_search and verdict.judge == "rules"
    if verdict.target.family.document and (proof is None or proof.result is None):
        return [f"This verdict is by document: {verdict.target.family.document}."]
    return ["This verdict is by rules."] if by_rules else []


def _wrong(verdict: Verdict) -> str:
    """The first op with wrong values, or the outputs that the tool saw to be wrong."""
    place = next((p for p in verdict.placements if p.wrong), None)
    if place is not None:
        return f"{place.kind} '{short_name(place.name)}' ({place.wrong})"
    return ", ".join(verdict.wrong_outputs)


def _takes(device: Target, recipe: Recipe) -> bool:
    """True when a target takes files of a recipe; some recoveries give ops 16-bit activations."""
    schemes = device.family.schemes
    if recipe.repairs > 1:
        return False  # ops in float are for a CPU
    widens = any(RECOVERIES[name].widens for name in recipe.recovery)
    return recipe.scheme in schemes and ("int16x8" in schemes or not widens)


def refuse_unknown(budget: Budget) -> None:
    """Checks the target's name before anything is opened.

    Raises:
        OptionError: there is no such target, its judge is missing, or a memory is given without one.
    """
    if budget.target is not None:
        require_tool(find_target(budget.target))
    elif budget.target_memory is not None:
        raise OptionError("Received --memory without --target; name the device that has the memory.")


def _memory(verdict: Verdict, proof: Proof) -> int:
    """What the tool measured where it did, else the least that the tensors need."""
    measured = 0 if proof.result is None else proof.result.memory_bytes
    return measured or verdict.needed_bytes


def _first(verdict: Verdict) -> str:
    """The fallback with the most multiply–accumulates, and why."""
    place = max(verdict.fallbacks, key=lambda p: p.macs)
    return f"{place.kind} '{short_name(place.name)}' ({place.reason})"


def _fallbacks(verdict: Verdict) -> list[str]:
    """The different reasons of the fallbacks, each with the first op that has it."""
    seen: dict[tuple[str, str], str] = {}
    for p in verdict.fallbacks:
        seen.setdefault((p.kind, p.rule), f"{p.kind} '{short_name(p.name)}' falls back: {p.reason}")
    return list(seen.values())


def _op(place: Placement) -> dict[str, Any]:
    plain: dict[str, Any] = {"op": place.name, "kind": place.kind, "macs": place.macs}
    plain["accelerated"] = place.accelerated
    return plain if place.accelerated else plain | {"reason": place.reason, "fix": place.fix}
