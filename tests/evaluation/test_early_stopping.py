"""A model is given up only when no score of the samples left could bring it within what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.linear_models import linear_model
from tightfit.data.sources import InputSpec, open_data
from tightfit.evaluation.accuracy import evaluate
from tightfit.evaluation.early_stopping import DropBound, Limit
from tightfit.evaluation.metrics import METRICS

SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), min_size=1)


@given(SCORES, st.floats(0, 1))
def test_what_keeps_to_the_limit_in_the_end_is_never_given_up(pairs, allowed):
    reference, scores = np.array(pairs).T
    bound = DropBound(METRICS["top1"], Limit(allowed, reference))
    lost = [bound.exceeded(score) for score in scores]
    # The last look knows all: it is the limit itself.
    assert lost[-1] == (float((reference - scores).sum()) > allowed * len(pairs) + 1e-9)
    assert lost == sorted(lost), "bound that is lost does not come back"


def test_an_error_is_lost_when_it_is_large_and_nothing_left_is_better_than_zero():
    bound = DropBound(METRICS["mae"], Limit(0.1, np.array([0.2, 0.2, 0.2])))
    assert [bound.exceeded(error) for error in (0.6, 1.0)] == [False, True]


@pytest.mark.parametrize(("weak", "ends"), [(-1.0, True), (1.0, False)])
def test_an_evaluation_ends_when_hope_is_lost(tmp_path, weak, ends):
    random = np.random.default_rng(0)
    weights = random.normal(size=(5, 8)).astype(np.float32)
    x = random.normal(size=(60, 8)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=(x @ weights.T).argmax(axis=1))
    data = open_data(str(tmp_path / "d.npz"), inputs=[InputSpec("x", (1, 8), "float32")])
    models = [linear_model(weights), linear_model(weights * np.float32(weak))]
    reference = evaluate(models[:1], data)[0].scores
    first, second = evaluate(models, data, limit=Limit(0.1, reference))
    # All labels are right: bound is lost with the seventh mistake of sixty, after the probes.
    assert (second.n < 60) == ends
    assert first.n == second.n
    assert second.drop > 0.1 or not ends
