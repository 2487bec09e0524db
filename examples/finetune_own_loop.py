"""Pruning and quantization-aware training in a training loop of your own: compile, fit, callbacks, write.

    pip install 'tightfit[keras]'
    python examples/finetune_own_loop.py

The network is a ``keras.Model``: optimizer options (moving average of the weights, gradient accumulation),
callbacks, mixed precision and any data that ``fit`` takes work as for other models. ``fit`` moves the masks.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from tightfit.demo import MODEL, calibration
from tightfit.graph.signatures import input_names
from tightfit.pipeline.source import open_source
from tightfit.pipeline.training_start import training_start
from tightfit.pipeline.write import write_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.training.export import export
from tightfit.training.network import Network
from tightfit.training.transforms.sparsity_schedules import Polynomial
from tightfit.training.transforms.weight_transforms import Mask
from tightfit.weights.statistics import weight_values


def main() -> None:
    """Train, write, print what the file holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", default="own_loop.tflite")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=320)
    options = parser.parse_args()
    pairs = [pair for pair, _ in zip(calibration(), range(options.samples), strict=False)]
    x, y = np.concatenate([image for image, _ in pairs]), np.array([label for _, label in pairs])
    source = open_source(MODEL)
    name = next(iter(input_names(source.model)))
    scheme = find_scheme("int8")
    model, plan = training_start(
        source.model, scheme, lambda: ({name: image[None]} for image in x[:50]), weights_free=False
    )
    steps = options.epochs * (len(x) // 32)
    network = Network(model, plan, [Mask(Polynomial(0.8, end=max(1, steps * 7 // 10)), scope="file")])
    network.compile(
        keras.optimizers.Adam(1e-4, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    network.fit(x, y, batch_size=32, epochs=options.epochs, verbose=2)
    trained, trained_plan = export(network)
    written = write_plan(replace(source, model=trained), trained_plan, Path(options.output))
    print(f"{written.path}: {weight_values(written.path).zeros:.1%} zeros")


if __name__ == "__main__":
    main()
