"""``IMPORTANCES``: the measures of channel importance, one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tightfit.compression.channels.channel_groups import Dependencies, Group
from tightfit.compression.channels.channel_moments import Reader, collect, readers_of
from tightfit.compression.channels.magnitude_importance import Ranking, rank_by_magnitude
from tightfit.compression.channels.reconstruction_importance import rank_by_reconstruction
from tightfit.compression.channels.taylor_importance import rank_by_taylor
from tightfit.errors import OptionError, unknown_name
from tightfit.graph.ir import Model, Op
from tightfit.streaming.moments import Moments
from tightfit.types import Array, Samples

Rankings = dict[Group, Ranking]

_JUDGING: Final = 8


@dataclass(eq=False)
class Subject:
    """A model whose channels are ranked.

    Args:
        model: a cleaned float model.
        found: its channel dependencies.
        groups: the groups of which channels may be removed.
        samples: starts the samples anew at each call; None without data.
        progress: called after each sample.
    """

    model: Model
    found: Dependencies
    groups: list[Group]
    samples: Samples | None = None
    progress: Callable[[], None] | None = None
    _moments: dict[Op, Moments] | None = field(default=None, repr=False)

    def readers(self) -> list[Reader]:
        """Return the layers that sum over channels and can be fitted."""
        return readers_of(self.found)

    def moments(self) -> dict[Op, Moments]:
        """Return the second moments of the readers' inputs, from one pass over the samples."""
        if self._moments is None:
            seen = (s for i, s in enumerate(self.given_samples()()) if i % _JUDGING)
            self._moments = collect(self.model, self.readers(), seen, self.progress)
        return self._moments

    def judging(self) -> Iterator[Mapping[str, Array]]:
        """Yield the held-out samples, which are not in the moments: every eighth."""
        return (s for i, s in enumerate(self.given_samples()()) if i % _JUDGING == 0)

    def given_samples(self) -> Samples:
        """Return the samples.

        Raises:
            OptionError: there are none.
        """
        if self.samples is None:
            raise OptionError("This importance needs samples; pass data (100 or more), or take magnitude.")
        return self.samples


class Importance(NamedTuple):
    """One measure of channel importance.

    Args:
        rank: returns the ranking of each group of a subject.
        needs_samples: whether it needs samples.
    """

    rank: Callable[[Subject], Rankings]
    needs_samples: bool


def _magnitude(subject: Subject) -> Rankings:
    return rank_by_magnitude(subject.found, subject.groups)


def _reconstruction(subject: Subject) -> Rankings:
    return rank_by_reconstruction(subject.groups, subject.readers(), subject.moments(), _magnitude(subject))


def _taylor(subject: Subject) -> Rankings:
    return rank_by_taylor(subject.model, subject.found, subject.groups, subject.given_samples())


IMPORTANCES: Final[dict[str, Importance]] = {
    "magnitude": Importance(_magnitude, needs_samples=False),
    "reconstruction": Importance(_reconstruction, needs_samples=True),
    "taylor": Importance(_taylor, needs_samples=True),
}


def find_importance(name: str) -> Importance:
    """Return a row of ``IMPORTANCES``.

    Raises:
        OptionError: the name is unknown; the message names the closest one.
    """
    if name not in IMPORTANCES:
        raise OptionError(unknown_name("importance", name, IMPORTANCES))
    return IMPORTANCES[name]
