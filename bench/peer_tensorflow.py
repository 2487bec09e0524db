"""Runs in the ``tensorflow`` environment: writes a float ``.tflite`` of a keras.applications network.

The weights are random (the trained ones need a network), but the batch norms are not left at their initial
0 and 1: each gets a random gamma and beta and takes its mean and variance from a pass over smooth random
images, so that no layer is dead. Good for time and memory; its decisions say nothing about accuracy.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def smooth_images(count: int, size: int, seed: int) -> np.ndarray[Any, Any]:
    """Gives float32 images (count, size, size, 3) from -1 to 1; power falls with frequency as in photos."""
    rng = np.random.default_rng(seed)
    total = np.zeros((count, size, size, 3), np.float32)
    for cells in (4, 8, 16, 32, 64):
        noise = rng.normal(size=(count, cells, cells, 3)).astype(np.float32)
        total += tf.image.resize(noise, (size, size)).numpy() * (4.0 / cells) ** 0.5
    return np.clip(total / 2.0, -1.0, 1.0)


def settle_batch_norms(network: Any, images: np.ndarray[Any, Any], seed: int) -> None:
    """Gives every batch norm random gamma and beta, and the statistics of ``images``."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0.0, 0.3, layer.beta.shape))
            layer.momentum = 0.0  # one training pass then replaces the statistics by the batch's
    network(images, training=True)


def main() -> None:
    """Reads ``{"network", "size", "seed", "out"}`` and writes the model."""
    request = json.load(sys.stdin)
    keras.utils.set_random_seed(request["seed"])
    size = request["size"]
    build = getattr(keras.applications, request["network"])
    network = build(weights=None, input_shape=(size, size, 3))
    settle_batch_norms(network, smooth_images(16, size, request["seed"]), request["seed"])
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(network)
        signature = tf.TensorSpec((1, size, size, 3), tf.float32, name="x")
        archive.add_endpoint("serve", lambda x: network(x, training=False), input_signature=[signature])
        archive.write_out(folder, verbose=False)
        converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    Path(request["out"]).write_bytes(converted)
    print(json.dumps({"size_bytes": len(converted)}))


if __name__ == "__main__":
    main()
