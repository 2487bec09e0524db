"""Latency of 4 dense layers of 2048 × 2048, one sample, when the kernels skip blocks of zeros.

    python bench/sparse_dense_layers.py [--rounds 9]

Every file is measured in turns with dense float32, on one thread. FULLY_CONNECTED reads 1x4 blocks in float32
and 1x16 blocks in int8 as they stand in the file; other patterns are unpacked at load and gain nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from interleaved import latency_ratios
from machine import describe_machine
from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.sparse_files import write_sparse
from tightfit.weights.patterns import keep

WIDTH, LAYERS = 2048, 4


def dense_layers(pattern: str | None, sparsity: float) -> Model:
    """Gives the network, pruned by a pattern; the last layer has no activation."""
    random = np.random.default_rng(0)
    graph = Graph()
    x = Tensor("x", (1, WIDTH))
    graph.inputs = [x]
    for layer in range(LAYERS):
        values = (random.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32)
        if pattern is not None:
            values *= keep(values, sparsity, pattern, 0)
            values /= (1 - sparsity) ** 0.5
        weights = Tensor(f"w{layer}", values.shape, data=values)
        bias = Tensor(f"b{layer}", (WIDTH,), data=np.zeros(WIDTH, np.float32))
        y = Tensor(f"y{layer}", (1, WIDTH))
        options = {"fusedActivationFunction": int(layer < LAYERS - 1)}
        graph.append(Op("FULLY_CONNECTED", [x, weights, bias], [y], options, "FullyConnectedOptions"))
        x = y
    graph.outputs = [x]
    return Model([graph], [Signature("serving_default", {"x": graph.inputs[0]}, {"y": x})])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(describe_machine())
    random = np.random.default_rng(1)
    samples = [{"x": random.standard_normal((1, WIDTH)).astype(np.float32)} for _ in range(20)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names, paths = ["dense float32"], [folder / "float.tflite"]
        write_model(dense_layers(None, 0.0), paths[0])
        names.append("dense int8")
        paths.append(quantize_file(paths[0], "int8", folder / "int8.tflite", samples).path)
        for sparsity in (0.8, 0.9):
            for scheme, pattern in (("float32", "unstructured"), ("float32", "1x4"), ("int8", "1x16")):
                label = f"{scheme} {pattern} {sparsity:.0%} zeros"
                plain, path = folder / f"{label} plain.tflite", folder / f"{label}.tflite"
                write_model(dense_layers(pattern, sparsity), plain)
                if scheme == "int8":
                    plain = quantize_file(plain, "int8", folder / f"{label} q.tflite", samples).path
                write_sparse(read_model(plain), path)
                names.append(label)
                paths.append(path)
        ratios = latency_ratios(paths, rounds=options.rounds)
        whole = paths[0].stat().st_size
        for label, path, ratio in zip(names, paths, ratios, strict=True):
            print(f"{label:<34} latency {ratio:5.2f}x  file {path.stat().st_size / whole:5.3f}x")


if __name__ == "__main__":
    main()
