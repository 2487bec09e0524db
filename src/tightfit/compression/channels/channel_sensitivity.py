"""Channel sensitivity: the output error when a half and three quarters of one group are removed, on LiteRT.

    noise_g = Σ |y − y_g|² / Σ |y|²

The sums run over the outputs (before a final softmax) and over samples that are not in the moments. y_g comes
from the model in which only group g lost channels and its readers were refitted in closed form. So the losses
of all groups have one unit, whatever importance ranked the channels.

Source: as ``recovery.sensitivity``: the loss is measured and no gradient is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from tightfit.compression.channels.channel_moments import Matrix, damping, rows, weights_of
from tightfit.compression.channels.channel_removal import remove_channels
from tightfit.compression.channels.magnitude_importance import Ranking
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.signatures import before_softmax, output_names, tap
from tightfit.graph.writer import serialize
from tightfit.runtime.child.process import cores
from tightfit.runtime.session import Session
from tightfit.types import Array, Mask

if TYPE_CHECKING:  # that module imports what this one imports
    from tightfit.compression.channels.importance import Rankings, Subject

SAMPLES: Final = 24
_SHARES: Final = (0.5, 0.75)


def in_units_of_outputs(
    subject: Subject, rankings: Rankings, progress: Callable[[int, int], None] | None = None
) -> Rankings:
    """Return the rankings with losses as fractions of the outputs' power.

    Args:
        subject: the model and its samples.
        rankings: group → ranking by any importance.
        progress: progress callback, called with (models measured, models in total).

    Raises:
        OptionError: the subject has no samples.
        RuntimeFailureError: LiteRT cannot run a pruned model.
    """
    samples = [dict(s) for s in islice(subject.judging(), SAMPLES)]
    wanted = list(_ends(subject.model, samples))
    power = max(sum(float(np.square(y).sum()) for ys in wanted for y in ys), 1e-30)
    scaled = {}
    for done, group in enumerate(subject.groups, 1):
        ranking = rankings[group]
        points = [(0, 0.0)]
        for share in _SHARES:
            gone = int(len(group) * share)
            lost = 0.0
            for ys, given in zip(wanted, _ends(_without(subject, ranking, gone), samples), strict=True):
                lost += sum(float(np.square(a - b).sum()) for a, b in zip(ys, given, strict=True))
            points.append((gone, max(lost / power, points[-1][1])))
        scaled[group] = through(ranking, points)
        if progress is not None:
            progress(done, len(subject.groups))
    return scaled


def through(ranking: Ranking, points: Sequence[tuple[int, float]]) -> Ranking:
    """Return the ranking with a loss curve through measured points that keeps its own shape between them.

    Args:
        ranking: the order of the channels and the curve to rescale.
        points: (channels removed, loss) from (0, 0) on, both increasing.

    Example:
        >>> own = Ranking(np.arange(4), np.array([0.0, 1.0, 2.0, 4.0, 8.0]))
        >>> through(own, [(0, 0.0), (2, 6.0)]).losses.tolist()
        [0.0, 3.0, 6.0, 12.0, 24.0]
    """
    own = ranking.losses
    made = np.zeros_like(own)
    for (first, low), (end, high) in pairwise(points):
        place = slice(first, own.size if end == points[-1][0] else end + 1)
        rise = own[end] - own[first]
        steps = (
            (own[place] - own[first]) / rise if rise > 0 else np.arange(own[place].size) / max(end - first, 1)
        )
        made[place] = low + (high - low) * steps
    return Ranking(ranking.order, made)


def _without(subject: Subject, ranking: Ranking, gone: int) -> Model:
    """The model without the first ``gone`` channels of one ranking, its readers refitted in closed form."""
    stays = np.ones(subject.found.size, bool)
    stays[ranking.order[:gone]] = False
    pruned = remove_channels(subject.model, stays)
    make_up(subject, pruned, stays)
    return pruned


def make_up(subject: Subject, pruned: Model, stays: Mask) -> None:
    """Refit the readers of removed channels in closed form, by the moments of the original.

        W' = W · M_:,s · (M_s,s)⁻¹

    s are the kept columns, the bias among them. The pruned model is changed in place.

    Args:
        subject: the original model and its moments.
        pruned: the model without the channels.
        stays: keep mask by channel number.
    """
    moments = subject.moments()
    places = {op: i for i, op in enumerate(subject.model.main.ops)}
    for reader in subject.readers():
        left = stays[reader.columns]
        op = pruned.main.ops[places[reader.op]]
        bias = op.input(2)
        if left.all() or bias is None or bias.data is None:
            continue
        mean = moments[reader.op].mean()
        place = np.append(np.flatnonzero(left), left.size)
        block = mean[np.ix_(place, place)]
        added = damping(block, sum(moments[reader.op].rows))
        added[-1, -1] = 0.0
        spread = np.linalg.solve(block + added, mean[np.ix_(place, np.flatnonzero(~left))])
        _spread(op, reader.op, spread, subject, stays)


def _spread(op: Op, original: Op, shares: Matrix, subject: Subject, stays: Mask) -> None:
    """Add the weights of the removed columns to the kept ones, by the coefficients of a regression."""
    weights, bias = weights_of(op), op.operand(2)
    label = subject.found.labels.get(original.outputs[0])
    columns = next(r.columns for r in subject.readers() if r.op is original)
    whole = rows(np.asarray(weights_of(original).data), original.kind)
    outputs = np.ones(len(whole), bool) if label is None else stays[label.channels]
    moved = whole[outputs][:, ~stays[columns]] @ shares.T
    fitted = rows(np.asarray(weights.data), op.kind) + moved[:, :-1]
    weights.data = fitted.reshape(weights.shape).astype(np.float32)
    bias.data = (np.asarray(bias.data) + moved[:, -1]).astype(np.float32)


def _ends(model: Model, samples: Sequence[Mapping[str, Array]]) -> Iterator[list[Array]]:
    """The float outputs before a final softmax, for each sample."""
    twin = copy_model(model)
    keys = twin.main.keys()
    ends = list(dict.fromkeys(before_softmax(t) for t in output_names(twin).values()))
    ends = [t for t in ends if t.dtype == "float32" and t.producer is not None] or list(twin.main.outputs)
    tap(twin, {keys[t]: t for t in ends})
    remove_dead_ops(twin)
    with Session(bytes(serialize(twin)), threads=min(cores(), 2)) as session:
        for found in session.run_many(samples):
            yield [np.asarray(found[keys[t]], np.float64) for t in ends]
