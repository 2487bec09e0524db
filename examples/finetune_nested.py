"""What per-layer toolkits refuse: a subclassed model, nested, with a layer of your own and hard-swish.

    pip install 'tightfit[keras]'
    python examples/finetune_nested.py

The graph is trained, not the layers, so that no layer has to be known: train in Keras as usual, convert with
``tightfit.load``, then prune to 75 % zeros and round to int8 while training. ``Network`` at the end shows the
same in your own ``compile`` and ``fit``.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # what tightfit[keras] installs

import keras
import numpy as np
from keras import layers, ops

import tightfit
from tightfit import demo
from tightfit.graph.passes.clean import clean
from tightfit.graph.signatures import input_names
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.training.export import export
from tightfit.training.network import Network


class ChannelGate(layers.Layer):
    """Multiplies each channel by what a small product makes of the channels' means."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Makes the weights."""
        self.mix = self.add_weight(shape=(shape[-1], shape[-1]), initializer="glorot_uniform", name="mix")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Gates the image."""
        gate = ops.hard_sigmoid(ops.matmul(ops.mean(x, axis=(1, 2)), self.mix))
        return x * ops.expand_dims(gate, (1, 2))


class Block(keras.Model):
    """Depthwise and pointwise convolution, hard-swish, gate: a model inside of a model."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.depthwise = layers.DepthwiseConv2D(3, stride, "same", use_bias=False)
        self.pointwise = layers.Conv2D(channels, 1, use_bias=False)
        self.norm = layers.BatchNormalization(momentum=0.9)
        self.gate = ChannelGate()

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Gives the block's image."""
        y = self.norm(self.pointwise(self.depthwise(x)), training=training)
        return self.gate(ops.hard_swish(y))


class Classifier(keras.Model):
    """Three blocks and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Block(16, 2), Block(32, 2), Block(64, 1)]
        self.head = layers.Dense(10, activation="softmax")

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Gives the probabilities of the classes."""
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(ops.mean(x, axis=(1, 2)))


def main() -> None:
    """Trains in float, then for the device."""
    images, labels = zip(*demo.calibration(), strict=True)
    x, y = np.concatenate(images), np.asarray(labels)
    model = Classifier()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=32, epochs=6, verbose=2)

    converted = tightfit.load(model, "nested.tflite")
    print(f"converted by {converted.route}, largest difference {converted.largest_difference:.1e}")
    wanted = tightfit.FinetuneOptions(scheme="int8", sparsity=0.75, epochs=4)
    result = tightfit.finetune(converted, "tightfit.demo:calibration", "nested_int8.tflite", wanted)
    print(f"float {result.original.value:.1%}, trained {result.accuracy.value:.1%}, zeros {result.zeros:.1%}")

    # The same by hand: any loss, optimizer and callback of Keras.
    source = converted.model
    clean(source)
    name = next(iter(input_names(source)))
    seen = calibrate(source, [{name: image} for image in images[:100]])
    network = Network(source, make_plan(source, "int8", Ranges([seen.statistics])))
    network.compile(keras.optimizers.Adam(2e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(x, y, batch_size=32, epochs=1, verbose=2)
    trained, plan = export(network)  # what apply_plan and write_plan take
    print(f"{len(trained.main.ops)} ops; {plan.counts() if plan else {}}")


if __name__ == "__main__":
    main()
