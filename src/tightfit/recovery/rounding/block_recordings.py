"""Record the inputs and outputs of a block in the float and the quantized model, run by LiteRT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Model, Tensor
from tightfit.quantization.plan import Plan
from tightfit.recovery.output_noise import tensor_noise
from tightfit.recovery.quantized_runs import device_model, run_to
from tightfit.recovery.rounding.blocks import Block
from tightfit.recovery.rounding.disk_arrays import SampleSpool, Spool
from tightfit.types import Array

_HELD_OUT: Final = 8
"""One of this many samples is held out; the others are trained on."""

Run = Iterator[list[Array]]


@dataclass(frozen=True)
class RecordedBlock:
    """The recorded tensors of a block.

    Args:
        device: inputs in the quantized model, of the training samples.
        exact: inputs in the float model, of the training samples.
        wanted: outputs in the float model, of the training samples.
        judged: outputs in the float model, of the held-out samples.
        noise: noise of the quantized outputs on the held-out samples, relative to their power.
    """

    device: list[Spool]
    exact: list[Spool]
    wanted: list[Spool]
    judged: list[list[Array]]
    noise: float


class BlockRuns:
    """Runs of the float model, and of quantized models of the same graph, on the same samples.

    Args:
        original: the float model; tensors are named by those of its graph.
        samples: the samples on disk.
    """

    def __init__(self, original: Model, samples: SampleSpool) -> None:
        self.original, self.samples = original, samples
        self.keys = original.main.keys()
        self.held = range(_HELD_OUT - 1, len(samples), _HELD_OUT)

    def record(self, block: Block, model: Model, plan: Plan) -> RecordedBlock:
        """Return the recorded tensors of a block.

        Args:
            block: the block.
            model: the model with the weights found so far.
            plan: its plan.
        """
        graph = self.original.main
        reads, gives = block.inputs(graph), block.outputs(graph)
        both, count = [*reads, *gives], len(reads)
        exact, judged = self._kept(both, self.in_float(both))
        device, found = self._kept(both, self.on_device(model, plan, both))
        wanted = [values[count:] for values in judged]
        before = tensor_noise(wanted, (values[count:] for values in found))
        return RecordedBlock(device[:count], exact[:count], exact[count:], wanted, before)

    def _kept(self, tensors: Sequence[Tensor], run: Run) -> tuple[list[Spool], list[list[Array]]]:
        """Tensors of the training samples on disk, without the batch axis of one; held-out ones in memory."""
        spools, judged = [Spool() for _ in tensors], []
        for i, values in enumerate(run):
            if i in self.held:
                judged.append(values)
                continue
            for spool, tensor, value in zip(spools, tensors, values, strict=True):
                spool.add(value[0] if tensor.shape[:1] == (1,) else value)
        return spools, judged

    def in_float(self, tensors: Sequence[Tensor], indices: Iterable[int] | None = None) -> Run:
        """Return tensors of the float model for each sample."""
        return run_to(self.original, tensors, self.samples.read(indices))

    def on_device(
        self, model: Model, plan: Plan, tensors: Sequence[Tensor], indices: Iterable[int] | None = None
    ) -> Run:
        """Return the values of the float graph's tensors in a quantized model, for each sample."""
        device = device_model(model, plan)
        found = {key: tensor for tensor, key in device.main.keys().items()}
        return run_to(device, [found[self.keys[t]] for t in tensors], self.samples.read(indices))
