"""Runs in the ``tfmot`` environment: TFMOT's QAT, PQAT, CQAT or PCQAT of the demo network, in legacy Keras.

The network is that of ``examples/train_demo.py`` with its weights. The stages follow TFMOT's guides: prune,
then cluster, then train quantized with the scheme that keeps what was done; the epochs are shared evenly.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster
from tf_keras import layers

CLASSES = 10
STEM = 32
BLOCKS = ((48, 1), (64, 2), (64, 1), (96, 1), (96, 1), (192, 2), (192, 1), (256, 1))  # (channels, stride)
UPDATES = 28
PRESERVING = {
    "PQAT": tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme,
    "CQAT": tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme,
    "PCQAT": lambda: tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(True),
}
STAGES = {"QAT": (), "PQAT": ("prune",), "CQAT": ("cluster",), "PCQAT": ("prune", "cluster")}


def separable_block(x: Any, channels: int, stride: int, name: str) -> Any:
    """As in ``examples/train_demo.py``."""
    y = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    y = layers.BatchNormalization(momentum=0.95, name=f"{name}_depthwise_norm")(y)
    y = layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(y)
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")(y)
    y = layers.BatchNormalization(momentum=0.95, name=f"{name}_pointwise_norm")(y)
    if stride == 1 and x.shape[-1] == channels:
        return layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(6.0, name=f"{name}_pointwise_relu6")(y)


def build_network() -> Any:
    """The demo network without its dropout, which does nothing to a trained network's outputs."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(momentum=0.95, name="stem_norm")(x)
    x = layers.ReLU(6.0, name="stem_relu6")(x)
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = separable_block(x, channels, stride, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="tightfit_demo")


class Training:
    """The request's data, and how a stage is trained: Adam with a cosine of the learning rate to zero."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        with np.load(request["data"]) as arrays:
            order = np.asarray(request["indices"])
            self.x, self.y = arrays["x_train"][order], arrays["y_train"][order]
        self.calls = 1 + len(STAGES[request["mode"]])

    def steps(self, stage: int) -> int:
        """How many steps a stage takes."""
        return self.epochs(stage) * (len(self.x) // self.request["batch"])

    def epochs(self, stage: int) -> int:
        """The stage's share of the epochs; the last one takes what is left."""
        share = self.request["epochs"] // self.calls
        return share if stage < self.calls - 1 else self.request["epochs"] - share * (self.calls - 1)

    def fit(self, network: Any, stage: int, callbacks: tuple[Any, ...] = ()) -> None:
        """Trains one stage."""
        rate = keras.optimizers.schedules.CosineDecay(self.request["rate"], self.steps(stage))
        network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        begin = time.monotonic()
        history = network.fit(
            self.x, self.y, batch_size=self.request["batch"], epochs=self.epochs(stage), verbose=0,
            callbacks=list(callbacks),
        )  # fmt: skip
        print(f"tfmot stage {stage + 1} of {self.calls}: {time.monotonic() - begin:.0f} s, accuracy "
              f"{history.history['accuracy'][-1]:.4f}", file=sys.stderr, flush=True)  # fmt: skip


def prune(network: Any, training: Training, stage: int) -> Any:
    """Magnitude pruning with a polynomial schedule that ends after 70 % of the stage, as ours does."""
    # It prunes only at multiples of the frequency: the end must be one, or the sparsity is never reached.
    frequency = max(1, int(0.7 * training.steps(stage)) // UPDATES)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, training.request["sparsity"], 0, UPDATES * frequency, frequency=frequency
    )
    pruned = tfmot.sparsity.keras.prune_low_magnitude(network, pruning_schedule=schedule)
    training.fit(pruned, stage, (tfmot.sparsity.keras.UpdatePruningStep(),))
    return tfmot.sparsity.keras.strip_pruning(pruned)


def share_values(network: Any, training: Training, stage: int) -> Any:
    """Clustering from k-means++ centroids, sparsity-preserving after pruning."""
    clustered = cluster.cluster_weights(
        network,
        number_of_clusters=training.request["clusters"],
        cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=stage > 0,
    )
    training.fit(clustered, stage)
    return tfmot.clustering.keras.strip_clustering(clustered)


ACTIONS: dict[str, Callable[[Any, Training, int], Any]] = {"prune": prune, "cluster": share_values}


def train_quantized(network: Any, training: Training, mode: str) -> Any:
    """The last stage: fake-quantizers, with the scheme that preserves what the stages before made."""
    quantization = tfmot.quantization.keras
    if mode == "QAT":
        quantized = quantization.quantize_model(network)
    else:
        annotated = quantization.quantize_annotate_model(network)
        quantized = quantization.quantize_apply(annotated, PRESERVING[mode]())
    training.fit(quantized, training.calls - 1)
    return quantized


def main() -> None:
    """Reads the request (see ``collaborative.peer_files``) and writes the file."""
    request = json.load(sys.stdin)
    keras.utils.set_random_seed(request["seed"])
    network = build_network()
    with np.load(request["weights"]) as arrays:
        network.set_weights([arrays[f"w{i}"] for i in range(len(arrays.files))])
    training = Training(request)
    for stage, name in enumerate(STAGES[request["mode"]]):
        network = ACTIONS[name](network, training, stage)
    quantized = train_quantized(network, training, request["mode"])
    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    written = converter.convert()
    Path(request["out"]).write_bytes(written)
    print(json.dumps({"size_bytes": len(written)}))


if __name__ == "__main__":
    main()
