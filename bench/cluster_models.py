"""Models with data for benchmarks of a cluster: the demo, Keras networks of images and text, a larger one.

The networks are trained for some seconds on data made from random numbers: a search has a choice to make.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NAMES = ("demo", "images", "text", "large")
_CLASSES, _WORDS, _LENGTH = 8, 400, 32


@dataclass(frozen=True)
class Case:
    """A model with labelled samples.

    Args:
        model: its file.
        data: as ``optimize`` takes it.
        max_size: bytes that only the integer files keep to.
    """

    model: Path
    data: str
    max_size: int


def case(name: str, folder: Path) -> Case:
    """Return a model with its data; the same call makes the same files.

    Args:
        name: one of ``NAMES``.
        folder: for the files.
    """
    if name == "demo":
        from tightfit.demo import MODEL  # noqa: PLC0415 - as the others

        return Case(MODEL, "tightfit.demo:evaluation", 250_000)
    model, data = folder / f"{name}.keras", folder / f"{name}.npz"
    if not model.exists():
        _make(name, model, data)
    return Case(model, f"{data}:x,y", int(0.4 * 4 * _weights(model)))


def _weights(model: Path) -> int:
    import keras  # noqa: PLC0415 - after the backend is chosen

    return int(keras.saving.load_model(model).count_params())


def _make(name: str, model: Path, data: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras  # noqa: PLC0415 - after the backend is chosen

    keras.utils.set_random_seed(0)
    layers = keras.layers
    if name == "images":
        x, y = _pictures(1400, 24)
        inner = [
            layers.Input((24, 24, 3)), layers.Conv2D(24, 3, padding="same"), layers.BatchNormalization(),
            layers.ReLU(), layers.MaxPooling2D(), layers.Conv2D(48, 3, activation="relu"),
            layers.MaxPooling2D(), layers.Flatten(), layers.Dense(96, activation="relu"),
        ]  # fmt: skip
    elif name == "large":
        x, y = _pictures(1100, 96)
        inner = [layers.Input((96, 96, 3))]
        for channels in (32, 64, 128, 256):
            inner += [layers.Conv2D(channels, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
        inner += [layers.Conv2D(256, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    else:
        x, y = _sentences(1400)
        inner = [
            layers.Input((_LENGTH,), dtype="int32"), layers.Embedding(_WORDS, 64),
            layers.Conv1D(128, 5, activation="relu"), layers.Conv1D(128, 5, activation="relu"),
            layers.GlobalMaxPooling1D(),
        ]  # fmt: skip
    network = keras.Sequential([*inner, layers.Dense(_CLASSES, activation="softmax")])
    network.compile("adam", "sparse_categorical_crossentropy")
    trained = len(x) - 600
    network.fit(x[:trained], y[:trained], epochs=3, verbose=0)
    np.savez(data, x=x[trained:], y=y[trained:])
    network.save(model)


def _pictures(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of eight directions in noise."""
    random = np.random.default_rng(0)
    y = random.integers(0, _CLASSES, count)
    rows, columns = np.mgrid[0:size, 0:size]
    angle = (np.pi * y / _CLASSES)[:, None, None]
    waves = np.sin(
        0.9 * (rows * np.cos(angle) + columns * np.sin(angle)) + random.uniform(0, 6, (count, 1, 1))
    )
    noisy = waves[..., None] + random.normal(0, 0.8, (count, size, size, 3))
    return noisy.astype(np.float32), y


def _sentences(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Words by chance, three of which belong to the class."""
    random = np.random.default_rng(1)
    y = random.integers(0, _CLASSES, count)
    x = random.integers(0, _WORDS, (count, _LENGTH))
    for i, label in enumerate(y):
        place = random.permutation(_LENGTH)[:3]
        x[i, place] = label * 10 + random.integers(0, 10, 3)
    return x.astype(np.int32), y


__all__ = ["NAMES", "Case", "case"]
