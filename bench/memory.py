"""Prints the most memory that ``convert`` and ``quantize`` hold on a large model, in multiples of its file.

The model is ResNet101V2 with 4,000 classes and random weights: 202 MB. Memory is the sum over a command's
processes of their proportional set size (pages that several map count once), read every 50 ms (Linux only).
litert-quantizer quantizes the same file with the same samples.

    python bench/memory.py [--network ResNet101V2] [--classes 4000] [--samples 24] [--no-peer]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import peers
from machine import describe_machine
from processes import peak_of
from sample_file import Array, Column, write_samples
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names


def keras_file(network: str, classes: int) -> Path:
    """The Keras file of a network of keras.applications, written once."""
    path = peers.RESULTS / f"{network.lower()}_{classes}.keras"
    if not path.exists():
        peers.RESULTS.mkdir(exist_ok=True)
        code = (
            f"import keras; keras.applications.{network}(weights=None, classes={classes}).save({str(path)!r})"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    return path


def sample_file(model: Path, count: int) -> Path:
    """Random samples for the model's inputs, written once."""
    path = peers.RESULTS / f"{model.stem}_{count}_memory.npz"
    if not path.exists():
        shapes = {name: tensor.shape[1:] for name, tensor in input_names(read_model(model)).items()}
        columns = {n: Column(_rows(shape, count), (count, *shape)) for n, shape in shapes.items()}
        write_samples(path, columns)
    return path


def _rows(shape: tuple[int, ...], count: int) -> Iterator[Array]:
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield generator.standard_normal(shape, dtype=np.float32)


def row(name: str, command: list[str], file: Path, request: dict[str, object] | None = None) -> None:
    """Prints the peak of one command."""
    peak = peak_of(command, "" if request is None else json.dumps(request))
    size = file.stat().st_size
    print(f"{name:42} {peak / 1e6:7.0f} MB   {peak / size:4.1f}x the file", flush=True)


def main() -> None:
    """Converts, then quantizes what was converted, then lets the peer quantize it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="ResNet101V2")
    parser.add_argument("--classes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()
    source = keras_file(options.network, options.classes)
    model, out = source.with_suffix(".tflite"), source.with_suffix(".int8.tflite")
    print(describe_machine())
    own = [sys.executable, "-m", "tightfit"]
    model.unlink(missing_ok=True)
    row("tightfit convert, from .keras", [*own, "convert", str(source), "-o", str(model)], source)
    samples = sample_file(model, options.samples)
    words = [*own, "quantize", str(model), "int8", "--data", str(samples), "-o", str(out)]
    row("tightfit quantize int8", words, model)
    if not options.no_peer:
        command = peers.command("litert-quantizer", "peer_litert_quantizer.py")
        request = {"model": str(model), "samples": str(samples), "scheme": "int8", "out": str(out)}
        row("litert-quantizer int8", command, model, {**request, "threads": 2, "limit": options.samples})


if __name__ == "__main__":
    main()
