"""The Keras backend of the conversion tests is JAX where nothing else was chosen."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
