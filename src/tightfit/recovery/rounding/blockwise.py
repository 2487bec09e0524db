"""Rounding that learns: block by block, on what each block reads on the device, judged by LiteRT.

A block keeps what it learned where the noise of its outputs falls, on LiteRT and on samples that taught
nothing; all blocks together where that of the model's outputs does.
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
from tightfit.recovery.rounding.block_recordings import BlockRuns, Recorded
from tightfit.recovery.rounding.blocks import Block, blocks_of, cut
from tightfit.recovery.rounding.disk_arrays import MOST_SAMPLES, SampleSpool
from tightfit.recovery.rounding.layerwise import replanned
from tightfit.recovery.state import RecoveryState
from tightfit.training.backend import choose_backend
from tightfit.types import Array
from tightfit.units import format_count

FEWEST: Final = 16
"""Samples, so that two of them judge."""

_GAIN: Final = 0.99
"""A block whose noise falls by less than a hundredth keeps what it had: that is chance."""

_MOST_BYTES: Final = 4_000_000_000
"""What a block's tensors may take on disk; of large ones fewer samples are kept."""

_EQUAL: Final = 1e-10
"""Share of the weights' power: float32 scales lose less."""


def learn_rounding(work: RecoveryState) -> None:
    """Rounds blocks of layers anew and learns in between (``block_reconstruction``); keeps what gains.

    Runs after ``rounding``, whose result stays where it is better. Needs Keras, and minutes. What is finished
    is in ``work.folder`` until all is.

    Raises:
        OptionError: Keras or every backend is missing. RuntimeFailureError: LiteRT cannot run a part.
        DataError: the samples have several shapes.
    """
    samples = SampleSpool(work.samples, _most_samples(work.original))
    if len(samples) < FEWEST:
        work.notes.append(f"rounding was not learned: {len(samples)} samples, expected {FEWEST} or more")
        return
    learning = _Learning(work, samples)
    if not learning.blocks:
        work.notes.append("rounding was not learned: no layer's weights lose anything")
    else:
        learning.run([choose_backend().encode(), *samples.parts()])


def _most_samples(model: Model) -> int:
    """As many as fit on disk: of each, what a block reads of both models and what it answers."""
    largest = max((t.size for op in model.main.ops for t in op.outputs), default=1)
    return int(np.clip(_MOST_BYTES // (3 * 4 * max(largest, 1)), FEWEST, MOST_SAMPLES))


class _Learning:
    """The blocks of one model, in order; ``model`` and ``plan`` are what it is so far."""

    def __init__(self, work: RecoveryState, samples: SampleSpool) -> None:
        self.work, self.runs = work, BlockRuns(work.original, samples)
        self.model, self.plan = copy_model(work.model), work.plan
        graph = work.original.main
        numbers = {op: i for i, op in enumerate(graph.ops)}
        layers = [la for la in layers_of(graph, work.plan.graphs[0].ops) if la.is_measurable]
        self.places = [numbers[layer.op] for layer in layers]
        rounded = [i for i, layer in zip(self.places, layers, strict=True) if _loses(work, i, layer)]
        blocks = blocks_of(graph, [layer.op for layer in layers])
        self.blocks = [b for b in blocks if any(b.start <= i < b.end for i in rounded)]
        self.kept = 0
        self.refused: list[str] = []

    def run(self, facts: Sequence[bytes]) -> None:
        """Learns all blocks and keeps what gains.

        Args:
            facts: what the result depends on beside the models and the plan.
        """
        work = self.work
        models = serialize(work.original), serialize(work.model), work.plan.to_json().encode()
        finished = FinishedBlocks(work.folder, [*facts, *models])
        for number, block in enumerate(self.blocks):
            arrays = finished.get(number)
            if arrays is None:
                arrays = self.learn(number, block)
                finished.put(number, arrays)
            self.kept += bool(arrays)
            self.plan = _put(self.model, self.plan, arrays)
            work.tell("rounding learned, block by block")(number + 1, len(self.blocks))
        self.judge()
        finished.remove()

    def learn(self, number: int, block: Block) -> Arrays:
        """Gives the learned constants and scales of one block, none where they gain nothing."""
        recorded = self.runs.record(block, self.model, self.plan)
        try:
            arrays = self.rounded(number, block, recorded)
        except ModelError as error:
            self.refused.append(str(error))
            return {}
        changed = copy_model(self.model)
        plan = _put(changed, self.plan, arrays)
        outputs = block.outputs(self.work.original.main)
        after = tensor_noise(recorded.judged, self.runs.on_device(changed, plan, outputs, self.runs.held))
        return arrays if after < _GAIN * recorded.noise else {}

    def rounded(self, number: int, block: Block, recorded: Recorded) -> Arrays:
        """Gives what is learned of a block, from its real weights on."""
        from tightfit.recovery.rounding.block_batches import Examples  # noqa: PLC0415 - needs Keras
        from tightfit.recovery.rounding.block_reconstruction import round_block  # noqa: PLC0415 - needs Keras

        places = [i for i in self.places if block.start <= i < block.end]
        model = copy_model(self.model)
        for i in places:
            for position in (1, 2):
                tensor, real = (m.main.ops[i].input(position) for m in (model, self.work.original))
                if tensor is not None and real is not None:
                    tensor.data = real.data
        part, plan = cut(model, self.work.plan, block)
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
        """Takes over what was learned where the model's outputs say so."""
        work, runs = self.work, self.runs
        ends = [t for t in dict.fromkeys(work.original.main.outputs) if t.dtype == "float32"]
        wanted = list(runs.in_float(ends, runs.held))
        before, after = (
            tensor_noise(wanted, runs.on_device(model, plan, ends, runs.held))
            for model, plan in ((work.model, work.plan), (self.model, self.plan))
        )
        words = f"rounding learned in {self.kept} of {format_count(len(self.blocks), 'block')}"
        shares = f"{before:.2%} → {after:.2%}"
        if not self.kept:
            work.notes.append("rounding was learned, and gains in no block")
        elif after < before:
            work.model, work.plan = self.model, self.plan
            work.notes.append(f"{words}: noise {shares} of the outputs' power")
        else:
            work.notes.append(f"{words}: given up, as it gains nothing here ({shares} noise)")
        if self.refused:
            work.notes.append(f"{format_count(len(self.refused), 'block')} cannot learn: {self.refused[0]}")


def _loses(work: RecoveryState, index: int, layer: Layer) -> bool:
    """True where the weights as the file will hold them are not the real ones: something is to be gained."""
    real = layer.rows(np.asarray(layer.weights.data))
    stored = layer.rows(stored_weights(Layer(work.model.main.ops[index], layer.plan)))
    return bool(np.square(stored - real).sum() > _EQUAL * np.square(real).sum())


def _put(model: Model, plan: Plan, arrays: Mapping[str, Array]) -> Plan:
    """Sets what was learned in a model (``op:position``), gives its plan with the scales (``op:scale``)."""
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
