"""What stays is fitted to the samples; patterns hold; contradictions are refused."""

from __future__ import annotations

import numpy as np
import pytest

from support.models import RELU, Builder
from tightfit.compression.sparsity.pruning import Pruning, prune_weights
from tightfit.compression.sparsity.weight_refit import refit
from tightfit.errors import OptionError
from tightfit.graph.ir import Model
from tightfit.streaming.moments import Moments, MomentWindow
from tightfit.weights.patterns import keep


def correlated(rows: int, width: int) -> np.ndarray:
    """Inputs of which each is a mixture of a few causes, with a mean."""
    random = np.random.default_rng(0)
    causes = random.standard_normal((rows, width // 4))
    mixed = causes @ random.standard_normal((width // 4, width)) + 0.1 * random.standard_normal((rows, width))
    return (mixed + 1.0).astype(np.float32)


def dense_net() -> Model:
    b = Builder()
    return b.model(b.dense(b.dense(b.input("x", [1, 64]), 64, RELU), 64))


def moments(values: np.ndarray) -> Moments:
    found = Moments(MomentWindow())
    for row in values:
        found.update(row[None])
    return found


def test_a_fit_solves_each_row_on_its_mask():
    values = correlated(400, 16)
    random = np.random.default_rng(1)
    rows = random.standard_normal((3, 16)).astype(np.float32)
    kept = keep(rows, 0.5, "unstructured", 0)
    mean = moments(values).mean()
    fitted, shift = refit(rows, kept, mean)
    damped = mean + 0.01 * np.diag([*(np.diagonal(mean)[:-1] - mean[:-1, -1] ** 2), 0.0])
    for row, mask, found, moved in zip(rows, kept, fitted, shift, strict=True):
        free = np.append(np.nonzero(mask)[0], 16)
        exact = np.linalg.solve(damped[np.ix_(free, free)], (damped @ np.append(row, 0.0))[free])
        np.testing.assert_allclose(np.append(found[mask], moved), exact, atol=2e-2 * np.abs(exact).max())
        assert not found[~mask].any()


def test_a_network_of_small_layers_is_pruned_too():
    builder = Builder(seed=2)
    hidden = builder.dense(builder.input("x", [1, 20]), 32)  # 640 elements
    model = builder.model(builder.dense(builder.dense(hidden, 24), 4))  # 768 and 96
    done = prune_weights(model, Pruning(0.75))
    zeros = [float((op.inputs[1].data == 0).mean()) for op in done.model.main.ops]
    assert zeros == [0.75, 0.75, 0]


def test_the_units_of_inputs_do_not_decide_which_weights_stay():
    values, model = correlated(400, 64), dense_net()
    units, middles = np.float64(10.0) ** np.arange(64) ** 0.25, np.linspace(0, 9, 64)
    weights = model.main.ops[0].inputs[1]
    plain = prune_weights(model, Pruning(0.5), {model.main.ops[0].name: moments(values)})
    weights.data = (weights.data / units).astype(np.float32)
    moved = moments(((values + middles) * units).astype(np.float32))
    other = prune_weights(model, Pruning(0.5), {model.main.ops[0].name: moved})
    kept, found = (p.model.main.ops[0].inputs[1].data for p in (plain, other))
    assert ((kept == 0) == (found == 0)).mean() > 0.999
    np.testing.assert_allclose(found * units, kept, atol=0.02 * np.abs(kept).max())


def test_samples_make_pruning_cost_less():
    values, model = correlated(400, 64), dense_net()
    first = model.main.ops[0].name
    pruned = prune_weights(model, Pruning(0.7), {first: moments(values)})
    layer, other = pruned.layers
    assert layer.zeros == pytest.approx(0.7, abs=0.01)
    assert layer.error < 0.5 * layer.magnitude_error
    assert other.error is None
    before, after = (m.main.ops[0].inputs for m in (model, pruned.model))
    exact, now = (values @ i[1].data.T + i[2].data for i in (before, after))
    measured = np.square(now - exact).sum() / np.square(values @ before[1].data.T).sum()
    assert measured == pytest.approx(layer.error, rel=0.05)


@pytest.mark.parametrize(("pattern", "group"), [("2:4", (64, 16, 4)), ("1x16", (64, 4, 16))])
def test_patterns_hold_in_the_weights(pattern, group):
    pruned = prune_weights(dense_net(), Pruning(0.5, pattern))
    used = (pruned.model.main.ops[0].inputs[1].data.reshape(group) != 0).sum(axis=-1)
    assert set(np.unique(used)) <= ({2} if pattern == "2:4" else {0, 16})


def test_contradictions_are_refused():
    with pytest.raises(OptionError, match=r"leaves at most 0\.5 of zeros"):
        Pruning(0.9, "2:4")
    with pytest.raises(OptionError, match="between 0 and 1"):
        Pruning(90.0)
    with pytest.raises(OptionError, match="Global sparsity is unstructured"):
        Pruning(0.5, "1x4", "global")
    with pytest.raises(OptionError, match="Nothing to prune"):
        prune_weights(dense_net(), Pruning(0.5, skip=("FULLY_CONNECTED",)))
