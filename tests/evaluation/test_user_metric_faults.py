from __future__ import annotations

import numpy as np
import pytest

from support.linear_models import linear_model
from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError, OptionError
from tightfit.evaluation.accuracy import evaluate, wanted_metrics


@pytest.fixture
def two(tmp_path):
    values = np.eye(3, dtype=np.float32)
    np.savez(tmp_path / "set.npz", x=values, y=np.array([0, 1, 2]))
    models = [linear_model(values), linear_model(-values)]
    return models, lambda session: open_data(str(tmp_path / "set.npz"), inputs=session)


def measured(two, metric):
    models, open_set = two
    dataset = open_set([InputSpec("input", (1, 3), "float32")])
    return evaluate(models, dataset, metric=metric)


@pytest.mark.parametrize("answer", ["good", None, {"a": 1}, [1.0, [2.0]], ["a", "b", "c"], object()])
def test_an_answer_that_is_no_number_is_refused_in_a_sentence(two, answer):
    with pytest.raises(DataError, match=r"'hits' returned .* of type \w+\. Expected one real number"):
        measured(two, {"hits": lambda *_: answer})


def test_nan_of_the_reference_is_refused(two):
    with pytest.raises(DataError, match="'hits' returned NaN over all samples, so no model"):
        measured(two, {"hits": lambda *_: float("nan")})


def test_nan_of_a_candidate_is_its_failure(two):
    def hits(outputs, labels):
        return [
            1.0 if output.ravel()[label] > 0 else np.nan
            for output, label in zip(outputs, labels, strict=True)
        ]

    first, second = measured(two, hits)
    assert first.value == 1.0
    assert second.value is None
    assert "returned NaN for 3 of 3 samples" in second.failure


def test_a_metric_that_takes_labels_first_is_told_so(two):
    def hits(first, second):
        return float(np.mean([second[i].shape == (3,) and first[i].bit_length() >= 0 for i in range(3)]))

    with pytest.raises(DataError, match="It runs when the labels come first"):
        measured(two, hits)


def test_the_direction_of_an_error_follows_from_its_name(two):
    def mean_squared_error(outputs, labels):
        return [float(output.ravel()[label] < 0) for output, label in zip(outputs, labels, strict=True)]

    first, second = measured(two, mean_squared_error)
    assert (first.value, second.value) == (0.0, 1.0)
    assert second.drop == pytest.approx(1.0)
    assert second.metric == "mean_squared_error(lower)"


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("own:mae", "own:mae(lower)"),
        ("own:neg_mse", "own:neg_mse"),
        ("own:dice_loss", "own:dice_loss(lower)"),
        ("own:error_score(higher)", "own:error_score"),
        ("own:hits", "own:hits"),
    ],
)
def test_the_direction_of_a_spelling(spelling, key):
    assert [wanted.key for wanted in wanted_metrics(spelling)] == [key]


def test_a_name_of_both_directions_is_refused():
    with pytest.raises(OptionError, match="does not say whether more is better"):
        wanted_metrics("own:error_score")


def test_keras_says_the_direction_of_its_losses_and_metrics():
    keras = pytest.importorskip("keras")
    assert wanted_metrics(keras.losses.KLDivergence())[0].options == {"lower": True}
    assert wanted_metrics(keras.losses.poisson)[0].options == {"lower": True}
    assert wanted_metrics(keras.metrics.MeanAbsoluteError())[0].options == {"lower": True}
    assert wanted_metrics(keras.metrics.MeanIoU(2))[0].options == {}
