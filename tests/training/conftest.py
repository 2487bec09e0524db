"""What the process of the training tests sets before JAX is loaded."""

from __future__ import annotations

import os

# Without it Keras asks for TensorFlow, and the tests would be skipped where only JAX is there.
# Hundreds of small programs run once each: what XLA spends on making them fast is most of the time.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
