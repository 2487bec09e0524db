"""Trains the classifier that tightfit ships as its demo, and writes the demo's files.

The network is a small MobileNet: depthwise-separable blocks with batch norm and ReLU6, linear residual
blocks as in MobileNetV2, global average pooling and a softmax. The data is Fashion-MNIST (Zalando SE, MIT
licence) as one ``.npz`` with the arrays ``x_train, y_train, x_test, y_test`` (uint8); the Debian package
``dataset-fashion-mnist`` holds the same images in their original IDX files.

    python examples/train_demo.py --data fashion_mnist.npz

needs ``tensorflow-cpu`` and takes about half an hour on two cores. It writes ``demo.keras`` (the
float weights, batch norm not folded), ``model.tflite`` (float32, batch 1, batch norm folded) and
``images.npz`` (a class-balanced sample of the training and of the test images).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 10
STEM = 32
BLOCKS = ((48, 1), (64, 2), (64, 1), (96, 1), (96, 1), (192, 2), (192, 1), (256, 1))  # (channels, stride)
SHIFT = 1  # pixels


class Augmented(keras.utils.PyDataset):
    """Batches in a new random order each epoch, each image shifted by up to a pixel and flipped at random."""

    def __init__(self, x: Images, y: Labels, batch: int, seed: int) -> None:
        super().__init__()
        self.padded = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
        self.labels = np.eye(CLASSES, dtype=np.float32)[y]
        self.batch = batch
        self.random = np.random.default_rng(seed)
        self.order = self.random.permutation(len(x))

    def __len__(self) -> int:
        return len(self.order) // self.batch

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        chosen = self.order[index * self.batch : (index + 1) * self.batch]
        top, left = self.random.integers(0, 2 * SHIFT + 1, (2, len(chosen), 1, 1))
        across = np.arange(28)
        columns = np.where(self.random.random((len(chosen), 1)) < 0.5, across, across[::-1])
        x = self.padded[chosen[:, None, None], top + across[:, None], left + columns[:, None, :]]
        return scaled(x), self.labels[chosen]

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self.order = self.random.permutation(self.order)


def scaled(x: Images) -> npt.NDArray[np.float32]:
    """The network's input: float32 in [0, 1], shape (n, 28, 28, 1)."""
    return x[..., None].astype(np.float32) / np.float32(255)


def separable_block(x: keras.KerasTensor, channels: int, stride: int, name: str) -> keras.KerasTensor:
    """Depthwise 3x3 and pointwise 1x1; linear with a residual where the shape stays, else ReLU6."""
    y = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    y = layers.BatchNormalization(momentum=0.95, name=f"{name}_depthwise_norm")(y)
    y = layers.ReLU(6.0, name=f"{name}_depthwise_relu6")(y)
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")(y)
    y = layers.BatchNormalization(momentum=0.95, name=f"{name}_pointwise_norm")(y)
    if stride == 1 and x.shape[-1] == channels:
        return layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(6.0, name=f"{name}_pointwise_relu6")(y)


def build_network() -> keras.Model:
    """The float network, 28x28x1 in, 10 probabilities out."""
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(STEM, 3, 2, "same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(momentum=0.95, name="stem_norm")(x)
    x = layers.ReLU(6.0, name="stem_relu6")(x)
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = separable_block(x, channels, stride, f"block{number}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="tightfit_demo")


def train(network: keras.Model, batches: Augmented, epochs: int) -> None:
    """Fits with AdamW: one epoch of warm-up, a cosine of the learning rate, label smoothing 0.05."""
    steps = len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, (epochs - 1) * steps, warmup_target=4e-3, warmup_steps=steps
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.02)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    network.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=0.05),
        metrics=["accuracy"],
        jit_compile=False,  # XLA's depthwise gradients are several times slower on a CPU
    )
    network.fit(batches, epochs=epochs, verbose=2)


def accuracy(network: keras.Model, x: Images, y: Labels) -> float:
    """The fraction of images whose largest probability is at the label."""
    scores = network.predict(scaled(x), batch_size=500, verbose=0)
    return float(np.mean(scores.argmax(axis=1) == y))


def convert(network: keras.Model) -> bytes:
    """The network as a float32 ``.tflite`` of batch 1, signature ``image -> probabilities``."""

    @tf.function(input_signature=[tf.TensorSpec((1, 28, 28, 1), tf.float32, name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(image, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(network)  # without it the converter leaves the weights as variables
    archive.add_endpoint("serving_default", serve)
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def without_optimizer(network: keras.Model) -> keras.Model:
    """A copy that was never compiled: its file holds the weights only, less than half the size."""
    copy = build_network()
    copy.set_weights(network.get_weights())
    return copy


def balanced_sample(x: Images, y: Labels, per_class: int, seed: int) -> tuple[Images, Labels]:
    """The same number of images of each class, drawn without replacement, in random order."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(np.flatnonzero(y == c), per_class, replace=False) for c in range(CLASSES)]
    order = random.permutation(np.concatenate(drawn))
    return x[order], y[order].astype(np.int64)


def write_images(data: dict[str, npt.NDArray[np.generic]], path: Path, seed: int) -> None:
    """Writes 1000 training images for calibration and 500 test images for evaluation."""
    x_calibration, y_calibration = balanced_sample(data["x_train"], data["y_train"], 100, seed)
    x, y = balanced_sample(data["x_test"], data["y_test"], 50, seed)
    np.savez_compressed(path, x_calibration=x_calibration, y_calibration=y_calibration, x=x, y=y)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Trains tightfit's demo network on Fashion-MNIST.")
    parser.add_argument("--data", type=Path, required=True, help="npz: x_train, y_train, x_test, y_test")
    parser.add_argument("--network", type=Path, default=ROOT / "examples" / "demo.keras")
    parser.add_argument("--package", type=Path, default=ROOT / "src" / "tightfit" / "demo")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Trains, measures on the 10,000 test images once, writes the files."""
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    data = dict(np.load(arguments.data))
    network = build_network()
    batches = Augmented(data["x_train"], data["y_train"], arguments.batch, arguments.seed)
    started = time.monotonic()
    train(network, batches, arguments.epochs)
    print(f"trained {network.count_params()} parameters in {time.monotonic() - started:.0f} s")
    print(f"test accuracy {accuracy(network, data['x_test'], data['y_test']):.4f}")
    network = without_optimizer(network)
    network.save(arguments.network)
    (arguments.package / "model.tflite").write_bytes(convert(network))
    write_images(data, arguments.package / "images.npz", arguments.seed)


if __name__ == "__main__":
    main()
