from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

from support.linear_models import int8_linear_model, linear_model, two_output_model
from tightfit.data.sources import InputSpec, open_data
from tightfit.errors import DataError, RuntimeFailureError
from tightfit.evaluation.accuracy import evaluate
from tightfit.runtime.session import Session

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(5, 8)).astype(np.float32)
X = RANDOM.normal(size=(60, 8)).astype(np.float32)
LABELS = (X @ WEIGHTS.T).argmax(axis=1)
INPUT = [InputSpec("x", (1, 8), "float32")]


@pytest.fixture
def data(tmp_path):
    def make(**arrays):
        np.savez(tmp_path / "d.npz", **arrays)
        return open_data(str(tmp_path / "d.npz"), inputs=INPUT)

    return make


def test_models_are_scored_on_the_same_samples_and_compared_in_pairs(data):
    labels = LABELS.copy()
    labels[:6] = (labels[:6] + 1) % 5
    weak = WEIGHTS + RANDOM.normal(size=WEIGHTS.shape).astype(np.float32)
    reference, other = evaluate([linear_model(WEIGHTS), linear_model(weak)], data(x=X, y=labels))
    assert reference.metric == other.metric == "top1"
    assert reference.value == 54 / 60
    assert (reference.drop, reference.agreement, reference.n) == (0, 1, 60)
    decided = (X @ weak.T).argmax(axis=1)
    assert other.value == pytest.approx((decided == labels).mean())
    assert other.drop == pytest.approx(reference.value - other.value)
    assert other.drop_low < other.drop < other.drop_high
    assert other.agreement == pytest.approx((decided == LABELS).mean())
    assert other.scores.tolist() == (decided == labels).tolist()


def test_fidelity_follows_its_formulas(data):
    weak = WEIGHTS * np.float32(1.1)
    _, other = evaluate([linear_model(WEIGHTS), linear_model(weak)], data(x=X, y=LABELS))
    # every output is 1.1 times the reference's: noise is a tenth of the signal; float32 sums err by 1e-6
    assert other.snr_db == pytest.approx(20, abs=1e-4)
    assert other.cosine == pytest.approx(1, abs=1e-6)
    assert other.agreement == 1


def test_an_int8_model_gets_quantized_inputs_and_gives_reals(data):
    x_scale, y_scale = float(np.abs(X).max()) / 127, float(np.abs(X @ WEIGHTS.T).max()) / 127
    models = [linear_model(WEIGHTS), int8_linear_model(WEIGHTS, x_scale, y_scale)]
    _, int8 = evaluate(models, data(x=X, y=LABELS))
    assert int8.failure is None
    # each output errs by half an output step, and by half a step of 8 inputs and of 8 weights
    w_scale = float(np.abs(WEIGHTS).max()) / 127
    worst = y_scale / 2 + 8 * (np.abs(WEIGHTS).max() * x_scale / 2 + np.abs(X).max() * w_scale / 2)
    power = float(((X @ WEIGHTS.T) ** 2).mean())
    assert int8.snr_db > 10 * np.log10(power / worst**2)
    assert int8.agreement > 0.9


def test_without_labels_the_reference_is_the_measure(data):
    scores = [linear_model(w, "SOFTMAX") for w in (WEIGHTS, -WEIGHTS)]
    reference, opposite = evaluate(scores, data(x=X))
    assert (reference.metric, reference.value) == ("agreement", 1)
    assert opposite.value == opposite.agreement == 0
    assert opposite.drop == 1
    assert 0.9 < opposite.drop_low < opposite.drop_high == 1
    logits = evaluate([linear_model(w) for w in (WEIGHTS, -WEIGHTS)], data(x=X))
    assert [a.metric for a in logits] == ["cosine", "cosine"]
    assert logits[1].value == pytest.approx(-1)
    assert logits[1].agreement is None


def test_a_regression_is_scored_by_its_error(data):
    models = [linear_model(WEIGHTS), linear_model(WEIGHTS, bias=[0.5] * 5)]
    reference, other = evaluate(models, data(x=X, y=X @ WEIGHTS.T))
    assert reference.metric == "mae"
    assert reference.value == pytest.approx(0, abs=1e-5)
    assert other.drop == pytest.approx(0.5, abs=1e-5)
    assert other.drop_low <= other.drop <= other.drop_high


def test_a_single_unit_is_a_binary_decision(data):
    w = WEIGHTS[:1]
    labels = (X @ w.T > 0).astype(int).reshape(-1)
    for model in (linear_model(w, "LOGISTIC"), linear_model(w)):
        (found,) = evaluate([model], data(x=X, y=labels))
        assert (found.metric, found.value) == ("top1", 1)


def test_one_output_of_several_is_scored_when_named(data):
    model = two_output_model(-WEIGHTS, WEIGHTS)
    dataset = data(x=X, y=LABELS)
    with Session(model) as session:
        names = {spec.name for spec in session.outputs}
    assert names == {"first", "second"}
    assert evaluate([model], dataset, metric="top1@second")[0].value == 1
    assert evaluate([model], dataset, metric="top1@first")[0].value == 0


def test_indices_choose_the_samples_and_progress_is_told(data):
    seen = []
    (found,) = evaluate(
        [linear_model(WEIGHTS)], data(x=X, y=LABELS), [9, 3, 40, 3], progress=lambda *at: seen.append(at)
    )
    assert found.n == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_files_and_functions_are_models_too(data, tmp_path):
    model = linear_model(WEIGHTS)
    (tmp_path / "m.tflite").write_bytes(model)
    path = tmp_path / "m.tflite"
    found = evaluate([path, str(path), lambda: Session(model)], data(x=X, y=LABELS))
    assert [a.value for a in found] == [1, 1, 1]


def test_a_model_that_fails_leaves_the_others_their_numbers(data):
    nan = linear_model(np.full_like(WEIGHTS, np.nan))
    other_shape = linear_model(WEIGHTS[:4])
    wide = linear_model(np.zeros((5, 9)))
    models = [linear_model(WEIGHTS), b"no model", nan, other_shape, wide, linear_model(WEIGHTS)]
    good, broken, nans, shape, inputs, last = evaluate(models, data(x=X, y=LABELS))
    assert (good.value, last.value, last.n) == (1, 1, 60)
    assert broken.value is None
    assert broken.failure
    assert "answers NaN in 5 of 5 entries" in nans.failure
    assert "'logits' [1, 4] do not match" in shape.failure or "has shape [1, 4]" in shape.failure
    assert "takes 1x9, but the samples have 1x8" in inputs.failure


def test_a_reference_that_fails_is_an_error(data):
    with pytest.raises(RuntimeFailureError, match="answers NaN"):
        evaluate([linear_model(np.full_like(WEIGHTS, np.nan))], data(x=X, y=LABELS))


def test_shifted_labels_are_refused_with_numbers(data):
    weights = np.eye(8, dtype=np.float32)
    x = np.eye(8, dtype=np.float32)[np.arange(80) % 7 + 1]
    with pytest.raises(DataError, match=r"right on 0 as they are, on 64 with label \+1"):
        evaluate([linear_model(weights)], data(x=x, y=np.arange(80) % 7))


def test_a_bad_sample_is_named(data):
    x = X.copy()
    x[17, 2] = np.inf
    with pytest.raises(DataError, match=r"Sample 17 of 'd.npz' has 1 value that is NaN or infinite"):
        evaluate([linear_model(WEIGHTS), linear_model(WEIGHTS)], data(x=x, y=LABELS))


def test_nothing_to_evaluate_is_refused(data):
    with pytest.raises(DataError, match="Received 1 models and 0 samples"):
        evaluate([linear_model(WEIGHTS)], data(x=X), [])


METRIC = """
import numpy as np

def right(outputs, labels):
    return (outputs.argmax(axis=1) == labels).astype(float)

def overall(outputs, labels):
    return float(np.mean(outputs.argmax(axis=1) == np.array(labels)))

def wrong_shape(outputs, labels):
    return [1.0, 2.0]

def fails(outputs, labels):
    raise KeyError("boxes")
"""


@pytest.fixture
def metric(tmp_path, monkeypatch):
    (tmp_path / "usermetric.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "usermetric"
    sys.modules.pop("usermetric", None)


def test_a_users_metric_scores_samples_or_all_at_once(data, metric):
    weak = WEIGHTS + RANDOM.normal(size=WEIGHTS.shape).astype(np.float32)
    models, dataset = [linear_model(WEIGHTS), linear_model(weak)], data(x=X, y=LABELS)
    own = evaluate(models, dataset)
    each = evaluate(models, dataset, metric=f"{metric}:right")
    whole = evaluate(models, dataset, metric=f"{metric}:overall")
    for a, b, c in zip(own, each, whole, strict=True):
        assert a.value == b.value == pytest.approx(c.value)
        assert a.drop == b.drop == pytest.approx(c.drop)
        assert (a.low, a.drop_low) == (b.low, b.drop_low)
    # the jackknife's standard error of a mean is the usual one, sqrt(p (1 - p) / (n - 1)) within its grouping
    share = whole[1].value
    error = (share * (1 - share) / 59) ** 0.5
    assert whole[1].high - share == pytest.approx(2.093 * error, rel=0.4)
    assert whole[1].drop_low < whole[1].drop < whole[1].drop_high


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong_shape", r"returned shape \(2,\) for 16 samples"),
        ("fails", "'usermetric:fails' failed with KeyError: 'boxes'"),
        ("rigth", "Unknown function in module 'usermetric' 'rigth'.*Did you mean 'right'"),
    ],
)
def test_a_users_metric_that_does_not_work_is_refused(data, metric, function, message):
    with pytest.raises(DataError, match=message):
        evaluate([linear_model(WEIGHTS)], data(x=X, y=LABELS), metric=f"{metric}:{function}")


def test_memory_does_not_grow_with_the_samples(tmp_path):
    width, rows = 16384, 300
    np.savez(tmp_path / "big.npz", x=np.ones((rows, width), np.float32), y=np.zeros(rows, int))
    dataset = open_data(str(tmp_path / "big.npz"), inputs=[InputSpec("x", (1, width), "float32")])
    weights = np.zeros((2, width), np.float32)
    models = [linear_model(weights), b"no model", linear_model(weights)]
    evaluate(models, dataset, [0])  # imports what is imported late
    tracemalloc.start()
    evaluate(models, dataset)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A few samples, two messages of 256 kB to each of two models, and the program's own; all are 20 MB.
    assert peak < 16 * width * 4 + 4 * 256_000 + 500_000
