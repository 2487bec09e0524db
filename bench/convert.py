"""Converts networks of Keras on JAX, each by the command line, and prints times and largest differences.

    python bench/convert.py [--only MobileNetV2 ...]

The weights are random and the batch norms settled, since nothing is downloaded. TensorFlow is not imported,
installed or not: the child that converts is asked which modules it holds. Needs the extra 'keras'.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from tightfit.graph.reader import read_model

layers = keras.layers


class Gate(layers.Layer):
    """A layer of our own with a weight."""

    def build(self, shape: Any) -> None:
        """Makes the weight."""
        self.level = self.add_weight(shape=(shape[-1],), initializer="ones", name="level")

    def call(self, x: Any) -> Any:
        """Gates each channel by its own sigmoid."""
        return x * keras.ops.sigmoid(x * self.level)


class Nested(keras.Model):
    """A subclassed model with a functional one and a custom layer inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        x = keras.Input((32, 32, 3))
        y = layers.BatchNormalization()(layers.Conv2D(16, 3, strides=2, padding="same")(x))
        self.stem = keras.Model(x, layers.ReLU()(y))
        self.gate = Gate()
        self.head = layers.Dense(10)

    def call(self, x: Any) -> Any:
        """Stem, gate, mean, head."""
        return self.head(keras.ops.mean(self.gate(self.stem(x)), axis=(1, 2)))


def transformer() -> keras.Model:
    """Gives two encoder layers of width 128 with four heads over 64 tokens."""
    tokens = keras.Input((64,), dtype="int32", name="tokens")
    x = layers.Embedding(1000, 128)(tokens)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 32)(y, y)
        y = layers.Dense(512, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(128)(y)
    return keras.Model(tokens, layers.Dense(8)(layers.GlobalAveragePooling1D()(x)))


def recurrent(kind: str) -> keras.Model:
    """Gives one recurrent layer of 64 units over 32 steps, with a dense head."""
    x = keras.Input((32, 16))
    return keras.Model(x, layers.Dense(8)(getattr(layers, kind)(64)(x)))


def nested() -> keras.Model:
    """Gives the subclassed model, built."""
    model = Nested()
    model(np.zeros((1, 32, 32, 3), np.float32))
    return model


def application(name: str) -> keras.Model:
    """Gives a network of keras.applications with batch norms that keep the signal's scale."""
    model = getattr(keras.applications, name)(weights=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            layer.set_weights([rng.uniform(0.5, 1.5, s).astype(np.float32) for s in shapes])
    return model


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    **{n: lambda n=n: application(n) for n in ("MobileNet", "MobileNetV2", "InceptionV3", "ResNet101V2")},
    "transformer": transformer,
    "LSTM": lambda: recurrent("LSTM"),
    "GRU": lambda: recurrent("GRU"),
    "nested": nested,
}


def convert(source: str, output: Path) -> tuple[dict[str, Any], float, float]:
    """Runs ``tightfit convert``; gives its JSON, the seconds from start to end, and those of the CPU."""
    command = [sys.executable, "-m", "tightfit", "convert", source, "-o", str(output), "--json"]
    places = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    start, used = time.perf_counter(), cpu_seconds()
    environment = os.environ | {"PYTHONPATH": places}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), seconds, cpu_seconds() - used


def cpu_seconds() -> float:
    """Gives the CPU time of all children so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints a row a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    print(
        f"{'network':12} {'seconds':>8} {'CPU s':>6} {'MB':>6} {'difference':>11} {'largest value':>14}  ops"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network in parser.parse_args().only:
            path, output = folder / f"{network}.keras", folder / f"{network}.tflite"
            source = str(path)
            if network == "nested":
                source = "convert:nested"  # its classes live in this script, which a file could only name
            else:
                NETWORKS[network]().save(path)
            facts, seconds, used = convert(source, output)
            worst = max(facts["differences"], key=lambda d: d["largest"] / max(d["scale"], 1e-30))
            ops = Counter(op.kind for op in read_model(output).main.ops).most_common(4)
            size = facts["size_bytes"] / 1e6
            told = ", ".join(f"{n} {kind}" for kind, n in ops)
            row = f"{seconds:8.1f} {used:6.1f} {size:6.1f} {worst['largest']:11.1e} {worst['scale']:14.2e}"
            print(f"{network:12} {row}  {told}", flush=True)


if __name__ == "__main__":
    main()
