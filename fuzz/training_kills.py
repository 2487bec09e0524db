"""Kills a training with SIGKILL in each of its phases, then goes on; prints how the files compare.

    python -m fuzz.training_kills [--kills 30] [--first 0] [--seed 0]

The training prunes, clusters and quantizes a small model. It is killed while it prepares, in the pruning, in
the training with clusters and integers, at a rename of a checkpoint or of the file, and while it measures.
Every resumed training must give the file of one that was never killed, byte for byte; no checkpoint is left.
The exit code is 1 when one does not. ``--first 10 --kills 20`` runs the kills 11 to 20 of the same draw.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

PHASES: Final = ("preparing", "stage 1", "stage 2", "renaming", "measuring")
_PROGRAM: Final = """
import os, signal, sys, threading
from pathlib import Path

phase, count = sys.argv[1], int(sys.argv[2])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if phase == "renaming":
    import tightfit.files
    original, seen = os.replace, [0]
    renamed = Path.replace

    def counted(function):
        def replace(*given, **named):
            seen[0] += 1
            if seen[0] == count:
                die()
            return function(*given, **named)
        return replace

    os.replace, Path.replace = counted(original), counted(renamed)
steps = {}

def heard(stage, done, total, facts):
    steps[stage] = steps.get(stage, 0) + 1
    if stage == phase and steps[stage] == count:
        die()

if phase == "preparing":
    threading.Timer(0.5 + count / 5, die).start()
import tightfit
tightfit.finetune(
    "m.tflite", "d.npz", "out.tflite", scheme="int8", sparsity=0.5, clusters=8, epochs=4, batch=16,
    listener=heard,
)
"""
"""Runs one training; arguments: phase and the number of the event at which it dies."""
_MOST: Final = {"preparing": 12, "stage 1": 8, "stage 2": 8, "renaming": 6, "measuring": 20}
"""Events of a phase from which the one of the kill is drawn."""


def write_setting(folder: Path) -> None:
    """Write a small model and labelled samples."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras  # noqa: PLC0415 - takes seconds

    import tightfit  # noqa: PLC0415 - after Keras' backend is chosen

    keras.utils.set_random_seed(0)
    start = keras.Input((8, 8, 3))
    h = keras.layers.Conv2D(16, 3, activation="relu")(start)
    h = keras.layers.Conv2D(24, 3, activation="relu")(h)
    out = keras.layers.Dense(4, activation="softmax")(keras.layers.GlobalAveragePooling2D()(h))
    tightfit.convert(keras.Model(start, out), folder / "m.tflite")
    random = np.random.default_rng(0)
    x = random.normal(size=(110, 8, 8, 3)).astype(np.float32)
    np.savez(folder / "d.npz", x=x, y=np.arange(110) % 4)


def run(folder: Path, phase: str = "", count: int = 0) -> int:
    """Run the training, killed in a phase or not, and return its exit code."""
    one_order = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, phase, str(count)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        env=os.environ | one_order | {"KERAS_BACKEND": "jax"},
    ).returncode  # fmt: skip


def result(folder: Path) -> str:
    """Return the hash of the file, which is then removed."""
    file = folder / "out.tflite"
    found = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "no file"
    file.unlink(missing_ok=True)
    return found


def main() -> int:
    """Kill as often as is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="kills of the draw that are left out")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice, kills, failures = Random(asked.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_setting(folder)
        run(folder)
        whole = result(folder)
        for number in range(asked.kills):
            phase = PHASES[number % len(PHASES)]
            count = dice.randint(1, _MOST[phase])
            if number < asked.first:
                continue
            killed = run(folder, phase, count) == -9
            kills[phase] += killed
            run(folder)
            equal = result(folder) == whole
            left = sorted(p.name for p in folder.iterdir() if p.name not in ("m.tflite", "d.npz"))
            failures += not equal or bool(left)
            said = "equal" if equal else "another file"
            print(f"{number + 1}: {phase} {count}, killed {killed}, {said}, left {left}", flush=True)
    print(f"kills {dict(kills)}, {sum(kills.values())} in all; {failures} failures; file {whole[:12]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
