"""Prints float → post-training → trained accuracy of many kinds of tasks with 4-bit weights.

    bench/tasks.py [--tasks classes,tagging] [--seeds 3] [--epochs 6] [--json tasks.json]

Each task draws its data from a random rule by the seed, trains a small Keras model on 1,200 samples, lets
400 others choose between the files, and measures on 2,000 more, which no training and no calibration reads.
``won back`` is the share of the loss of int8x4 after training that ``finetune`` gains; it counts where two
points, or 2 % of an error, were lost.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import layers

import tightfit
from machine import describe_machine

TRAIN, CHOOSE, TEST = 1200, 400, 2000
COUNT = TRAIN + CHOOSE + TEST
LOST = 0.02


@dataclass
class Task:
    """One task.

    Args:
        model: an untrained model. x, y: data, y by output where there are several. loss: of Keras.
        options: of ``finetune`` and ``evaluate`` besides the defaults.
    """

    model: keras.Model
    x: Any
    y: Any
    loss: Any
    options: dict[str, Any]


def _hidden(x: Any, units: int, random: np.random.Generator) -> Any:
    """A random two-layer rule of the inputs, centred."""
    flat = x.reshape(len(x), -1)
    inner = np.tanh(flat @ random.normal(size=(flat.shape[1], 12)) / np.sqrt(flat.shape[1]) * 2)
    found = inner @ random.normal(size=(12, units))
    return (found - found.mean(0)) / found.std(0)


def _vectors(random: np.random.Generator, size: int = 20) -> Any:
    return random.normal(size=(COUNT, size)).astype(np.float32)


def _images(random: np.random.Generator, side: int = 12) -> Any:
    """Smooth random images: sums of a few waves."""
    rows, columns = np.mgrid[:side, :side] / side
    waves = random.normal(size=(COUNT, 4, 5))
    made = sum(
        waves[:, k, 0, None, None]
        * np.sin(
            6 * (waves[:, k, 1, None, None] * rows + waves[:, k, 2, None, None] * columns)
            + waves[:, k, 3, None, None]
        )
        for k in range(4)
    )
    return np.asarray(made, np.float32)[..., None]


def _mlp(size: int, units: int, activation: str | None, *, wide: int = 160) -> keras.Model:
    start = x = keras.Input((size,))
    for _ in range(2):
        x = layers.Dense(wide, activation="relu")(x)
    return keras.Model(start, layers.Dense(units, activation=activation)(x))


def _trunk(kind: str, x: Any) -> Any:
    """Layers of 16,384 weights and more, which int8x4 stores in 4 bits."""
    wide = 144 if kind == "depthwise" else 44
    x = layers.Conv2D(wide, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(x) if kind == "depthwise" else x
    for _ in range(2):
        if kind == "depthwise":
            x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
            x = layers.Conv2D(wide, 1, activation="relu")(x)
        elif kind == "residual":
            x = layers.Add()([x, layers.Conv2D(wide, 3, padding="same", activation="relu")(x)])
        else:
            x = layers.Conv2D(wide, 3, padding="same", activation="relu")(x)
    return x


def _classifier(kind: str) -> keras.Model:
    start = keras.Input((12, 12, 1))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(_trunk(kind, start)))
    return keras.Model(start, layers.Dense(5, activation="softmax")(x))


def _per_pixel(units: int, activation: str | None) -> keras.Model:
    start = keras.Input((12, 12, 1))
    return keras.Model(start, layers.Conv2D(units, 1, activation=activation)(_trunk("plain", start)))


def _image_classes(x: Any) -> Any:
    """Which of five filters answers most, by its energy."""
    shifts = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2)]
    energy = np.stack([np.abs(x - np.roll(x, s, (1, 2))).mean((1, 2, 3)) for s in shifts], 1)
    return ((energy - energy.mean(0)) / energy.std(0)).argmax(1)


CLASSES = "sparse_categorical_crossentropy"
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = "binary_crossentropy"


def vectors(
    units: int, activation: str | None, label: Callable[[Any], Any], loss: Any, **options: Any
) -> Any:
    """Return the maker of a task on vectors."""

    def make(random: np.random.Generator) -> Task:
        x = _vectors(random)
        return Task(_mlp(20, units, activation), x, label(_hidden(x, max(units, 1), random)), loss, options)

    return make


def images(model: Callable[[], keras.Model], label: Callable[[Any], Any], loss: Any, **options: Any) -> Any:
    """Return the maker of a task on images."""

    def make(random: np.random.Generator) -> Task:
        x = _images(random)
        return Task(model(), x, label(x), loss, options)

    return make


def autoencoder(random: np.random.Generator) -> Task:
    """The model gives back its input."""
    code = random.normal(size=(COUNT, 4))
    x = np.tanh(code @ random.normal(size=(4, 24))).astype(np.float32)
    start = keras.Input((24,))
    y = layers.Dense(160, activation="relu")(layers.Dense(160, activation="relu")(start))
    y = layers.Dense(160, activation="relu")(layers.Dense(6)(y))
    model = keras.Model(start, layers.Dense(24)(layers.Dense(160, activation="relu")(y)))
    return Task(model, x, x, "mse", {"labels": "input"})


def sequences(kind: str) -> Any:
    """Return the maker of a task on sequences of 10 steps."""

    def make(random: np.random.Generator) -> Task:
        x = random.normal(size=(COUNT, 10, 8)).astype(np.float32)
        start = keras.Input((10, 8))
        if kind == "tagging":
            mixed = x + np.roll(x, 1, 1)
            y = (mixed @ random.normal(size=(8, 4))).argmax(-1)
            h = layers.Conv1D(80, 3, padding="same", activation="relu")(start)
            h = layers.Conv1D(80, 3, padding="same", activation="relu")(h)
            return Task(keras.Model(start, layers.Dense(4, activation="softmax")(h)), x, y, CLASSES, {})
        y = _hidden(x.mean(1) * 3, 4, random).argmax(1)
        if kind == "attention":
            h = layers.Dense(128)(start)
            h = layers.Add()([h, layers.MultiHeadAttention(2, 64)(h, h)])
            h = layers.GlobalAveragePooling1D()(layers.Dense(128, activation="relu")(h))
        else:
            h = layers.GRU(80)(start)
        return Task(keras.Model(start, layers.Dense(4, activation="softmax")(h)), x, y, CLASSES, {})

    return make


def two_outputs(random: np.random.Generator) -> Task:
    """A class and a number."""
    x = _vectors(random)
    start = keras.Input((20,))
    h = layers.Dense(160, activation="relu")(layers.Dense(160, activation="relu")(start))
    outputs = {
        "kind": layers.Dense(4, activation="softmax", name="kind")(h),
        "size": layers.Dense(1, name="size")(h),
    }
    y = {"kind": _hidden(x, 4, random).argmax(1), "size": _hidden(x, 1, random).astype(np.float32)}
    return Task(keras.Model(start, outputs), x, y, {"kind": CLASSES, "size": "mse"}, {})


TASKS: dict[str, Callable[[np.random.Generator], Task]] = {
    "classes": vectors(6, "softmax", lambda h: h.argmax(1), CLASSES),
    "logits": vectors(6, None, lambda h: h.argmax(1), LOGITS),
    "binary": vectors(1, "sigmoid", lambda h: (h[:, 0] > 0).astype(int), BINARY),
    "rare class": vectors(1, "sigmoid", lambda h: (h[:, 0] > 1.3).astype(int), BINARY, metric="f1"),
    "several classes": vectors(5, "sigmoid", lambda h: (h > 0).astype(int), BINARY),
    "number": vectors(1, None, lambda h: h[:, 0].astype(np.float32), "mse"),
    "count": vectors(1, None, lambda h: np.round(8 * h[:, 0] + 30).astype(int), "mse"),
    "numbers": vectors(4, None, lambda h: h.astype(np.float32), "mse"),
    "ranks": vectors(1, None, lambda h: np.digitize(h[:, 0], [-1, 0, 1]), "mse", metric="mae"),
    "autoencoder": autoencoder,
    "images": images(lambda: _classifier("plain"), _image_classes, CLASSES),
    "depthwise": images(lambda: _classifier("depthwise"), _image_classes, CLASSES),
    "residual": images(lambda: _classifier("residual"), _image_classes, CLASSES),
    "segmentation": images(
        lambda: _per_pixel(3, "softmax"),
        lambda x: np.digitize((x + np.roll(x, 1, 1))[..., 0], [-1, 1]), CLASSES
    ),
    "mask": images(
        lambda: _per_pixel(1, "sigmoid"), lambda x: (x * np.roll(x, 1, 2) > 0.3).astype(int), BINARY
    ),
    "denoising": images(lambda: _per_pixel(1, None), lambda x: np.tanh(x - np.roll(x, 1, 1)), "mse"),
    "tagging": sequences("tagging"),
    "attention": sequences("attention"),
    "recurrent": sequences("recurrent"),
    "two outputs": two_outputs,
}  # fmt: skip
"""Name → function of a random generator that makes the task."""


def _part(data: Any, begin: int, end: int | None) -> Any:
    return {k: v[begin:end] for k, v in data.items()} if isinstance(data, dict) else data[begin:end]


def measure(name: str, seed: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Return the metric of the float model, of PTQ and of QAT on samples that nothing read."""
    keras.utils.set_random_seed(seed)
    task = TASKS[name](np.random.default_rng(seed))
    ends = [(0, TRAIN), (TRAIN, TRAIN + CHOOSE), (TRAIN + CHOOSE, None)]
    (x, y), chooses, test = ((task.x[a:b], _part(task.y, a, b)) for a, b in ends)
    task.model.compile(keras.optimizers.Adam(2e-3), task.loss)
    task.model.fit(x, y, batch_size=64, epochs=30, verbose=0)
    files = {k: folder / f"{name.replace(' ', '_')}_{seed}_{k}.tflite" for k in ("float", "ptq", "qat")}
    tightfit.convert(task.model, files["float"])
    begin = time.perf_counter()
    tightfit.quantize(files["float"], "int8x4", data=x, output=files["ptq"], effort=0)
    alone = task.options.get("labels") == "input"
    tightfit.finetune(
        files["float"], x if alone else (x, y), files["qat"], scheme="int8x4", epochs=epochs, test=test,
        validation=chooses[0] if alone else chooses, **task.options,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    found = tightfit.evaluate(list(files.values()), test, metric=task.options.get("metric", "auto"))
    values = {k: each.value for k, each in zip(files, found, strict=True)}
    return {
        "task": name,
        "seed": seed,
        "metric": found[0].metric,
        **values,
        "drops": [e.drop for e in found],
        "s": seconds,
    }


def won_back(row: dict[str, Any]) -> float | None:
    """Return the share of the loss of PTQ that QAT won back; None where PTQ lost too little to say."""
    ptq, qat = row["drops"][1], row["drops"][2]
    share = row["metric"].partition("@")[0] not in ("mae", "rmse")
    if ptq is None or qat is None or ptq < LOST * (1.0 if share else abs(row["float"])):
        return None
    return (ptq - qat) / ptq


def main() -> None:
    """Measure the tasks and print one row for each task and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(describe_machine())
    print(f"{'task':16} {'seed':>4} {'metric':8} {'float':>8} {'int8x4':>8} {'trained':>8} {'won back':>9}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.tasks.split(","):
            for seed in range(options.seeds):
                row = measure(name, seed, options.epochs, Path(folder))
                share = won_back(row)
                rows.append(row | {"won_back": share})
                numbers = " ".join(f"{row[k]:8.4f}" for k in ("float", "ptq", "qat"))
                text = "" if share is None else f"{share:.0%}"
                print(f"{name:16} {seed:4} {row['metric']:8} {numbers} {text:>9} {row['s']:5.0f}", flush=True)
    shares = [row["won_back"] for row in rows if row["won_back"] is not None]
    below = [
        f"{r['task']} {r['seed']}"
        for r in rows
        if None not in r["drops"][1:] and r["drops"][2] > r["drops"][1]
    ]
    if shares:
        print(
            f"\nPTQ lost two points or more in {len(shares)} of {len(rows)} runs; QAT won back "
            f"{np.mean(shares):.0%} of it on average, {min(shares):.0%} at least"
        )
    print(f"QAT below PTQ: {', '.join(below) or 'in no run'}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
