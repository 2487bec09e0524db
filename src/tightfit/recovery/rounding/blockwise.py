"""Block reconstruction: learn and round the weights block by block, on the quantized inputs of each block.

A block keeps its result where the output noise falls on LiteRT, on samples that were not trained on. All
blocks together are kept where the noise of the model's outputs falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tightfit.errors import ModelError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration.layers import Layer, layers_of
from tightfit.quantization.plan import Plan
from tightfit.recovery.bias_correction import stored_weights
from tightfit.recovery.output_noise import tensor_noise
from tightfit.recovery.rounding.block_checkpoints import Arrays, FinishedBlocks
from tightfit.recovery.rounding.block_recordings import BlockRuns, RecordedBlock
from tightfit.recovery.rounding.blocks import Block, blocks_of, cut
from tightfit.recovery.rounding.disk_arrays import MOST_SAMPLES, SampleSpool
from tightfit.recovery.rounding.layerwise import replanned
from tightfit.recovery.state import RecoveryState
from tightfit.training.backend import choose_backend
from tightfit.types import Array
from tightfit.units import format_count, format_percent

FEWEST: Final = 16
"""Least number of samples; two of them are then held out."""

_GAIN: Final = 0.99
"""A block whose noise falls by less than 1 % is not changed: that may be chance."""

_MOST_BYTES: Final = 4_000_000_000
"""Most bytes of a block's tensors on disk; with large tensors fewer samples are kept."""

_EQUAL: Final = 1e-10
"""Relative squared difference below which weights are equal: float32 scales change them by less."""


def learn_rounding(state: RecoveryState) -> None:
    """Learn and round the weights of each block (``block_reconstruction``); keep the result where it gains.

    Runs after ``gptq``, whose result is kept where it is better. Needs Keras, and takes minutes. Finished
    blocks are stored in ``state.folder`` until all are finished.

    Args:
        state: the model and plan to change; a note records the result.

    Raises:
        OptionError: Keras or every backend is missing.
        RuntimeFailureError: LiteRT cannot run a part.
        DataError: the samples have several shapes.
    """
    samples = SampleSpool(state.samples, _most_samples(state.original))
    if len(samples) < FEWEST:
        state.notes.append(
            f"block reconstruction was skipped: {len(samples)} samples, expected {FEWEST} or more"
        )
        return
    learning = _Learning(state, samples)
    if not learning.blocks:
        state.notes.append("block reconstruction was skipped: no layer's weights change when rounded")
    else:
        learning.run([choose_backend().encode(), *samples.parts()])


def _most_samples(model: Model) -> int:
    """The number of samples whose block inputs (of both models) and outputs fit on disk."""
    largest = max((t.size for op in model.main.ops for t in op.outputs), default=1)
    return int(np.clip(_MOST_BYTES // (3 * 4 * max(largest, 1)), FEWEST, MOST_SAMPLES))


class _Learning:
    """The reconstruction of one model, block after block; ``model`` and ``plan`` are the result so far."""

    def __init__(self, state: RecoveryState, samples: SampleSpool) -> None:
        self.state, self.runs = state, BlockRuns(state.original, samples)
        self.model, self.plan = copy_model(state.model), state.plan
        graph = state.original.main
        numbers = {op: i for i, op in enumerate(graph.ops)}
        layers = [la for la in layers_of(graph, state.plan.graphs[0].ops) if la.is_measurable]
        self.places = [numbers[layer.op] for layer in layers]
        rounded = [i for i, layer in zip(self.places, layers, strict=True) if _loses(state, i, layer)]
        blocks = blocks_of(graph, [layer.op for layer in layers])
        self.blocks = [b for b in blocks if any(b.start <= i < b.end for i in rounded)]
        self.kept = 0
        self.refused: list[str] = []

    def run(self, facts: Sequence[bytes]) -> None:
        """Learn all blocks and keep the result where it gains.

        Args:
            facts: bytes that the result depends on, beside the models and the plan.
        """
        state = self.state
        models = serialize(state.original), serialize(state.model), state.plan.to_json().encode()
        finished = FinishedBlocks(state.folder, [*facts, *models])
        for number, block in enumerate(self.blocks):
            arrays = finished.get(number)
            if arrays is None:
                arrays = self.learn(number, block)
                finished.put(number, arrays)
            self.kept += bool(arrays)
            self.plan = _put(self.model, self.plan, arrays)
            state.stage_progress("block reconstruction")(number + 1, len(self.blocks))
        self.judge()
        finished.remove()

    def learn(self, number: int, block: Block) -> Arrays:
        """Return the learned constants and scales of one block; empty where they gain nothing."""
        recorded = self.runs.record(block, self.model, self.plan)
        try:
            arrays = self.rounded(number, block, recorded)
        except ModelError as error:
            self.refused.append(str(error))
            return {}
        changed = copy_model(self.model)
        plan = _put(changed, self.plan, arrays)
        outputs = block.outputs(self.state.original.main)
        after = tensor_noise(recorded.judged, self.runs.on_device(changed, plan, outputs, self.runs.held))
        return arrays if after < _GAIN * recorded.noise else {}

    def rounded(self, number: int, block: Block, recorded: RecordedBlock) -> Arrays:
        """Return the learned constants and scales of one block, starting from its real weights."""
        from tightfit.recovery.rounding.block_batches import Examples  # noqa: PLC0415 - needs Keras
        from tightfit.recovery.rounding.block_reconstruction import round_block  # noqa: PLC0415 - needs Keras

        places = [i for i in self.places if block.start <= i < block.end]
        model = copy_model(self.model)
        for i in places:
            for position in (1, 2):
                tensor, real = (m.main.ops[i].input(position) for m in (model, self.state.original))
                if tensor is not None and real is not None:
                    tensor.data = real.data
        part, plan = cut(model, self.state.plan, block)
        examples = Examples(*(
            {f"{word}{i}": spool.rows() for i, spool in enumerate(spools)}
            for word, spools in (("in", recorded.device), ("in", recorded.exact), ("out", recorded.wanted))
        ))  # fmt: skip
        plan = round_block(part, plan, examples, seed=number)
        found: Arrays = {}
        for i in places:
            op, decision = part.main.ops[i - block.start], plan.graphs[0].ops[i - block.start]
            for position in (1, 2):
                tensor = op.input(position)
                if tensor is not None and tensor.data is not None:
                    found[f"{i}:{position}"] = tensor.data
            found[f"{i}:scale"] = np.asarray(decision.constants[1].scale, np.float64)
        return found

    def judge(self) -> None:
        """Adopt the learned model if the noise of the model's outputs falls."""
        state, runs = self.state, self.runs
        outputs = [t for t in dict.fromkeys(state.original.main.outputs) if t.dtype == "float32"]
        wanted = list(runs.in_float(outputs, runs.held))
        before, after = (
            tensor_noise(wanted, runs.on_device(model, plan, outputs, runs.held))
            for model, plan in ((state.model, state.plan), (self.model, self.plan))
        )
        words = f"block reconstruction kept in {self.kept} of {format_count(len(self.blocks), 'block')}"
        shares = f"{format_percent(before, 2)} → {format_percent(after, 2)}"
        if not self.kept:
            state.notes.append("block reconstruction was discarded: it gains in no block")
        elif after < before:
            state.model, state.plan = self.model, self.plan
            state.notes.append(f"{words}: noise {shares} of the outputs' power")
        else:
            state.notes.append(f"{words}: discarded, because the outputs' noise does not fall ({shares})")
        if self.refused:
            state.notes.append(
                f"{format_count(len(self.refused), 'block')} cannot be trained: {self.refused[0]}"
            )


def _loses(state: RecoveryState, index: int, layer: Layer) -> bool:
    """True where the stored weights differ from the real ones, so that learning can gain."""
    real = layer.rows(np.asarray(layer.weights.data))
    stored = layer.rows(stored_weights(Layer(state.model.main.ops[index], layer.plan)))
    return bool(np.square(stored - real).sum() > _EQUAL * np.square(real).sum())


def _put(model: Model, plan: Plan, arrays: Mapping[str, Array]) -> Plan:
    """Set learned constants (``op:position``) in a model; return its plan with the scales (``op:scale``)."""
    decisions = list(plan.graphs[0].ops)
    for place, values in arrays.items():
        number, what = place.split(":")
        old = decisions[int(number)]
        if what == "scale":
            decisions[int(number)] = replanned(old, old.constants[1], values)
            continue
        tensor = model.main.ops[int(number)].operand(int(what))
        tensor.data = values
    return replace(plan, graphs=[replace(plan.graphs[0], ops=decisions), *plan.graphs[1:]])
