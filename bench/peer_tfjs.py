"""Runs in the ``tfmot`` environment: a TF.js layers model as a Keras 2 ``.h5`` file.

Reads {"model": JSON file of the topology and the manifest, "weights": file of all shards, "out": x.h5}. A
weight that is stored in 8 or 16 bits is integer × scale + min.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tf_keras as keras


def arrays(manifest: list[dict[str, Any]], raw: bytes) -> dict[str, Any]:
    """Return name → float32 array of every weight, in the order in which they are stored."""
    found, place = {}, 0
    for entry in (weight for group in manifest for weight in group["weights"]):
        quantized = entry.get("quantization")
        dtype = np.dtype(quantized["dtype"] if quantized else entry["dtype"])
        count = math.prod(entry["shape"])
        values = np.frombuffer(raw, dtype, count, place).reshape(entry["shape"]).astype(np.float32)
        place += count * dtype.itemsize
        found[entry["name"]] = values * quantized["scale"] + quantized["min"] if quantized else values
    return found


def main() -> None:
    """Writes the file."""
    request = json.load(sys.stdin)
    stored = json.loads(Path(request["model"]).read_text())
    topology = stored["modelTopology"]
    network = keras.models.model_from_json(json.dumps(topology.get("model_config", topology)))
    weights = arrays(stored["weightsManifest"], Path(request["weights"]).read_bytes())
    network.set_weights([weights[variable.name.split(":")[0]] for variable in network.weights])
    network.save(request["out"])
    print(json.dumps({"parameters": network.count_params()}))


if __name__ == "__main__":
    main()
