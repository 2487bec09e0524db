"""Rank channels by the first-order (Taylor) change of the loss when their readers lose them.

    score_c = E[(Σ_{w reads c} w · ∂L/∂w)²]

The mean is over samples, the sum over all readers of the channel. The sum is the inner product of the
channel's activations with their gradient, so the score is that of a gate on the channel. Labels are not used:
L is the log-likelihood of a class drawn from the model's own probabilities (the Fisher information), or, for
other outputs, their inner product with normal noise.

Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning". Departure: no labels. Keras
and a backend are imported only when this importance is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final

import numpy as np

from tightfit.compression.channels.channel_groups import Dependencies, Group
from tightfit.compression.channels.channel_trace import SUMMED, TracePlace
from tightfit.compression.channels.magnitude_importance import Ranking, ranking_of
from tightfit.errors import OptionError
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.signatures import before_softmax
from tightfit.types import Array, Samples

SAMPLES: Final = 64
_BACKENDS: Final = ("tensorflow", "torch", "jax")


def rank_by_taylor(
    model: Model, found: Dependencies, groups: Sequence[Group], samples: Samples
) -> dict[Group, Ranking]:
    """Return rankings by the first-order effect on the outputs, from the gradients of 64 single samples.

    Args:
        model: a cleaned float model.
        found: its channel dependencies.
        groups: the groups to rank.
        samples: starts the samples anew at each call.

    Raises:
        OptionError: Keras or every backend is missing.
        ModelError: an op has no lowering for training.
    """
    places = [p for p in found.places if p.role == SUMMED]
    sums = np.zeros(found.size)
    for effects in _effects(model, places, samples, found.size):
        sums += np.square(effects)
    return {g: ranking_of(g.channels, sums[g.channels]) for g in groups}


def _effects(model: Model, places: Sequence[TracePlace], samples: Samples, size: int) -> Iterator[Array]:
    """Yield the first-order change of the loss by channel number, for each sample."""
    slopes = _Slopes(model, list(dict.fromkeys(p.tensor for p in places)))
    random = np.random.default_rng(0)
    for sample in islice(samples(), SAMPLES):
        found = slopes.of(sample, random)
        effects = np.zeros(size)
        for tensor, gradient in found.items():
            # A shared constant is cut once; its gradient sums over all of its uses.
            place = next(p for p in places if p.tensor is tensor)
            products = gradient * np.asarray(tensor.data, np.float64)
            rest = tuple(a for a in range(products.ndim) if a != place.axis)
            np.add.at(effects, place.channels, products.sum(rest))
        yield effects


class _Slopes:
    """Gradients of a model's loss with respect to some of its constants, on any backend."""

    def __init__(self, model: Model, tensors: Sequence[Tensor]) -> None:
        installed = [b for b in _BACKENDS if find_spec(b) is not None]
        if find_spec("keras") is None or not installed:
            raise OptionError(
                "The importance 'taylor' needs Keras and a backend: pip install 'tightfit[keras]'. "
                "Or take 'reconstruction', which needs neither."
            )
        os.environ.setdefault("KERAS_BACKEND", installed[0])
        from tightfit.training.network import Network  # noqa: PLC0415 - loads Keras

        self.network = Network(model)
        trained = self.network.graph_weights.variables
        self.tensors = [t for t in tensors if t in trained]
        self.variables = [trained[t] for t in self.tensors]
        outputs = list(self.network.output_tensors.values())
        self.ends = [before_softmax(t) for t in outputs]
        self.decides = [end is not output for end, output in zip(self.ends, outputs, strict=True)]
        self.run, self.slopes = _compiled(self.network, self.ends, self.variables)

    def of(self, sample: Mapping[str, Array], random: np.random.Generator) -> dict[Tensor, Array]:
        """Return the gradients for one sample."""
        from keras import ops  # noqa: PLC0415 - loads Keras

        inputs = {name: np.asarray(values) for name, values in sample.items()}
        directions = [
            _direction(np.asarray(ops.convert_to_numpy(y), np.float32), random, decides=decides)
            for y, decides in zip(self.run(inputs), self.decides, strict=True)
        ]
        found = self.slopes(inputs, directions)
        return {
            t: np.asarray(ops.convert_to_numpy(g), np.float64)
            for t, g in zip(self.tensors, found, strict=True)
        }


def _direction(values: Array, random: np.random.Generator, *, decides: bool) -> Array:
    """The gradient of the loss with respect to one output."""
    if not decides:
        scale = float(np.sqrt(np.square(values).sum())) or 1.0
        return np.asarray(random.standard_normal(values.shape) / scale, np.float32)
    exponents = np.exp(values - values.max(-1, keepdims=True))
    probabilities = (exponents / exponents.sum(-1, keepdims=True)).reshape(-1, values.shape[-1])
    drawn = np.array([random.choice(p.size, p=p / p.sum()) for p in probabilities.astype(np.float64)])
    chosen = np.eye(values.shape[-1], dtype=np.float32)[drawn]
    return np.asarray((probabilities - chosen).reshape(values.shape), np.float32)


def _compiled(network: Any, ends: Sequence[Tensor], variables: Sequence[Any]) -> tuple[Any, Any]:
    """The forward pass, and the gradients of Σ output · direction, as functions on the backend that runs."""
    import keras  # noqa: PLC0415 - loaded when gradients are wanted

    def forward(inputs: Any) -> list[Any]:
        return list(network.tensors(inputs, ends))

    def loss(inputs: Any, directions: Any) -> Any:
        pairs = zip(forward(inputs), directions, strict=True)
        return sum(keras.ops.sum(y * keras.ops.convert_to_tensor(d)) for y, d in pairs)

    by_backend = {"tensorflow": _with_tensorflow, "torch": _with_torch, "jax": _with_jax}
    return by_backend[keras.backend.backend()](forward, loss, variables)


def _with_tensorflow(forward: Any, loss: Any, variables: Sequence[Any]) -> tuple[Any, Any]:
    import tensorflow as tf  # noqa: PLC0415 - one backend is there

    def slopes(inputs: Any, directions: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(inputs, directions)
        return tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")

    return forward, slopes


def _with_torch(forward: Any, loss: Any, variables: Sequence[Any]) -> tuple[Any, Any]:
    import torch  # noqa: PLC0415 - one backend is there

    def slopes(inputs: Any, directions: Any) -> Any:
        values = [v.value for v in variables]
        found = torch.autograd.grad(loss(inputs, directions), values, allow_unused=True)
        return [torch.zeros_like(v) if g is None else g for g, v in zip(found, values, strict=True)]

    return forward, slopes


def _with_jax(forward: Any, loss: Any, variables: Sequence[Any]) -> tuple[Any, Any]:
    import jax  # noqa: PLC0415 - one backend is there
    import keras  # noqa: PLC0415 - loaded already

    def shifted(values: Any, inputs: Any, directions: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss(inputs, directions)

    compiled = jax.jit(jax.grad(shifted))

    def slopes(inputs: Any, directions: Any) -> Any:
        return compiled([v.value for v in variables], inputs, directions)

    return jax.jit(forward), slopes
