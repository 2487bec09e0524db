"""litert-quantizer on a model of the zoo, in an environment of its own, compared on the samples."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tightfit.graph.reader import read_model
from tightfit.graph.signatures import main_signature
from tightfit.quantization.checking import snr_over
from tightfit.runtime.session import Session
from tightfit.types import Array

PEER_SCHEMES = ("float16", "weight8", "dynamic", "int8", "int16x8", "weight4")
_PEER = Path(__file__).parent / "peer_litert_quantizer.py"


def peer_decibels(python: str, model: Path, scheme: str, samples: Mapping[str, Array]) -> str:
    """Return the peer's signal-to-noise and bytes in words, or how it ended.

    Args:
        python: of its environment.
        model: the float file; the peer needs a signature.
        scheme: one of ``PEER_SCHEMES``.
        samples: by input name, the samples on the first axis.
    """
    if main_signature(read_model(model)) is None:
        return "refuses: no signature"
    with tempfile.TemporaryDirectory() as folder:
        output, data = Path(folder) / "peer.tflite", Path(folder) / "samples.npz"
        batched = {name: np.expand_dims(values, 1) for name, values in samples.items()}
        np.savez(data, **batched)  # type: ignore[arg-type]
        request = {"model": str(model), "samples": str(data), "scheme": scheme, "out": str(output)}
        request |= {"mode": "profiler", "threads": None}
        words, text = [python, str(_PEER)], json.dumps(request)
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode or not output.is_file():
            said = (done.stderr.strip().splitlines() or ["no word"])[-1]
            return f"refuses: {said[:90]}"
        try:
            return f"{_compared(model, output, batched):.1f} dB {output.stat().st_size:,} B"
        except Exception as error:  # noqa: BLE001 - what the peer wrote may not run
            return f"does not run: {str(error)[:90]}"


def _compared(model: Path, output: Path, samples: Mapping[str, Array]) -> float:
    count = len(next(iter(samples.values())))
    with Session(model) as first, Session(output) as second:
        given = [{n: v[i] for n, v in samples.items()} for i in range(count)]
        wanted, answers = ([session.run(x) for x in given] for session in (first, second))
    return snr_over(answers, wanted)
