"""The files of the guide's rows: ours by the command line as it is, each peer's in its own environment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import peers
from guide_samples import Samples

OWN, LITERT, TENSORFLOW = "tightfit", "litert-quantizer", "TensorFlow"
POST_TRAINING: Final = ("float16", "dynamic", "int8", "int16x8")
TRAINED: Final = "int8 QAT"
NEEDS: Final = {"float16": "none", "dynamic": "none", TRAINED: "training samples"}
"""Data that a scheme needs; the others calibrate with samples without labels."""
RUNS_ON: Final = {
    "float16": "CPU, GPU",
    "dynamic": "CPU",
    "int8": "CPU, NPU, microcontroller",
    "int16x8": "CPU, NPU, microcontroller",
    TRAINED: "CPU, NPU, microcontroller",
}


@dataclass
class Made:
    """One file that was asked for.

    Args:
        path: the file. seconds: of the whole process that made it. refusal: why there is none, or None.
    """

    tool: str
    scheme: str
    path: Path
    seconds: float = 0.0
    refusal: str | None = None


def make_files(
    model: Path, row: Mapping[str, Any], samples: Samples, folder: Path, schemes: Sequence[str]
) -> list[Made]:
    """Return a file, or a refusal, for every scheme and tool; a tool that refuses ends nothing."""
    wanted: list[tuple[str, str, Callable[[Path], None]]] = []
    for scheme in schemes:
        if scheme == TRAINED:
            continue
        wanted.append((OWN, scheme, _own(model, scheme, samples)))
        wanted.append((LITERT, scheme, _litert(model, scheme, samples)))
        if scheme in ("int8", "int16x8"):
            wanted.append((TENSORFLOW, scheme, _tensorflow(model, scheme, samples)))
    if TRAINED in schemes and "train" in row:
        wanted.append((OWN, TRAINED, _trained(model, row["train"], samples)))
    return [_made(tool, scheme, make, folder) for tool, scheme, make in wanted]


def _made(tool: str, scheme: str, make: Callable[[Path], None], folder: Path) -> Made:
    made = Made(tool, scheme, folder / f"{tool}_{scheme.replace(' ', '_')}.tflite")
    print(f"{tool} {scheme} ...", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    try:
        make(made.path)
    except peers.PeerError as error:
        made.refusal = " ".join(str(error).split())[-200:]
    made.seconds = time.perf_counter() - begin
    return made


def _run(words: Sequence[str]) -> None:
    """Runs a command of ours.

    Raises:
        PeerError: it ends with an error; carries its last line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tightfit", *words], capture_output=True, text=True, check=False
    )
    if done.returncode > 1:
        raise peers.PeerError((done.stderr.strip().splitlines() or ["no message"])[-1])


def _own(model: Path, scheme: str, samples: Samples) -> Callable[[Path], None]:
    data = [] if scheme in ("float16", "dynamic") else ["--data", str(samples.calibration)]
    return lambda out: _run(["quantize", str(model), scheme, *data, "-o", str(out)])


def _trained(model: Path, options: Sequence[str], samples: Samples) -> Callable[[Path], None]:
    words = ["finetune", str(model), "--scheme", "int8", "--data", str(samples.calibration), *options]
    return lambda out: _run([*words, "-o", str(out)])


def _litert(model: Path, scheme: str, samples: Samples) -> Callable[[Path], None]:
    request = {
        "model": str(model), "samples": str(samples.calibration), "scheme": scheme, "mode": "profiler",
        "threads": os.cpu_count(),
    }  # fmt: skip
    script = "peer_litert_quantizer.py"
    return lambda out: _peer("litert-quantizer", script, request | {"out": str(out)})


def _tensorflow(model: Path, scheme: str, samples: Samples) -> Callable[[Path], None]:
    request = {"model": str(model), "samples": str(samples.calibration), "scheme": scheme}
    script = "peer_tensorflow_quantizer.py"
    return lambda out: _peer("tensorflow", script, request | {"out": str(out)})


def _peer(name: str, script: str, request: dict[str, Any]) -> None:
    peers.run(name, script, request)
