"""Data parallelism of Keras: a batch is spread over devices, and the training is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import keras, numpy as np
from support.models import conv_net, random_inputs
from tightfit.training.network import Network

devices = keras.distribution.list_devices()
assert len(devices) == 2, devices
x = np.concatenate([random_inputs(conv_net(), seed)["image"] for seed in range(8)])
losses = []
for spread in (None, keras.distribution.DataParallel(devices=devices)):
    keras.distribution.set_distribution(spread)
    network = Network(conv_net(), check=False)
    network.compile("sgd", "sparse_categorical_crossentropy")
    losses.append(network.fit(x, np.arange(8) % 5, batch_size=8, epochs=2, verbose=0, shuffle=False))
one, two = (history.history["loss"] for history in losses)
np.testing.assert_allclose(one, two, rtol=1e-5)
assert one[1] < one[0]
"""


@pytest.mark.skipif(
    find_spec("keras") is None or find_spec("jax") is None,
    reason="keras.distribution needs Keras and JAX: pip install tightfit[keras]",
)
def test_two_devices_train_as_one_does():
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
    }
    words = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
