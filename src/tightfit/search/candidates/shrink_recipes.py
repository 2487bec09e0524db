"""Smaller models as candidates: what is taken out of a model before its weights are stored, and when not.

A file that meets the budget without is always preferred: what is here loses more than storing weights in
fewer bits does. So it is tried for a size, a packed size, a latency or a memory that nothing else meets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tightfit.compression.channels.channel_pruning import ChannelBudget, ChannelPruner
from tightfit.compression.clustering import Clusters, cluster_weights
from tightfit.compression.sparsity.pruning import Pruning, prune_weights
from tightfit.compression.sparsity.xnnpack_rewrites import make_eligible
from tightfit.data.cached_samples import remembered
from tightfit.evaluation.machine import machine
from tightfit.graph.ir import Model
from tightfit.pipeline.sparse_files import leave_zeros_out
from tightfit.quantization.scheme import find_scheme
from tightfit.recovery.state import RecoveryState
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import Recipe, Shrink, recipes
from tightfit.search.effort import Effort, Skip
from tightfit.search.verdict.budget import Budget
from tightfit.targets.profile import Target
from tightfit.units import format_bytes, format_percent

NO_GAIN: Final = "No gain on this target: "
_SKIPS: Final = "XNNPACK skips zeros on ARM and on x86 without AVX"


@dataclass
class Pruners:
    """The channels of a model, ranked once for all shares."""

    last: ChannelPruner | None = None

    def of(self, work: RecoveryState) -> ChannelPruner:
        """Return what prunes the work's model."""
        if self.last is None or self.last.model is not work.original:
            self.last = ChannelPruner(work.original, samples=remembered(work.samples), stage=work.progress)
        return self.last


class Changed(NamedTuple):
    """A smaller float model.

    Args:
        model: it.
        steps: what was done, in plain words.
        replan: True where ranges and plan are to be made anew.
        mirrored: True where its images are flipped, so that no layer compares with the original's.
    """

    model: Model
    steps: list[str]
    replan: bool = True
    mirrored: bool = False


@dataclass(frozen=True)
class Way:
    """One way to a smaller model.

    Args:
        change: makes it, from the work, the amount, the layout and what other amounts left to use again.
        serves: limits of the budget that it helps to meet.
        op: what a target must run, or "".
        depends: True where the result depends on the plan.
        training: the command that brings accuracy back.
    """

    change: Callable[[RecoveryState, float, str, Pruners], Changed]
    serves: tuple[str, ...]
    training: str
    op: str = ""
    depends: bool = False


def _clusters(work: RecoveryState, count: float, layout: str, pruners: Pruners) -> Changed:  # noqa: ARG001 - a way
    """Shared values on the plan's own grid, which has to stay."""
    found = cluster_weights(work.original, Clusters(int(count)), work.plan)
    step = f"the weights of each tensor share {count:.0f} values: as large on disk, smaller packed"
    return Changed(found.model, [step], replan=False)


def _zeros(work: RecoveryState, share: float, layout: str, pruners: Pruners) -> Changed:  # noqa: ARG001 - a way
    """Zeros that the samples miss least, the other weights fitted to make up for them."""
    pruned = prune_weights(
        work.original, Pruning(share), work.layer_moments(), work.stage_progress("pruning")
    )
    steps = [
        f"{format_percent(share, 0)} of the weights of each large layer are zero, the others fitted "
        "to the samples"
    ]
    if layout != "cpu" or work.plan.scheme.compute != "float":
        return Changed(pruned.model, steps)
    eligible = make_eligible(pruned.model)
    return Changed(eligible.model, [*steps, eligible.sentence()], mirrored=eligible.mirrored)


def _channels(work: RecoveryState, share: float, layout: str, pruners: Pruners) -> Changed:  # noqa: ARG001 - a way
    """A dense model with fewer channels, its layers fitted to what they gave."""
    done = pruners.of(work).prune(ChannelBudget(macs=share))
    step = f"channels pruned to {done.macs_after / max(done.macs_before, 1):.2f} of the MACs, layers fitted"
    return Changed(done.model, [step, *(n for n in done.notes if n.startswith("The budget"))])


_TRAIN: Final = "tightfit finetune MODEL{scheme} --{what} {amount:g} --data DATA -o OUT.tflite"
_TRAIN_SMALL: Final = (
    "tightfit prune MODEL --pattern channel --macs {amount:g} --data DATA -o SMALL.tflite && "
    "tightfit finetune SMALL.tflite --teacher MODEL{scheme} --epochs 12 --data DATA -o OUT.tflite"
)

WAYS: Final[dict[str, Way]] = {
    "clusters": Way(_clusters, ("max_zip",), _TRAIN.replace("{what}", "clusters"), depends=True),
    "zeros": Way(
        _zeros,
        ("max_size", "max_zip", "max_latency", "max_latency_ratio"),
        _TRAIN.replace("{what}", "sparsity"),
        "DENSIFY",
    ),
    "channels": Way(
        _channels,
        ("max_size", "max_zip", "max_latency", "max_latency_ratio", "target_memory"),
        _TRAIN_SMALL,
    ),
}


@dataclass
class Shrinker:
    """The smaller models of one search; each is made once for all schemes.

    Args:
        target: that the files are for, or None.
        made: what was made.
        pruners: what is known of the channels.
    """

    target: Target | None
    made: dict[tuple[Shrink, str], Changed] = field(default_factory=dict)
    pruners: Pruners = field(default_factory=Pruners)

    def shrink(self, work: RecoveryState, wanted: Shrink, layout: str) -> Changed:
        """Lets the work go on with a smaller model.

        Raises:
            TightfitError: the model has nothing of the kind to take out, or cannot run.
        """
        way = WAYS[wanted.way]
        key = (wanted, work.plan.scheme.compute if way.op else "")
        changed = None if way.depends else self.made.get(key)
        if changed is None:
            changed = way.change(work, wanted.amount, layout, self.pruners)
        if not way.depends:
            self.made[key] = changed
        if changed.replan:
            work.adopt(changed.model)
        else:
            work.original = work.model = changed.model
        work.notes += changed.steps
        return changed

    def store(self, wanted: Shrink, path: Path) -> list[str]:
        """Leaves the zeros of a written file out where that makes it smaller; gives what was done."""
        op = WAYS[wanted.way].op
        if not op:
            return []
        if self.target is not None and op not in self.target.family.ops:
            return [f"stored densely: {self.target.title} does not run {op}"]
        return leave_zeros_out(path)


def refusal(
    recipe: Recipe, effort: Effort, budget: Budget, made: Sequence[Candidate], target: Target | None = None
) -> Skip | None:
    """Return why a recipe that shrinks is not tried, None to try it.

    Args:
        recipe: one with ``shrink``.
        effort: of the search.
        budget: its limits.
        made: the candidates so far, judged.
        target: the budget's, or None.
    """
    assert recipe.shrink is not None  # noqa: S101 - the caller's condition
    way = WAYS[recipe.shrink.way]
    if target is not None and way.op and way.op not in target.family.ops:
        return Skip(
            f"{target.title} does not run {way.op}, without which zeros take as many bytes as other weights."
        )
    if _loses_already(recipe, budget, made):
        return Skip("A model from which less was taken loses more than the budget allows.")
    return _unasked(recipe.shrink, effort, budget, made)


def _unasked(shrink: Shrink, effort: Effort, budget: Budget, made: Sequence[Candidate]) -> Skip | None:
    """Why the budget does not call for a smaller model; None where it does."""
    asked = {limit for limit in WAYS[shrink.way].serves if getattr(budget, limit) is not None}
    # It takes minutes: even a thorough search leaves a model whole that no limit asks to be smaller.
    fits = any(c.meets_budget or (c.meets_budget is None and budget.may_meet(c)) for c in made)
    if not asked:
        return Skip("No limit of the budget asks for a smaller model.", is_noted=False)
    if fits and not effort.exhaustive:
        return Skip("A file meets the budget with the whole model.", is_noted=False)
    if not effort.shrinks:
        return Skip("It takes minutes; --effort normal tries it.")
    if shrink.way == "zeros" and not asked & {"max_size", "max_zip"} and _has_avx():
        return Skip(f"{NO_GAIN}{_SKIPS}, and this machine has AVX.")
    return None


def _loses_already(recipe: Recipe, budget: Budget, made: Sequence[Candidate]) -> bool:
    """True when the same scheme lost too much with less taken out: more taken out loses more."""
    shrink = recipe.shrink
    assert shrink is not None  # noqa: S101 - the caller's condition
    lighter = _lighter(shrink, recipe.scheme)
    drop = budget.only_drop()
    return any(c.name in lighter and not c.failure and drop.shortfalls(c) for c in made)


def _lighter(shrink: Shrink, scheme: str) -> list[str]:
    """The recipes of the same way and scheme that take less out of the model."""
    sign = 1 if shrink.way == "zeros" else -1
    same = [(r.name, r.shrink) for r in recipes() if r.shrink is not None and r.scheme == scheme]
    return [n for n, o in same if o.way == shrink.way and sign * o.amount < sign * shrink.amount]


def _has_avx() -> bool:
    return "avx" in machine()["flags"]


def with_shrink_gain(candidate: Candidate, wanted: Shrink, plain: Candidate | None) -> Candidate:
    """Return a measured candidate with steps on what it gains beside its plain twin, and where nothing."""
    if candidate.failure is not None:
        return candidate
    if plain is not None and plain.size_bytes is not None and not plain.failure:
        candidate = candidate.with_step(
            f"beside {plain.name}: {format_bytes(candidate.size_bytes)} instead of "
            f"{format_bytes(plain.size_bytes)}, packed {format_bytes(candidate.compressed_bytes.get('zip'))} "
            f"instead of {format_bytes(plain.compressed_bytes.get('zip'))}"
        )
    interval = candidate.latency_interval
    if interval is not None and interval[1] >= 1:
        why = f"; {_SKIPS}" if wanted.way == "zeros" else ""
        candidate = candidate.with_step(
            f"{NO_GAIN}the latency on this machine is not significantly below the original's{why}."
        )
    return candidate


def training_notes(recipes: Sequence[Recipe], made: Sequence[Candidate], budget: Budget) -> list[str]:
    """Return the commands that train smaller models, for those that lost too much where nothing fits."""
    if any(c.meets_budget and not c.is_original for c in made):
        return []
    drop, found = budget.only_drop(), []
    by_name = {c.name: c for c in made if c.failure is None}
    for recipe in recipes:
        candidate = by_name.get(recipe.name)
        if recipe.shrink is not None and candidate is not None and drop.shortfalls(candidate):
            command = training_command(recipe.scheme, recipe.shrink)
            found.append(f"{recipe.name}: not within the drop; training can bring accuracy back: {command}")
    return found


def training_command(scheme: str, wanted: Shrink) -> str:
    """Return the command that trains a model which lost as much as a candidate did.

    Example:
        >>> training_command("int8", Shrink("zeros", 0.6))
        'tightfit finetune MODEL --scheme int8 --sparsity 0.6 --data DATA -o OUT.tflite'
    """
    integer = find_scheme(scheme).compute == "integer"
    option = f" --scheme {scheme}" if integer else ""
    return WAYS[wanted.way].training.format(scheme=option, amount=wanted.amount)
