"""Block reconstruction: round a block layer by layer, training the layers that are not rounded yet.

    loss = Σ over outputs of  mean (y − ŷ)² / mean y²

The inputs of the block are those of the quantized model, with a random half of the values replaced by the
float model's, which prevents overfitting to the quantization noise. Activations are fake-quantized. After
each training one layer is rounded by GPTQ with the second moments of its present input
(``recovery.rounding.layerwise``), and the layers after it are trained again.

Source: Li et al. 2021, "BRECQ" (blocks); Wei et al. 2022, "QDrop" (mixed inputs); Tseng et al. 2024, "QuIP#"
(training of the layers that are not rounded yet). Departure: no soft rounding as in AdaRound (Nagel et al.
2020); it gained less than GPTQ plus block training in our runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import keras
import numpy as np
from keras import ops

from tightfit.graph.ir import Graph, Model, Tensor
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.plan import OpPlan, Plan
from tightfit.recovery.rounding.block_batches import BlockBatches, Examples
from tightfit.recovery.rounding.layerwise import round_one
from tightfit.streaming.moments import Moments
from tightfit.training.loop.optimizer import RelativeAdam, sizes_of
from tightfit.training.network import Network
from tightfit.types import Array

STEPS: Final = 200
"""Steps of each training; a block of three layers is trained two or three times."""

RATE: Final = 2e-3
"""Learning rate: most relative change of a weight in a step."""

_LAST_SHARE: Final = 0.1
_POSITIONS: Final = 16_384
_BATCHES: Final = (2, 16)
"""Least and most samples of a batch; between them as many as have 16,384 positions."""

_FEW: Final = ("int4", "int2")


def round_block(block: Model, plan: Plan, examples: Examples, *, seed: int = 0) -> Plan:
    """Round all layers of a block in place, and return its plan with the scales that were found.

    Args:
        block: the block as a model (``recovery.rounding.blocks.cut``), with real weights.
        plan: the block's part of the plan.
        examples: inputs and wanted outputs of the block.
        seed: seed of the batches.

    Raises:
        ModelError: an op has no lowering for training; the message names it.
    """
    ops_ = block.main.ops
    found = [layer for layer in layers_of(block.main, plan.graphs[0].ops) if layer.is_measurable]
    layers = [ops_.index(layer.op) for layer in found]
    waiting, learned = list(layers), False
    while waiting:
        network = Network(block, _with_real(plan, waiting), ranges="fixed", check=False)
        if not learned:
            _learn(network, {*((i, 1) for i in waiting), *((i, 2) for i in layers)}, examples, seed)
            _take_over(network, block)
        index = waiting.pop(0)
        layer = Layer(ops_[index], plan.graphs[0].ops[index])
        plan = _with_op(plan, index, round_one(layer, _moments(network, layer, examples)))
        # Eight bits round so little that no training is needed to compensate.
        learned = layer.plan.constants[1].dtype not in _FEW
    return plan


def _with_real(plan: Plan, indices: Sequence[int]) -> Plan:
    """A plan in which some layers have real weights and biases; their activations are rounded."""
    for index in indices:
        op = plan.graphs[0].ops[index]
        kept = {p: s for p, s in op.constants.items() if p not in (1, 2)}
        plan = _with_op(plan, index, replace(op, constants=kept))
    return plan


def _with_op(plan: Plan, index: int, op: OpPlan) -> Plan:
    graph = plan.graphs[0]
    decisions = [*graph.ops[:index], op, *graph.ops[index + 1 :]]
    return replace(plan, graphs=[replace(graph, ops=decisions), *plan.graphs[1:]])


# -- training --------------------------------------------------------------------------------------


class Reconstruction(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The Keras model of a block in training.

    Args:
        network: the network of the block, with fixed ranges.
        powers: output → mean square of the wanted output.
    """

    def __init__(self, network: Network, powers: Mapping[str, float]) -> None:
        super().__init__()
        self.network, self.powers = network, powers
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: the network's variables exist already."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs by name, each with the batch in front."""
        wanted = list(self.network.output_tensors.values())
        found = self.network.tensors(inputs, wanted, training=bool(training))
        return dict(zip(self.network.output_tensors, found, strict=True))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        """Return the loss of one batch."""
        del x, sample_weight, training
        return sum(
            ops.mean(ops.square(ops.reshape(y_pred[n], ops.shape(y[n])) - y[n])) / self.powers[n] for n in y
        )


def _learn(network: Network, places: set[tuple[int, int]], examples: Examples, seed: int) -> None:
    """Train the constants at some places: (op index, input position)."""
    graph, variables = network.source.main, network.graph_weights.variables
    trained = {id(variables[t]) for i, p in places if (t := graph.ops[i].input(p)) in variables}
    sizes = sizes_of(network)
    for variable in network.trainable_variables:
        variable.trainable = id(variable) in trained
    model = Reconstruction(network, {n: _mean_square(v) for n, v in examples.wanted.items()})
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS, alpha=_LAST_SHARE)
    # Compiled by XLA a block would take longer to start than to train.
    model.compile(RelativeAdam(rate, sizes), jit_compile=keras.backend.backend() == "jax")
    batches = BlockBatches(examples, _batch_size(graph), STEPS, (seed, len(places)))
    model.fit(batches, verbose=0, shuffle=False)


def _mean_square(rows: Array) -> float:
    """The mean square of rows that may be on disk, read one at a time."""
    return max(float(sum(np.square(row, dtype=np.float64).sum() for row in rows)) / max(rows.size, 1), 1e-12)


def _batch_size(block: Graph) -> int:
    most = max((int(np.prod(t.shape[1:-1])) for op in block.ops for t in op.outputs), default=1)
    return int(np.clip(_POSITIONS // max(most, 1), *_BATCHES))


def _take_over(network: Network, block: Model) -> None:
    """Copy the trained constants into the block."""
    for tensor, twin in zip(network.source.main.tensors(), block.main.tensors(), strict=True):
        variable = network.graph_weights.variables.get(tensor)
        if variable is not None:
            twin.data = np.array(ops.convert_to_numpy(variable), np.float32).reshape(twin.shape)


# -- the layer's input -----------------------------------------------------------------------------


def _moments(network: Network, layer: Layer, examples: Examples) -> Moments:
    """The second moments of a layer's input when the block's inputs are the quantized model's."""
    moments = Moments(layer.window)
    for values in _seen(network, layer.source, examples):
        moments.update(values)
    return moments


def _seen(network: Network, tensor: Tensor, examples: Examples) -> Iterator[Array]:
    """A tensor of the block for each sample."""
    size = _batch_size(network.source.main)
    for start in range(0, len(examples), size):
        given = {name: np.array(values[start : start + size]) for name, values in examples.device.items()}
        (found,) = network.tensors(given, [tensor])
        yield from np.array(ops.convert_to_numpy(found), np.float32).reshape(-1, *tensor.shape)
