"""Which file a training gives: the trained one, or the one before it."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.api.results.trained_or_start import gains
from tightfit.evaluation.scorecard import Accuracy, Score
from tightfit.evaluation.slices.output_quality import OutputQuality


def scored(values, sign=1.0, metric="m", worst_db=30.0):
    """An accuracy with these scores of samples, and an output whose worst slice has this ratio."""
    value = float(np.mean(values))
    outputs = [OutputQuality("y", 30.0, None, samples=len(values), own_db=worst_db)]
    return Accuracy(
        metric, value, metrics={metric: Score(value, sign=sign)}, scores=np.asarray(values, float),
        n=len(values), outputs=outputs,
    )  # fmt: skip


FEW = [1.0] * 90 + [0.0] * 10
MORE = [1.0] * 97 + [0.0] * 3


@pytest.mark.parametrize(
    ("start", "trained", "sign", "less_loss", "wanted"),
    [
        (FEW, MORE, 1.0, 0.0, True),
        (MORE, FEW, 1.0, 0.9, False),  # the metric of the user decides, not the loss
        (FEW, MORE, -1.0, 0.9, False),  # an error that grew
        (MORE, FEW, -1.0, 0.0, True),
        (FEW, FEW, 1.0, 0.5, True),  # all decisions are equal: the loss decides
        (FEW, FEW, 1.0, 0.01, False),
        (FEW, [1.0] * 91 + [0.0] * 9, 1.0, 0.0, False),  # one sample of a hundred is no gain
    ],
)
def test_the_metric_decides_beyond_its_error_and_the_loss_within(start, trained, sign, less_loss, wanted):
    assert gains(scored(start, sign), scored(trained, sign), less_loss) is wanted


def test_a_file_that_does_not_run_never_wins():
    broken = Accuracy("m", failure="no kernel")
    assert gains(broken, scored(FEW))
    assert not gains(scored(FEW), broken, 0.9)


@pytest.mark.parametrize(("half", "wanted"), [(0.002, True), (0.02, False)])
def test_a_metric_over_all_samples_must_be_better_than_its_interval(half, wanted):
    def over_all(value):
        score = Score(
            value, change=value - 0.7, change_low=value - 0.7 - half, change_high=value - 0.7 + half
        )
        return Accuracy("f1", value, metrics={"f1": score}, n=400)

    assert gains(over_all(0.68), over_all(0.69)) is wanted


@pytest.mark.parametrize(("original", "wanted"), [(FEW, False), (MORE, True)])
def test_where_nothing_was_lost_less_loss_is_no_gain(original, wanted):
    assert gains(scored(FEW), scored(FEW), 0.5, scored(original)) is wanted


@pytest.mark.parametrize(
    ("before_db", "after_db", "metric", "after", "wanted"),
    [
        (16.1, 8.4, "cosine", MORE, False),  # a slice was lost, though the outputs as a whole are closer
        (16.1, 15.9, "cosine", MORE, True),  # no more than chance
        (40.0, 25.0, "cosine", MORE, True),  # still good
        (16.1, 8.4, "top1", MORE, True),  # labels show that it is better
        (16.1, 8.4, "top1", FEW, False),  # they do not, and the loss does not see slices
    ],
)
def test_a_slice_that_became_poor_decides_where_labels_do_not(before_db, after_db, metric, after, wanted):
    start = scored(FEW, metric=metric, worst_db=before_db)
    assert gains(start, scored(after, metric=metric, worst_db=after_db), 0.5) is wanted
