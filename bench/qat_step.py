"""Prints what a training step costs: of the original Keras model, of its ``Network``, and of QAT.

Each backend runs in a process of its own, which takes its steps in turns (original, float, QAT, original, …)
on the same batch with the same optimizer, so that a busy moment of the machine hits all three alike. The
ratios are medians over the rounds.

    bench/qat_step.py [--backend jax] [--rounds 15] [--network MobileNetV2]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe_machine

BACKENDS = ("tensorflow", "torch", "jax")
RESULTS = Path(__file__).resolve().parent / "results"
DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.keras"
NETWORKS = {"demo": (28, 28, 1, 32), "MobileNetV2": (96, 96, 3, 16)}
"""Network → height, width and channels of its input, samples a step."""


def original(network: str) -> Any:
    """The Keras model that is measured, as its user has it: batch norm and all."""
    import keras  # noqa: PLC0415 - after the choice of the backend

    if network == "demo":
        return keras.saving.load_model(DEMO)
    shape = NETWORKS[network][:3]
    return getattr(keras.applications, network)(weights=None, input_shape=shape, classes=10)


def make_file(network: str) -> Path:
    """The float file of a network; random weights do not change what a step costs."""
    path = RESULTS / f"step_{network.lower()}.tflite"
    if not path.exists():
        RESULTS.mkdir(exist_ok=True)
        code = f"import qat_step, tightfit; tightfit.load(qat_step.original({network!r}), {str(path)!r})"
        environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return path


def steps_of(network: str, path: Path) -> dict[str, Callable[[], Any]]:
    """One training step of each kind."""
    import keras  # noqa: PLC0415 - after the choice of the backend

    from tightfit.pipeline.quantize_file import open_source  # noqa: PLC0415
    from tightfit.quantization.calibration.calibrate import calibrate, input_names  # noqa: PLC0415
    from tightfit.quantization.calibration.ranges import Ranges  # noqa: PLC0415
    from tightfit.quantization.planning import make_plan  # noqa: PLC0415
    from tightfit.training.network import Network  # noqa: PLC0415

    *shape, batch = NETWORKS[network]
    random = np.random.default_rng(0)
    x = random.random((batch, *shape), np.float32)
    y = random.integers(0, 10, batch)
    source = open_source(path)
    name = next(iter(input_names(source.model)))
    seen = calibrate(source.model, [{name: x[i : i + 1]} for i in range(4)], workers=1)
    plan = make_plan(source.model, "int8", Ranges([seen.statistics]))
    models = {
        "original": original(network),
        "float": Network(source.model, check=False),
        "QAT": Network(source.model, plan, check=False),
    }
    made = {}
    for kind, model in models.items():
        model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
        made[kind] = lambda model=model: model.train_on_batch(x, y)
    return made


def measure(network: str, path: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds of each kind, and the ratios round by round."""
    steps = steps_of(network, path)
    for step in steps.values():  # compiles
        step()
        step()
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for _ in range(rounds):
        for kind, step in steps.items():
            begin = time.perf_counter()
            step()
            times[kind].append((time.perf_counter() - begin) * 1000)
    ratios = {
        "float / original": [f / o for f, o in zip(times["float"], times["original"], strict=True)],
        "QAT / float": [q / f for q, f in zip(times["QAT"], times["float"], strict=True)],
    }
    found = {f"{kind} ms": statistics.median(values) for kind, values in times.items()}
    return found | {name: statistics.median(values) for name, values in ratios.items()}


def main() -> None:
    """Prints a row a network and backend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, action="append", help="by default all installed ones")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="by default all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    networks = options.network or list(NETWORKS)
    if options.one:
        found = measure(networks[0], make_file(networks[0]), options.rounds)
        print(json.dumps(found))
        return
    print(describe_machine())
    print(f"{'':24}{'original ms':>12}{'float ms':>10}{'QAT ms':>10}{'float/orig':>12}{'QAT/float':>11}")
    for network in networks:
        make_file(network)
        for backend in options.backend or [b for b in BACKENDS if find_spec(b) is not None]:
            row = list(_apart(network, backend, options.rounds).values())
            numbers = "".join(
                f"{v:>{w}.{d}f}" for v, w, d in zip(row, (12, 10, 10, 12, 11), (0, 0, 0, 2, 2), strict=True)
            )
            print(f"{network + ' ' + backend:24}{numbers}", flush=True)


def _apart(network: str, backend: str, rounds: int) -> dict[str, float]:
    """Measures in a process with another backend."""
    words = [sys.executable, __file__, "--one", "--network", network, "--rounds", str(rounds)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{network} on {backend} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
