"""Choose the Keras backend of training; this module imports no framework."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final

from tightfit.errors import OptionError, unknown_name

_BACKENDS: Final = ("tensorflow", "torch", "jax")
"""Backends by the measured speed of a quantization-aware training step on a CPU (docs/finetune.md)."""

ON_CLUSTERS: Final = "jax"
"""The backend of workers that share batches: JAX joins their processes to one program."""


def choose_backend() -> str:
    """Return the Keras backend: ``KERAS_BACKEND`` when it is set, else the fastest that is installed.

    Raises:
        OptionError: Keras or every backend is missing, or the backend in ``KERAS_BACKEND`` is.
    """
    installed = [b for b in _BACKENDS if find_spec(b) is not None]
    if find_spec("keras") is None or not installed:
        raise OptionError(
            "Training needs Keras 3 and one of its backends, which are not installed: "
            "pip install 'tightfit[keras]'."
        )
    if "keras" in sys.modules:
        return str(sys.modules["keras"].backend.backend())
    wanted = os.environ.setdefault("KERAS_BACKEND", installed[0])
    if wanted not in installed:
        raise OptionError(unknown_name("or missing backend in KERAS_BACKEND", wanted, installed))
    return wanted
