"""Top-1 agreement of a network with the device: both run end to end on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from keras import ops

from tightfit.data.sample import Sample
from tightfit.training.integer.device_kernels import DeviceKernels
from tightfit.types import Array

_BATCH: Final = 16
_BATCH_BYTES: Final = 64 << 20


class Decisions:
    """Counts the samples with equal top-1 decisions in all outputs.

    Samples are collected until a batch is full. A decision is the first index of the largest value. Samples
    with any largest index in common are counted too, because int8 probabilities in steps of 1/256 often tie.

    Args:
        network: a network with fixed ranges.
        kernels: its ``DeviceKernels``; None to compute as in training.

    Attributes:
        decides: whether an output has more than one value, so that one of them is the largest.
    """

    def __init__(self, network: Any, kernels: DeviceKernels | None) -> None:
        self.network, self.kernels = network, kernels
        self.waiting: list[tuple[Mapping[str, Array], list[Array]]] = []
        self.equal = self.tied = self.count = self.bytes = 0
        self.decides = False

    def add(self, sample: Sample, device: Mapping[str, Array]) -> None:
        """Add one sample and the device's outputs for it, integers or reals."""
        names = self.network.output_tensors
        given = list(device.values())
        # A file with one output may have another name for it; with several the names are equal.
        outputs = [device[n] for n in names] if set(names) <= set(device) else given
        inputs = {n: np.asarray(sample.inputs[n]) for n in self.network.input_tensors}
        self.decides |= any(np.size(o) > 1 for o in outputs)
        self.waiting.append((inputs, [_largest(o) for o in outputs]))
        self.bytes += sum(a.nbytes for a in inputs.values())
        if len(self.waiting) == _BATCH or self.bytes > _BATCH_BYTES:
            self.run()

    def run(self) -> None:
        """Compare the collected samples."""
        if not self.waiting:
            return
        stacked = {n: self._stack([inputs[n] for inputs, _ in self.waiting], t.shape)
                   for n, t in self.network.input_tensors.items()}  # fmt: skip
        wanted = list(self.network.output_tensors.values())
        found = self.network.tensors(stacked, wanted, kernels=self.kernels)
        values = [np.asarray(ops.convert_to_numpy(v)) for v in found]
        for i, (_, device) in enumerate(self.waiting):
            pairs = [(_largest(v[i % len(v)]), places) for v, places in zip(values, device, strict=True)]
            self.equal += all(np.array_equal(a[:1], b[:1]) for a, b in pairs)
            self.tied += all(a.size == b.size == 0 or np.intersect1d(a, b).size > 0 for a, b in pairs)
        self.count += len(self.waiting)
        self.waiting, self.bytes = [], 0

    def _stack(self, arrays: list[Array], shape: tuple[int, ...]) -> Array:
        if shape[:1] == (1,):
            return np.concatenate([a.reshape(shape) for a in arrays])
        return np.stack([a.reshape(shape) for a in arrays])


def _largest(values: Array) -> Array:
    """The indices of the largest value, in order."""
    flat = np.asarray(values).reshape(-1)
    return np.flatnonzero(flat == flat.max()) if flat.size else np.zeros(0, np.intp)
