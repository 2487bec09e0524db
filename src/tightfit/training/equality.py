"""Check that a network computes the same as LiteRT, sample by sample."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.errors import ModelError
from tightfit.graph.signatures import keeps_state
from tightfit.graph.writer import serialize
from tightfit.runtime.input_samples import random_sample
from tightfit.runtime.session import Session
from tightfit.types import Array

TOLERANCE: Final = 1e-3
"""Largest difference relative to the largest output; float32 sums in another order give about 1e-5."""

_SAMPLES: Final = 2


def check_equality(network: Any, samples: int = _SAMPLES) -> float:
    """Return the largest relative difference between a batch of the network and LiteRT's runs of each sample.

    Args:
        network: a ``Network``; it computes in float32 without fake-quantizers.
        samples: number of random samples in the batch.

    Raises:
        ModelError: the difference is above ``TOLERANCE``; the message names the output.
        RuntimeFailureError: LiteRT cannot run the graph.
    """
    # A model with state starts from zero only in a new process.
    stateful = keeps_state(network.source)
    with Session(serialize(network.source)) as session:
        drawn = [random_sample(session.inputs, seed) for seed in range(1 if stateful else samples)]
        given = [session.run(sample) for sample in drawn]
        stacked = {s.name: _stack([d[s.name] for d in drawn], s.shape) for s in session.inputs}
    wanted = list(network.output_tensors.values())
    values = float_tensors(network, stacked, wanted)
    worst = 0.0
    for (name, tensor), value in zip(network.output_tensors.items(), values, strict=True):
        found = np.asarray(ops.convert_to_numpy(ops.cast(value, "float32")))
        expected = np.stack([g[name].reshape(tensor.shape or ()) for g in given]).astype(np.float32)
        difference = relative_difference(found.reshape(-1), expected.reshape(-1))
        if not difference <= TOLERANCE:
            raise ModelError(
                f"The network differs from LiteRT in the output '{name}' by {difference:.2g} of its largest "
                f"value; expected at most {TOLERANCE:g}. The model cannot be trained faithfully."
            )
        worst = max(worst, difference)
    return worst


def float_tensors(network: Any, inputs: Any, wanted: list[Any]) -> list[Any]:
    """Return chosen tensors computed in float; JAX compiles them as one program, in seconds, not minutes."""
    if keras.backend.backend() != "jax":
        return list(network.tensors(inputs, wanted, rounded=False, dtype="float32"))
    import jax  # noqa: PLC0415 - only on this backend

    variables = network.variables

    def run(values: list[Any], given: Any) -> list[Any]:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return list(network.tensors(given, wanted, rounded=False, dtype="float32"))

    return list(jax.jit(run)([v.value for v in variables], inputs))


def relative_difference(found: Array, expected: Array) -> float:
    """Return ``max |found - expected| / max |expected|``; infinite when the shapes differ.

    Example:
        >>> relative_difference(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
        0.25
    """
    if found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    largest = max(float(np.abs(expected).max()), 1e-30)
    return float(np.abs(found.astype(np.float64) - expected).max()) / largest


def _stack(arrays: list[Array], shape: tuple[int, ...]) -> Array:
    """The samples as a batch: along a first axis of size one, else along a new axis."""
    return np.concatenate(arrays) if shape[:1] == (1,) else np.stack(arrays)
