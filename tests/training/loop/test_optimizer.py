"""A step is a share of what it moves."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import NONE, Builder  # noqa: E402 - after the check for Keras
from tightfit.training.loop.optimizer import RelativeAdam, sizes_of  # noqa: E402 - after the check for Keras
from tightfit.training.network import Network  # noqa: E402 - after the check for Keras

RATE = 0.01


def test_channels_of_any_size_move_by_the_same_share():
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 8]), 6, kernel=1, activation=NONE)
    model = b.model(b.mean(y))
    weights = next(t for t in model.main.tensors() if t.name.endswith("filter"))
    weights.data = weights.data * np.geomspace(1.0, 8.0, 6, dtype=np.float32)[:, None, None, None]
    network = Network(model, check=False)
    before = {v.path: np.asarray(keras.ops.convert_to_numpy(v)) for v in network.trainable_variables}
    network.compile(RelativeAdam(RATE, sizes_of(network)), "mean_squared_error")
    x = np.random.default_rng(0).standard_normal((4, 4, 4, 8)).astype(np.float32)
    network.fit(x, np.full((4, 6), 9.0), batch_size=4, epochs=1, verbose=0)
    for variable in network.trainable_variables:
        start, end = before[variable.path], np.asarray(keras.ops.convert_to_numpy(variable))
        size = np.sqrt(
            np.mean(np.square(start), axis=tuple(range(1, start.ndim)) if start.ndim > 1 else None)
        )
        # Adam's first step is the rate times the gradient's sign, up to its epsilon.
        moved = np.abs(end - start).reshape(len(end), -1).max(1)
        np.testing.assert_allclose(moved, RATE * size * np.ones(len(end)), rtol=0.02)
