"""Gives the models that the benchmarks measure when no model is named; built once into ``bench/results``."""

from __future__ import annotations

from pathlib import Path

import peers


def network_file(network: str = "MobileNetV2", size: int = 224, seed: int = 0) -> Path:
    """Gives a float ``.tflite`` of a keras.applications network, random weights, settled batch norms."""
    path = peers.RESULTS / f"{network.lower()}_{size}_{seed}.tflite"
    if not path.exists():
        peers.RESULTS.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        request = {"network": network, "size": size, "seed": seed, "out": str(part)}
        peers.run("tensorflow", "peer_tensorflow.py", request)
        part.replace(path)
    return path


if __name__ == "__main__":
    print(network_file())
