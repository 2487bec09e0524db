"""Prints float → post-training → trained accuracy of many kinds of tasks with 4-bit weights.

    bench/tasks.py [--tasks classes,tagging] [--seeds 3] [--epochs 20] [--rows tasks.json]

Each task draws its data from a random smooth rule by the seed, trains a small Keras model on 1,600 samples,
lets 400 others choose between the files, and measures on 2,000 more, which no training and no calibration
reads. Classes are narrow bands of the rule, so that a float model finds them and small errors count.
``won back`` is the share of the loss of int8x4 after training that ``finetune`` gains; it counts where two
points, or 2 % of an error, were lost.

``--rows`` keeps each row: a run that was stopped goes on, and rows of another state of the package are
measured again. ``--most 900`` starts no row after so many seconds.
"""

from __future__ import annotations

import argparse
import hashlib
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

TRAIN, CHOOSE, TEST = 1600, 400, 2000
COUNT = TRAIN + CHOOSE + TEST
LOST = 0.02
BAR = 0.8


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


def _smooth(x: Any, units: int, random: np.random.Generator) -> Any:
    """A random smooth rule of the inputs, centred."""
    flat = x.reshape(len(x), -1)
    inner = np.tanh(flat @ random.normal(size=(flat.shape[1], 6)) / np.sqrt(flat.shape[1]))
    found = inner @ random.normal(size=(6, units))
    return (found - found.mean(0)) / found.std(0)


def _bands(values: Any, count: int) -> Any:
    """Which of ``count`` equally frequent bands a value lies in."""
    return np.digitize(values, np.quantile(values, np.arange(1, count) / count))


def _vectors(random: np.random.Generator, size: int) -> Any:
    return random.normal(size=(COUNT, size)).astype(np.float32)


def _images(random: np.random.Generator, side: int = 8) -> Any:
    """Smooth random images: sums of a few waves."""
    rows, columns = np.mgrid[:side, :side] / side
    waves = random.normal(size=(COUNT, 4, 5))
    made = sum(
        waves[:, k, 0, None, None]
        * np.sin(
            4 * (waves[:, k, 1, None, None] * rows + waves[:, k, 2, None, None] * columns)
            + waves[:, k, 3, None, None]
        )
        for k in range(4)
    )
    return np.asarray(made, np.float32)[..., None]


def _mlp(size: int, units: int, activation: str | None, *, wide: int = 128) -> keras.Model:
    start = x = keras.Input((size,))
    for _ in range(3):
        x = layers.Dense(wide, activation="relu")(x)
    return keras.Model(start, layers.Dense(units, activation=activation)(x))


def _trunk(kind: str, x: Any) -> Any:
    """Layers of 16,384 weights and more, which int8x4 stores in 4 bits."""
    wide = 128 if kind == "depthwise" else 44
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
    start = keras.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(_trunk(kind, start))
    return keras.Model(start, layers.Dense(8, activation="softmax")(x))


def _per_pixel(units: int, activation: str | None) -> keras.Model:
    start = keras.Input((8, 8, 1))
    return keras.Model(start, layers.Conv2D(units, 1, activation=activation)(_trunk("plain", start)))


def _image_classes(x: Any) -> Any:
    """The band of the image's roughness."""
    return _bands(np.square(x - np.roll(x, 1, 1)).mean((1, 2, 3)), 8)


CLASSES = "sparse_categorical_crossentropy"
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY = "binary_crossentropy"
_ENDS = {CLASSES: "softmax", BINARY: "sigmoid"}


def vectors(size: int, units: int, label: Callable[[Any], Any], loss: Any, **options: Any) -> Any:
    """Return the maker of a task on vectors; ``label`` of the rule's values, ``rules`` of them."""
    rules, activation = options.pop("rules", 1), _ENDS.get(str(loss))

    def make(random: np.random.Generator) -> Task:
        x = _vectors(random, size)
        return Task(_mlp(size, units, activation), x, label(_smooth(x, rules, random)), loss, options)

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
    y = layers.Dense(128, activation="relu")(layers.Dense(128, activation="relu")(start))
    y = layers.Dense(128, activation="relu")(layers.Dense(6)(y))
    model = keras.Model(start, layers.Dense(24)(layers.Dense(128, activation="relu")(y)))
    return Task(model, x, x, "mse", {"labels": "input"})


def sequences(kind: str) -> Any:
    """Return the maker of a task on sequences of 10 steps."""

    def make(random: np.random.Generator) -> Task:
        x = random.normal(size=(COUNT, 10, 8)).astype(np.float32)
        start = keras.Input((10, 8))
        if kind == "tagging":
            mixed = np.tanh((x + np.roll(x, 1, 1)) @ random.normal(size=(8, 2)) / 3).sum(-1)
            y = _bands(mixed, 10)
            h = layers.Conv1D(80, 3, padding="same", activation="relu")(start)
            h = layers.Conv1D(80, 3, padding="same", activation="relu")(h)
            return Task(keras.Model(start, layers.Dense(10, activation="softmax")(h)), x, y, CLASSES, {})
        y = _bands(_smooth(x.mean(1) * 3, 1, random)[:, 0], 10)
        if kind == "attention":
            h = layers.Dense(128)(start)
            h = layers.Add()([h, layers.MultiHeadAttention(2, 64)(h, h)])
            h = layers.GlobalAveragePooling1D()(layers.Dense(128, activation="relu")(h))
        else:
            h = layers.GRU(80)(start)
        return Task(keras.Model(start, layers.Dense(10, activation="softmax")(h)), x, y, CLASSES, {})

    return make


def two_outputs(random: np.random.Generator) -> Task:
    """A class and a number."""
    x = _vectors(random, 4)
    start = keras.Input((4,))
    h = layers.Dense(128, activation="relu")(layers.Dense(128, activation="relu")(start))
    outputs = {
        "kind": layers.Dense(16, activation="softmax", name="kind")(h),
        "size": layers.Dense(1, name="size")(h),
    }
    rule = _smooth(x, 2, random)
    y = {"kind": _bands(rule[:, 0], 16), "size": rule[:, 1:].astype(np.float32)}
    return Task(keras.Model(start, outputs), x, y, {"kind": CLASSES, "size": "mse"}, {})


TASKS: dict[str, Callable[[np.random.Generator], Task]] = {
    "classes": vectors(3, 20, lambda h: _bands(h[:, 0], 20), CLASSES),
    "logits": vectors(4, 16, lambda h: _bands(h[:, 0], 16), LOGITS),
    "binary": vectors(4, 1, lambda h: (np.sin(4 * h[:, 0]) > 0).astype(int), BINARY),
    "rare class": vectors(4, 1, lambda h: (np.abs(h[:, 0] - 0.3) < 0.1).astype(int), BINARY, metric="f1"),
    "several classes": vectors(4, 5, lambda h: (np.sin(3 * h) > 0).astype(int), BINARY, rules=5),
    "number": vectors(6, 1, lambda h: h[:, 0].astype(np.float32), "mse"),
    "count": vectors(4, 1, lambda h: np.round(6 * h[:, 0] + 12).astype(int), "mse"),
    "numbers": vectors(6, 4, lambda h: h.astype(np.float32), "mse", rules=4),
    "ranks": vectors(4, 1, lambda h: _bands(h[:, 0], 16), "mse", metric="mae"),
    "autoencoder": autoencoder,
    "images": images(lambda: _classifier("plain"), _image_classes, CLASSES),
    "depthwise": images(lambda: _classifier("depthwise"), _image_classes, CLASSES),
    "residual": images(lambda: _classifier("residual"), _image_classes, CLASSES),
    "segmentation": images(
        lambda: _per_pixel(8, "softmax"),
        lambda x: _bands((x + np.roll(x, 1, 1))[..., 0], 8), CLASSES
    ),
    "mask": images(
        lambda: _per_pixel(1, "sigmoid"), lambda x: _bands((x - np.roll(x, 1, 2)), 8) % 2, BINARY
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
    epochs_of_float = 12 if isinstance(x, np.ndarray) and x.ndim == 4 else 20
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs_of_float * TRAIN // 64)
    task.model.compile(keras.optimizers.Adam(rate), task.loss)
    task.model.fit(x, y, batch_size=64, epochs=epochs_of_float, verbose=0)
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


def state_of_package() -> str:
    """Return a hash of the package's source: rows of another state are not compared with these."""
    root = Path(tightfit.__file__).parent
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def measured_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows, each seed after the one before; those that are kept are not measured again."""
    begin, known = time.monotonic(), {"state": state_of_package(), "epochs": options.epochs}
    kept = json.loads(options.rows.read_text()) if options.rows and options.rows.exists() else []
    rows = {(r["task"], r["seed"]): r for r in kept if known.items() <= r.items()}
    wanted = [(name, seed) for seed in range(options.seeds) for name in options.tasks.split(",")]
    for name, seed in wanted:
        if (name, seed) in rows or (options.most and time.monotonic() - begin > options.most):
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows[name, seed] = measure(name, seed, options.epochs, Path(folder)) | known
        if options.rows:
            options.rows.write_text(json.dumps(list(rows.values()), indent=1))
    return [rows[key] for key in sorted(wanted, key=lambda k: (list(TASKS).index(k[0]), k[1])) if key in rows]


def table_of(rows: list[dict[str, Any]]) -> str:
    """Return the table, and what it says in all."""
    lines = [
        f"{'task':16} {'seed':>4} {'metric':9} {'float':>8} {'int8x4':>8} {'trained':>8} {'won back':>9}"
    ]
    for row in rows:
        share, metric = won_back(row), row["metric"].partition("@")[0]
        numbers = " ".join(f"{row[k]:8.4f}" for k in ("float", "ptq", "qat"))
        text = "" if share is None else f"{share:.0%}"
        lines.append(f"{row['task']:16} {row['seed']:4} {metric:9} {numbers} {text:>9} {row['s']:5.0f} s")
    shares = [share for row in rows if (share := won_back(row)) is not None]
    named = [(f"{r['task']} {r['seed']}", r["drops"]) for r in rows if None not in r["drops"][1:]]
    below = [name for name, drops in named if drops[2] > drops[1]]
    if shares:
        lines.append(
            f"\nPTQ lost two points or more in {len(shares)} of {len(rows)} runs; QAT won back "
            f"{np.mean(shares):.0%} of it on average, {min(shares):.0%} at least, 80 % or more in "
            f"{sum(s >= BAR for s in shares)}"
        )
    lines.append(f"QAT below PTQ: {', '.join(below) or 'in no run'}")
    return "\n".join(lines)


def main() -> None:
    """Measure the tasks and print one row for each task and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=Path, help="file that keeps the rows")
    parser.add_argument("--most", type=float, default=0.0, help="seconds after which no row is started")
    print(describe_machine())
    print(table_of(measured_rows(parser.parse_args())))


if __name__ == "__main__":
    main()
