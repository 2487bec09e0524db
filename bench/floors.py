"""Run the guards against hostile files with the lowest and the newest versions that pyproject.toml permits.

    python bench/floors.py [--folder .venv-floors] [--only lowest] [TESTS…]

Each environment is resolved by uv from pyproject.toml, in a folder of its own; the versions are printed, then
the tests run there. The exit code is 1 when one fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESOLUTIONS: Final = {"lowest": "lowest-direct", "newest": "highest"}
EXTRAS: Final = ("keras", "onnx", "sign")
TESTS: Final = (
    "tests/conversion/test_guards.py",
    "tests/provenance/test_signature.py",
    "tests/faults/test_fuzz.py",
)
_SHOWN: Final = (
    "keras",
    "onnx",
    "h5py",
    "numpy",
    "jax",
    "onnxruntime",
    "protobuf",
    "pillow",
    "flatbuffers",
    "click",
)
_TOOLS: Final = ("pytest", "pytest-xdist", "hypothesis")


def environment(folder: Path, resolution: str) -> Path:
    """Make an environment of the resolved versions, and return its Python."""
    locked, uv = folder / "lock.txt", [sys.executable, "-m", "uv"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    resolve = ["pip", "compile", "--quiet", "--resolution", resolution, "--python-version", version, *extras]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, *resolve, "pyproject.toml", "--output-file", str(locked)], cwd=ROOT, check=True)
    python = folder / "bin" / "python"
    install = ["pip", "install", "--quiet", "--python", str(python), "--requirement", str(locked), *_TOOLS]
    subprocess.run([*uv, *install], check=True)
    return python


def versions(python: Path) -> str:
    """Return what is installed of the packages that read a stranger's file."""
    program = (
        f"from importlib.metadata import version as v; print(', '.join(n + ' ' + v(n) for n in {_SHOWN!r}))"
    )
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    """Makes the environments and runs the tests in each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv-floors")
    parser.add_argument("--only", choices=RESOLUTIONS)
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    asked, failed = parser.parse_args(), 0
    variables = os.environ | {"PYTHONPATH": str(ROOT / "src"), "KERAS_BACKEND": "jax"}
    for name in [asked.only] if asked.only else RESOLUTIONS:
        python = environment(
            asked.folder.resolve().with_name(f"{asked.folder.name}-{name}"), RESOLUTIONS[name]
        )
        print(f"{name}: {versions(python)}", flush=True)
        command = [str(python), "-m", "pytest", "-m", "not slow", *asked.tests]
        failed += subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
