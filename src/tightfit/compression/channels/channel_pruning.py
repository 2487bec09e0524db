"""Channel pruning: a smaller dense graph that any runtime runs faster.

    find_dependencies → rank → (measure) → allocate → remove → refit

This module makes the decisions; each step is a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tightfit.compression.channels.allocation import Costs, allocate, byte_costs, mac_costs
from tightfit.compression.channels.channel_groups import Dependencies, Group, find_dependencies
from tightfit.compression.channels.channel_refit import refit
from tightfit.compression.channels.channel_removal import remove_channels
from tightfit.compression.channels.channel_sensitivity import in_units_of_outputs
from tightfit.compression.channels.importance import Rankings, Subject, find_importance
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.graph.writer import serialize
from tightfit.types import Mask, Samples, Stage

Measure = Callable[[Model], float]

_TRIALS: Final = 6
_CLOSE: Final = 0.02
"""The search ends at a latency below the limit by at most this fraction."""

_MISSED: Final = "The budget was not reached: every group is at its smallest."
_TOO_SLOW: Final = f"The budget was not reached: none of {_TRIALS} models that were measured is fast enough."


@dataclass(frozen=True)
class ChannelBudget:
    """The budget of channel pruning; exactly one of the three is given.

    Args:
        macs: most multiply–accumulates, as a fraction of the original's, between 0 and 1.
        size_bytes: largest size of the file, in bytes.
        latency: largest measured latency, as a fraction of the original's, between 0 and 1.

    Raises:
        OptionError: none or several are given, or a fraction is not between 0 and 1.
    """

    macs: float | None = None
    size_bytes: int | None = None
    latency: float | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.macs, self.size_bytes, self.latency) if v is not None]
        if len(given) != 1:
            raise OptionError(
                f"A channel budget is one of macs, size and latency; received {len(given) or 'none'} of them."
            )
        for name, value in (("macs", self.macs), ("latency", self.latency)):
            if value is not None and not 0 < value < 1:
                raise OptionError(
                    f"The {name} of a channel budget are a fraction of the original's, between 0 and 1; "
                    f"received {value:g}."
                )
        if self.size_bytes is not None and self.size_bytes <= 0:
            raise OptionError(f"size_bytes must be positive; received {self.size_bytes}.")


@dataclass(frozen=True)
class GroupChange:
    """One group before and after pruning.

    Args:
        name: the group's name.
        channels: number of channels before.
        kept: number of channels after.
        macs: multiply–accumulates of the group's ops before.
        frozen: why no channel may be removed, or None.
    """

    name: str
    channels: int
    kept: int
    macs: int
    frozen: str | None


@dataclass(eq=False)
class PrunedChannels:
    """The result of channel pruning.

    Args:
        model: the smaller model.
        stays: keep mask, by channel number of the original's dependencies.
        groups: the change of each group.
        macs_before: multiply–accumulates of the main graph before.
        macs_after: multiply–accumulates of the main graph after.
        reached: whether the budget is met.
        notes: remarks for the report.
    """

    model: Model
    stays: Mask
    groups: list[GroupChange]
    macs_before: int
    macs_after: int
    reached: bool
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ChannelOptions:
    """The options of channel pruning.

    Args:
        importance: a row of ``IMPORTANCES``; None means reconstruction with samples, magnitude without.
        refit: refit the remaining weights to the samples, where samples are given.
        multiple: the kept channels of a group are a multiple of this, 1 or more; 8 suits most kernels.

    Raises:
        OptionError: the importance is unknown or the multiple is below 1.
    """

    importance: str | None = None
    refit: bool = True
    multiple: int = 8

    def __post_init__(self) -> None:
        if self.multiple < 1:
            raise OptionError(f"The multiple of channels must be 1 or more; received {self.multiple}.")
        if self.importance is not None:
            find_importance(self.importance)


def prune_channels(
    model: Model,
    budget: ChannelBudget,
    options: ChannelOptions | None = None,
    samples: Samples | None = None,
    measure: Measure | None = None,
    stage: Stage | None = None,
) -> PrunedChannels:
    """Remove the least important channels of a model until it meets the budget.

    Args:
        model: a cleaned float model; it is not changed.
        budget: limit of MACs, size or latency.
        options: importance, refitting and the multiple of channels; None for the defaults.
        samples: starts the samples anew at each call; labels are not needed.
        measure: returns a model's latency as a fraction of the original's; required by a latency budget.
        stage: progress callback, called with (stage, steps done, steps in total).

    Returns:
        The smaller model and the change of each group.

    Raises:
        ModelError: no channel of the model can be removed; the message gives the reason.
        OptionError: samples or a measure are missing.
        DataError: a sample does not fit.
        RuntimeFailureError: LiteRT cannot run the model or a part of it.
    """
    return ChannelPruner(model, options, samples, stage).prune(budget, measure)


class ChannelPruner:
    """Prune one model to any number of budgets; its channels are ranked once, for the first budget.

    Args:
        model: a cleaned float model; it is not changed.
        options: importance, refitting and the multiple of channels; None for the defaults.
        samples: starts the samples anew at each call; labels are not needed.
        stage: progress callback, called with (stage, steps done, steps in total).
    """

    def __init__(
        self,
        model: Model,
        options: ChannelOptions | None = None,
        samples: Samples | None = None,
        stage: Stage | None = None,
    ) -> None:
        self.model, self.options, self.stage = model, options or ChannelOptions(), stage or _silent
        self.multiple = self.options.multiple
        self.found: Dependencies = find_dependencies(model)
        self.groups = [g for g in self.found.removable() if len(g) > self.multiple]
        if not self.groups:
            raise ModelError(_nothing_to_prune(self.found, self.multiple))
        self.seen = 0
        self.subject = Subject(model, self.found, self.groups, samples, self._advance)
        self.rankings: Rankings = {}
        self.macs = sum(macs(op) for op in model.main.ops)

    def prune(self, budget: ChannelBudget, measure: Measure | None = None) -> PrunedChannels:
        """Return the model within a budget; see ``prune_channels`` for the arguments and errors."""
        if not self.rankings:
            self._rank()
        kept, reached = self.counts(budget, measure)
        stays, samples = self.stays(kept), self.subject.samples
        pruned = remove_channels(self.model, stays)
        notes = [] if reached else [_MISSED if budget.latency is None else _TOO_SLOW]
        notes += self.notes()
        if self.options.refit and samples is not None:
            notes += refit(self.model, pruned, self.found, stays, samples, partial(self.stage, "fitting"))
        after = sum(macs(op) for op in pruned.main.ops)
        return PrunedChannels(pruned, stays, self.changes(kept), self.macs, after, reached, notes)

    def _advance(self) -> None:
        self.seen += 1
        self.stage("observing", self.seen, 0)

    def _rank(self) -> None:
        """Rank by the chosen importance; with samples, losses are fractions of the outputs' power."""
        default = "magnitude" if self.subject.samples is None else "reconstruction"
        self.rankings = find_importance(self.options.importance or default).rank(self.subject)
        if self.subject.samples is not None:
            step = partial(self.stage, "measuring groups")
            self.rankings = in_units_of_outputs(self.subject, self.rankings, step)

    def counts(self, budget: ChannelBudget, measure: Measure | None) -> tuple[npt.NDArray[np.int64], bool]:
        """Return how many channels each group keeps, and whether the budget is met."""
        if budget.size_bytes is not None:
            costs = byte_costs(len(serialize(self.model)), self.found, self.groups)
            return self._allocated(costs, float(budget.size_bytes))
        costs = mac_costs(self.model, self.found, self.groups)
        if budget.macs is not None:
            return self._allocated(costs, budget.macs * self.macs)
        if measure is None or budget.latency is None:
            raise OptionError("A latency budget is measured; pass a function that measures a model.")
        return self._search(costs, budget.latency, measure)

    def _allocated(self, costs: Costs, limit: float) -> tuple[npt.NDArray[np.int64], bool]:
        kept = allocate([self.rankings[g] for g in self.groups], costs, limit, self.multiple)
        return kept, costs.total(kept) <= limit

    def _search(self, costs: Costs, limit: float, measure: Measure) -> tuple[npt.NDArray[np.int64], bool]:
        """Bisect the MACs between too slow and fast enough, and measure each model."""
        low, high = 0.0, 1.0
        share = limit
        best: npt.NDArray[np.int64] | None = None
        kept = np.array([len(g) for g in self.groups], np.int64)
        for trial in range(_TRIALS):
            kept, _ = self._allocated(costs, share * self.macs)
            ratio = measure(remove_channels(self.model, self.stays(kept)))
            self.stage("measuring latency", trial + 1, _TRIALS)
            if ratio <= limit:
                low, best = share, kept
                if ratio >= limit - _CLOSE:
                    break
            else:
                high = share
            share = (low + high) / 2 if best is not None else share / 2
        return (kept, False) if best is None else (best, True)

    def stays(self, kept: npt.NDArray[np.int64]) -> Mask:
        """Return the keep mask: for each channel number whether it is kept."""
        stays = np.ones(self.found.size, bool)
        for group, count in zip(self.groups, kept.tolist(), strict=True):
            stays[self.rankings[group].order[: len(group) - count]] = False
        return stays

    def changes(self, kept: npt.NDArray[np.int64]) -> list[GroupChange]:
        """Return what each group of the model lost."""
        counts = dict(zip(self.groups, kept.tolist(), strict=True))
        return [
            GroupChange(g.name, len(g), counts.get(g, len(g)), g.macs, _why_whole(g, counts, self.multiple))
            for g in self.found.groups
        ]

    def notes(self) -> list[str]:
        """Return which groups keep all channels and why, those with the most MACs first."""
        frozen = sorted((g for g in self.found.groups if g.reason and g.macs), key=lambda g: -g.macs)
        return [f"'{g.name}' keeps its {len(g)} channels: {g.reason}." for g in frozen]


def _why_whole(group: Group, counts: dict[Group, int], multiple: int) -> str | None:
    if group.reason is not None or group in counts:
        return group.reason
    if not group.readers:
        return "no layer with weights reads them"
    return f"it has at most {multiple} channels, which kernels compute at once"


def _nothing_to_prune(found: Dependencies, multiple: int) -> str:
    largest = max(found.groups, key=lambda g: g.macs, default=None)
    if largest is None:
        return "The model has no layer with constant float weights whose channels can be removed."
    group, reason = f"'{largest.name}' of {len(largest)}", _why_whole(largest, {}, multiple)
    return f"No channel of the model can be removed. The largest group, {group}, is kept: {reason}."


def _silent(what: str, done: int, total: int) -> None:
    """Ignore progress."""


def describe(found: Dependencies) -> list[dict[str, Any]]:
    """Return every group as plain data, for a table or JSON."""
    return [g.to_json() for g in found.groups]
