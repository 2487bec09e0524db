"""What a block reads and answers, in the float model and on the device: run by LiteRT, kept on disk."""

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
"""One sample of so many judges; the others teach."""

Run = Iterator[list[Array]]


@dataclass(frozen=True)
class Recorded:
    """A block's tensors.

    Args:
        device, exact: what it reads in the quantized and in the float model, of the samples that teach.
        wanted: what it answers in the float model, of the same.
        judged: what it should answer for the samples that judge.
        noise: how far it is from that.
    """

    device: list[Spool]
    exact: list[Spool]
    wanted: list[Spool]
    judged: list[list[Array]]
    noise: float


class BlockRuns:
    """Runs the float model, and quantized ones of the same graph, on the same samples.

    Args:
        original: the float model; tensors are named by those of its graph.
    """

    def __init__(self, original: Model, samples: SampleSpool) -> None:
        self.original, self.samples = original, samples
        self.keys = original.main.keys()
        self.held = range(_HELD_OUT - 1, len(samples), _HELD_OUT)

    def record(self, block: Block, model: Model, plan: Plan) -> Recorded:
        """Return what there is to learn of a block behind a quantized model as it is so far."""
        graph = self.original.main
        reads, gives = block.inputs(graph), block.outputs(graph)
        both, count = [*reads, *gives], len(reads)
        exact, judged = self._kept(both, self.in_float(both))
        device, found = self._kept(both, self.on_device(model, plan, both))
        wanted = [values[count:] for values in judged]
        before = tensor_noise(wanted, (values[count:] for values in found))
        return Recorded(device[:count], exact[:count], exact[count:], wanted, before)

    def _kept(self, tensors: Sequence[Tensor], run: Run) -> tuple[list[Spool], list[list[Array]]]:
        """Tensors on disk, without a sample's own axis of one; those of the judges in memory."""
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
        """Return tensors of the float graph for each sample, as a quantized model computes them."""
        device = device_model(model, plan)
        found = {key: tensor for tensor, key in device.main.keys().items()}
        return run_to(device, [found[self.keys[t]] for t in tensors], self.samples.read(indices))
