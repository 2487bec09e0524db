"""Runs in the ``tensorflow`` environment: TensorFlow's quantizer on a float ``.tflite``, int8 or int16x8.

It takes the second half of ``TFLiteConverter.convert`` as it is: calibrate the flatbuffer, then quantize it.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.optimize import calibrator


def samples(path: str, names: list[str]) -> Iterator[list[Any]]:
    """Gives the samples as lists of arrays with a batch of one, in the order of the model's inputs."""
    with zipfile.ZipFile(path) as archive:
        known = {Path(n).stem for n in archive.namelist()}
    arrays = np.load(path)
    columns = [arrays[n if n in known else sorted(known)[i]] for i, n in enumerate(names)]
    for rows in zip(*columns, strict=True):
        yield [row[None] for row in rows]


def main() -> None:
    """Reads ``{"model", "samples", "scheme", "out"}`` and writes the file."""
    request = json.load(sys.stdin)
    model = calibrator.add_intermediate_tensors(Path(request["model"]).read_bytes())
    runner = tf.lite.Interpreter(model_content=model).get_signature_runner()
    names = list(runner.get_input_details())

    def generator() -> Iterator[list[Any]]:
        return samples(request["samples"], names)

    work = calibrator.Calibrator(model)
    activations, biases = {"int8": (tf.int8, tf.int32), "int16x8": (tf.int16, tf.int64)}[request["scheme"]]
    written = work.calibrate_and_quantize(generator, tf.float32, tf.float32, True, activations, biases)
    Path(request["out"]).write_bytes(written)
    print(json.dumps({"size_bytes": len(written)}))


if __name__ == "__main__":
    main()
