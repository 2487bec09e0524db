"""How far outputs of a sound file may be from the recorded ones on another processor, from its arithmetic.

Integer kernels give equal integers on x86-64 and on ARM, but for a few: LiteRT's SOFTMAX, int16 tables and
int16 dense layers without a bias round some values by one step otherwise, and CONV_2D with int4 weights runs
outside of XNNPACK and rounds by the processor. Sums of floats depend on their order, and dynamic-range ops
round activations to int8 in another way on processors with newer dot products.

    float:          4 · 2⁻²⁴ · sqrt(Σ K) of the output's range, K products in a sum
    dynamic range:  2⁻⁸ · sqrt(n) of the range, n ops
    int4 CONV_2D:   8 · sqrt(n) steps of the output, n ops

Source: LiteRT 2.3 for x86-64 and, emulated, Cortex-A53, A72, Neoverse N1, i8mm; the int4 bound is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tightfit.graph.ir import Model, Op
from tightfit.graph.ops.macs import WEIGHTS, macs
from tightfit.provenance.probes import output_steps

_FLOAT_UNIT: Final = 2.0**-16
"""The step of a float output: a share of its range (``probes.ProbeAnswer``)."""
_REALS: Final = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Tolerance:
    """Allowed difference of outputs.

    Args:
        steps: in steps of the outputs, 0 for equal.
        reason: where a difference comes from, in words; "" for equal.
    """

    steps: float = 0.0
    reason: str = ""


def tolerance(model: Model, *, same_machine: bool) -> Tolerance:
    """Return how far outputs may be from the recorded ones.

    Args:
        model: the file.
        same_machine: True where the recorded machine is of the kind of this one.
    """
    found = max(_sums(model), key=lambda t: t.steps, default=Tolerance())
    return found if same_machine else max(found, processor_tolerance(model), key=lambda t: t.steps)


def processor_tolerance(model: Model) -> Tolerance:
    """Return how far integers may be apart on x86-64 and on ARM; 0 where they are equal.

    The order of float sums is left out: it differs by the last bits only.

    Args:
        model: the file.
    """
    return max(_by_processor(model), key=lambda t: t.steps, default=Tolerance())


def _ops(model: Model) -> Iterator[Op]:
    return (op for graph in model.graphs for op in graph.ops)


def _sums(model: Model) -> Iterator[Tolerance]:
    """Sums of floats, whose order is not fixed."""
    products = [_products(op) for op in _ops(model) if _computes_reals(op)]
    if not products:
        return
    share = 4 * 2.0**-24 * math.sqrt(max(1.0, sum(products)))
    reason = "sums of floats depend on their order"
    yield Tolerance(max(1.0, share / _unit(model)), reason)


def _products(op: Op) -> float:
    return macs(op) / max(1, op.outputs[0].size) if op.outputs else 0.0


def _computes_reals(op: Op) -> bool:
    data = next((t for t in op.inputs if t is not None and not t.is_constant), None)
    moves = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "CONCATENATION", "SLICE")
    return data is not None and data.dtype in _REALS and op.kind not in moves


def _unit(model: Model) -> float:
    """The largest share of its range that a step of an output is: 1/255 behind a DEQUANTIZE, else 2⁻¹⁶."""
    outputs = {t.name: t for t in model.main.outputs}
    quantized = bool(output_steps(outputs)) or any(t.dtype not in _REALS for t in outputs.values())
    return 1 / 255 if quantized else _FLOAT_UNIT


def _by_processor(model: Model) -> Iterator[Tolerance]:
    hybrid = sum(_weight_type(op) in ("int8", "int4") and _computes_reals(op) for op in _ops(model))
    if hybrid:
        steps = 2.0**-8 * math.sqrt(hybrid) / _unit(model)
        yield Tolerance(max(1.0, steps), "dynamic-range ops round activations by the processor")
    packed = sum(op.kind == "CONV_2D" and _weight_type(op) == "int4" for op in _ops(model))
    if packed:
        yield Tolerance(8 * math.sqrt(packed), "CONV_2D with int4 weights rounds by the processor")
    if any(_rounds_by_processor(op) for op in _ops(model)):
        yield Tolerance(
            1.0, "SOFTMAX, int16 tables and int16 dense layers round some values by the processor"
        )


def _weight_type(op: Op) -> str:
    found = [op.input(p) for p in WEIGHTS.get(op.kind, ())]
    return next((t.dtype for t in found if t is not None and t.is_constant), "")


def _rounds_by_processor(op: Op) -> bool:
    data = op.input(0)
    dtype = "" if data is None else data.dtype
    if dtype == "int16":
        return op.kind in ("GELU", "LOG") or (op.kind == "FULLY_CONNECTED" and op.input(2) is None)
    return op.kind == "SOFTMAX" and dtype == "int8"
