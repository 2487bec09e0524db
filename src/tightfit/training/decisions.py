"""Which decisions of a network are the device's: both run end to end on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.data.samples import Sample
from tightfit.graph.ir import Array

_BATCH: Final = 16
_BATCH_BYTES: Final = 64 << 20


class Decisions:
    """Counts the samples whose outputs are all largest where the device's are.

    Samples are held until a batch is full: a compiled batch is many times faster than samples one by one.
    Of values that are equally the largest any is the decision: int8 probabilities in steps of 1/256 are often
    equal, and which of them is named first says nothing about the model.

    Args:
        network: with fixed ranges, as ``simulation`` makes it.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self.waiting: list[tuple[Mapping[str, Array], list[set[int]]]] = []
        self.equal = self.count = self.bytes = 0

    def add(self, sample: Sample, device: Mapping[str, Array]) -> None:
        """Takes one sample and what the device made of it, integers or reals."""
        names = self.network.output_tensors
        given = list(device.values())
        # A file of one output may call it otherwise; of several, the names agree.
        outputs = [device[n] for n in names] if set(names) <= set(device) else given
        inputs = {n: np.asarray(sample.inputs[n]) for n in self.network.input_tensors}
        self.waiting.append((inputs, [_largest(o) for o in outputs]))
        self.bytes += sum(a.nbytes for a in inputs.values())
        if len(self.waiting) == _BATCH or self.bytes > _BATCH_BYTES:
            self.run()

    def run(self) -> None:
        """Compares the samples that wait."""
        if not self.waiting:
            return
        stacked = {n: self._stack([inputs[n] for inputs, _ in self.waiting], t.shape)
                   for n, t in self.network.input_tensors.items()}  # fmt: skip
        found = self.network.predict_on_batch(stacked)
        values = [np.asarray(ops.convert_to_numpy(v)) for v in _listed(found)]
        places = [[_largest(sample) for sample in v] for v in values]
        for i, (_, wanted) in enumerate(self.waiting):
            self.equal += all(p[i] & w for p, w in zip(places, wanted, strict=True))
        self.count += len(self.waiting)
        self.waiting, self.bytes = [], 0

    def _stack(self, arrays: list[Array], shape: tuple[int, ...]) -> Array:
        if shape[:1] == (1,):
            return np.concatenate([a.reshape(shape) for a in arrays])
        return np.stack([a.reshape(shape) for a in arrays])

    def finish(self) -> tuple[int, int]:
        """Gives the equal ones and how many there are."""
        self.run()
        return self.equal, self.count


def _largest(values: Array) -> set[int]:
    """The places of the largest value."""
    flat = np.asarray(values).reshape(-1)
    return set(np.flatnonzero(flat == flat.max()).tolist()) if flat.size else set()


def _listed(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else [found]
