"""Which tensors and ops of a quantized file stand for which of the float model it was made from.

Tensors are matched by name, which quantization keeps; a conversion stands for the value that it converts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.ops.macs import weight_tensors
from tightfit.graph.scheme_detection import stored_weight

CONVERSIONS: Final = ("QUANTIZE", "DEQUANTIZE")

_BITS: Final = {"int4": 4, "int8": 8, "uint8": 8, "int16": 16}


class Pairing:
    """The value of the float model that each activation of the file stands for, and the forms of each value.

    Args:
        reference: the float model, cleaned as the file was made from it.
        candidate: the file.
    """

    def __init__(self, reference: Model, candidate: Model) -> None:
        self.reference, self.candidate = reference, candidate
        activations = [*reference.main.inputs, *(t for op in reference.main.ops for t in op.outputs)]
        names = {t.name: t for t in reversed(activations)}
        self.values: dict[Tensor, Tensor] = {}
        for tensor in self._activations():
            value = names.get(tensor.name)
            if value is not None and value.shape == tensor.shape:
                self.values[tensor] = value
        self._spread()
        self.forms: dict[Tensor, list[Tensor]] = {}
        for tensor in self._activations():
            if tensor in self.values:
                self.forms.setdefault(self.values[tensor], []).append(tensor)

    def _activations(self) -> Iterator[Tensor]:
        yield from self.candidate.main.inputs
        yield from (t for op in self.candidate.main.ops for t in op.outputs)

    def _spread(self) -> None:
        """A conversion's input and output stand for the same value; names know only one of them."""
        conversions = [op for op in self.candidate.main.ops if op.kind in CONVERSIONS and op.inputs[0]]
        for op in (*conversions, *reversed(conversions), *conversions):
            source, result = op.inputs[0], op.outputs[0]
            if source is None or source.is_constant:
                continue
            if source in self.values:
                self.values.setdefault(result, self.values[source])
            elif result in self.values:
                self.values[source] = self.values[result]

    def held(self, value: Tensor) -> Tensor | None:
        """The coarsest integer form of a value: the one that loses most; None where it stays float."""
        forms = [t for t in self.forms.get(value, []) if t.is_quantized and t.dtype in _BITS]
        return max(forms, key=lambda t: (-_BITS[t.dtype], _step(t)), default=None)

    def twin(self, op: Op) -> Op | None:
        """The op of the file that computes what an op of the float model does, None where there is none."""
        forms = self.forms.get(op.outputs[0], []) if op.outputs else []
        makers = [t.producer for t in forms if t.producer is not None and t.producer.kind not in CONVERSIONS]
        same = [m for m in makers if m.kind == op.kind]
        return next(iter([*same, *makers]), None)

    def compute_type(self, op: Op) -> str:
        """``int8``, ``int16`` (float islands between int16 tensors too) or ``float``."""
        twin = self.twin(op)
        if twin is None:
            return "float"
        types = {t.dtype for t in twin.outputs if t.is_quantized}
        if not types:
            after = [reader for t in twin.outputs for reader, _ in t.consumers if reader.kind == "QUANTIZE"]
            before = [i.producer for i in twin.inputs if i is not None and i.producer is not None]
            if before and all(b.kind == "DEQUANTIZE" for b in before):
                types = {t.dtype for reader in after for t in reader.outputs if t.dtype == "int16"}
        return next(iter(types), "float")

    def scheme(self, op: Op) -> str:
        """The scheme that computes an op as the file does: ``int8``, ``int8x4``, ``int16x8`` or ``float``."""
        twin = self.twin(op)
        stored = [stored_weight(w)[0] for w in weight_tensors(twin)] if twin is not None else []
        return scheme_name(self.compute_type(op), [w.dtype for w in stored if w is not None])


def scheme_name(compute_type: str, weights: Collection[str]) -> str:
    """The scheme of an op, by the type that it computes in and those of its stored weights."""
    if compute_type == "int8" and "int4" in weights:
        return "int8x4"
    return "int16x8" if compute_type == "int16" else compute_type


def _step(tensor: Tensor) -> float:
    return 0.0 if tensor.quantization is None else float(tensor.quantization.scale.max())
