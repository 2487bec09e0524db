"""Which file a training gives: the trained one, or the one before it."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.api.results.trained_or_start import gains
from tightfit.evaluation.scorecard import Accuracy, Score


def scored(values, sign=1.0):
    """An accuracy with these scores of samples."""
    value = float(np.mean(values))
    metrics = {"m": Score(value, sign=sign)}
    return Accuracy("m", value, metrics=metrics, scores=np.asarray(values, float), n=len(values))


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
