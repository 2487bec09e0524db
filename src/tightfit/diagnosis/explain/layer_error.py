"""The error of every op of a file against the float model: where along the graph the accuracy goes.

Tensors are matched by name, which quantization keeps; both models run with these tensors as outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import tap
from tightfit.graph.writer import serialize
from tightfit.quantization.arithmetic import dequantize
from tightfit.runtime.session import Session
from tightfit.types import Array

_EXACT_DB: Final = 200.0


@dataclass(frozen=True)
class OpError:
    """How much of an op's output is error, everything before it included.

    Args:
        name: the float model's op.
        kind: see ``name``.
        snr_db: ``10 · log10(Σ float² / Σ (float − file)²)`` over the samples; 200 when equal.
    """

    name: str
    kind: str
    snr_db: float


def layer_errors(
    float_model: Model, file: str | Path, samples: Iterable[Sample], *, threads: int = 2
) -> list[OpError]:
    """Return the accumulated error of each op of the float model that the file still has, in graph order.

    Args:
        float_model: cleaned, as the file was made from it.
        file: the quantized ``.tflite``.
        samples: a few are enough; memory holds one at a time.
        threads: CPU threads of each model.

    Raises:
        RuntimeFailureError: LiteRT cannot run one of the two with its inner tensors as outputs.
    """
    quantized = read_model(file)
    pairs = _pairs(float_model, quantized)
    if not pairs:
        return []
    reference = _Tapped(float_model, [a for a, _ in pairs])
    candidate = _Tapped(quantized, [b for _, b in pairs])
    signal = np.zeros(len(pairs))
    noise = np.zeros(len(pairs))
    with reference.open(threads) as first, candidate.open(threads) as second:
        for sample in samples:
            wanted = reference.values(first.run(adapt_inputs(sample, first.inputs)))
            given = candidate.values(second.run(adapt_inputs(sample, second.inputs)))
            for i, (a, b) in enumerate(zip(wanted, given, strict=True)):
                signal[i] += float(np.square(a, dtype=np.float64).sum())
                noise[i] += float(np.square(a - b, dtype=np.float64).sum())
    return [_error(a, float(s), float(n)) for (a, _), s, n in zip(pairs, signal, noise, strict=True)]


def _pairs(reference: Model, candidate: Model) -> list[tuple[Tensor, Tensor]]:
    """The activations of the float model with their twins in the file."""
    twins = {t.name: t for op in candidate.main.ops for t in op.outputs}
    pairs = []
    for op in reference.main.ops:
        for tensor in op.outputs:
            twin = twins.get(tensor.name)
            if tensor.dtype == "float32" and twin is not None and twin.shape == tensor.shape:
                pairs.append((tensor, twin))
    return pairs


def _error(tensor: Tensor, signal: float, noise: float) -> OpError:
    kind = tensor.producer.kind if tensor.producer else ""
    decibels = _EXACT_DB if noise == 0.0 else 10.0 * math.log10(max(signal, 1e-300) / noise)
    return OpError(tensor.name, kind, min(decibels, _EXACT_DB))


class _Tapped:
    """A model run with chosen inner tensors as outputs, given as reals."""

    def __init__(self, model: Model, tensors: list[Tensor]) -> None:
        self.tensors = tensors
        self.names = [str(i) for i in range(len(tensors))]
        self.bytes = self._serialize(model)

    def _serialize(self, model: Model) -> bytes:
        graph = model.main
        outputs, signatures = graph.outputs, model.signatures
        try:
            tap(model, dict(zip(self.names, self.tensors, strict=True)))
            return serialize(model)
        finally:
            graph.outputs, model.signatures = outputs, signatures

    def open(self, threads: int) -> Session:
        return Session(self.bytes, threads=threads)

    def values(self, outputs: Mapping[str, Array]) -> Iterator[Array]:
        for name, tensor in zip(self.names, self.tensors, strict=True):
            q = tensor.quantization
            raw = outputs[name]
            yield raw if q is None or not q.is_affine else dequantize(raw, q.scale, q.zero_point)
