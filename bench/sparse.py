"""Bytes of sparse files at 90 % zeros, and whether XNNPACK computes them without the zeros.

    python bench/sparse.py [--sparsity 0.9] [--models FILE.tflite ...]

Two MobileNetV1 of keras.applications (random weights: bytes do not depend on their values): as it is, padded
on one side, and padded alike on all. Both are pruned, and rewritten where that is exact. Each file runs on
LiteRT beside the dense one. Where Debian's qemu-user is installed LiteRT also profiles them under an
emulated x86 without AVX, as XNNPACK uses sparse inference there (and on ARM): the names of its ops say
whether it does. An emulated time says nothing about a processor, so none is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import tightfit
from machine import describe_machine
from tightfit.api.parameters.shrink_options import ShrinkOptions
from tightfit.api.prune import prune
from tightfit.compression.sparsity.pruning import Pruning
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model

CPU = "Nehalem"
PROFILE = """
import json, sys
import numpy as np
from tightfit.graph.reader import read_model
from tightfit.runtime.native.op_profile_worker import ProfileWorker
shapes = [t.shape for t in read_model(sys.argv[1]).main.inputs]
arrays = [np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in shapes]
(run,) = ProfileWorker().profile(sys.argv[1], 0, arrays, 1, 1)
print(json.dumps([event[0] for event in run]))
"""


def network(*, symmetric: bool) -> keras.Model:
    """Gives MobileNetV1 for 224×224; ``symmetric`` pads alike on all sides, not only below and right."""
    keras.utils.set_random_seed(0)
    plain = keras.applications.MobileNet(weights=None)
    if not symmetric:
        return plain

    def padded(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            config["padding"] = ((1, 1), (1, 1))
        if layer.name == "conv1":
            config["padding"] = "valid"
        return layer.__class__.from_config(config)

    twin = keras.models.clone_model(plain, clone_function=padded)
    x = twin.inputs[0]
    for layer in twin.layers[1:]:
        x = keras.layers.ZeroPadding2D(1)(x) if layer.name == "conv1" else x
        x = layer(x)
    return keras.Model(twin.inputs, x)


def emulated_ops(path: Path) -> Counter[str] | None:
    """Gives the ops that LiteRT runs on an x86 without AVX, by name; None where nothing can emulate one."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        return None
    command = [emulator, "-cpu", CPU, sys.executable, "-c", PROFILE, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        return Counter({f"failed: {result.stderr.strip().splitlines()[-1]}": 1})
    return Counter(json.loads(result.stdout.strip().splitlines()[-1]))


def report(label: str, path: Path, sparsity: float, folder: Path) -> None:
    """Prunes, prints sizes, ratios and what the runtime's profile says."""
    print(f"\n{label}: {path.stat().st_size / 1e6:.1f} MB")
    for scheme in ("float", "weight8"):
        out = folder / f"{path.stem}_{scheme}.tflite"
        result = prune(path, out, Pruning(sparsity), ShrinkOptions(scheme=scheme, provenance=False))
        ratio = result.size.size_bytes / result.original_size.size_bytes
        print(f"  {scheme:<8} {result.size.size_bytes / 1e6:.2f} MB, {ratio:.3f}x of the dense float file; "
              f"latency here {result.latency.ratio:.2f}x")  # fmt: skip
        for note in result.notes:
            print(f"    {note}")
        ops = emulated_ops(out)
        if ops is None:
            print("    not proven here: qemu-user is not installed")
            continue
        sparse = sum(n for name, n in ops.items() if "SPMM" in name)
        print(f"    emulated {CPU} (no AVX): {sparse} of {ops.total()} ops are sparse products (SPMM)")
        print("      " + ", ".join(f"{name} x{n}" for name, n in ops.most_common()))


def main() -> None:
    """Prints both networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="Float .tflite files besides.")
    options = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, symmetric in (("MobileNetV1 as it is", False), ("MobileNetV1, padding alike", True)):
            path = folder / f"mobilenet_{'alike' if symmetric else 'plain'}.tflite"
            converted = tightfit.load(network(symmetric=symmetric))
            write_model(read_model(converted.path), path)
            report(label, path, options.sparsity, folder)
        for path in options.models:
            report(path.name, path, options.sparsity, folder)


if __name__ == "__main__":
    main()
