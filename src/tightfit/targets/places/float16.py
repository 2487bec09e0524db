"""The float16 arithmetic of a phone's GPU, simulated on the CPU: constants and each op's output are rounded.

SwiftShader and most desktop drivers compute in float32, so neither overflow (above 65,504) nor the loss of 11
bits shows there. Here each float op that the GPU takes computes in float32 and its output passes through
CAST to float16 and back. Integer ops run there as floats whose values are rounded to the integers' grid, so
of these only overflow is counted. A phone also accumulates in float16 or float32, by its driver, which is not
known.

Source: LiteRT's GPU delegate computes in float16 unless ``enforce_f32`` is set; IEEE 754 binary16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names, tap
from tightfit.graph.writer import serialize
from tightfit.quantization.arithmetic import dequantize
from tightfit.result import Result, Row
from tightfit.runtime.session import Session
from tightfit.targets.placement import check
from tightfit.targets.tools.agreement import noise_inputs
from tightfit.types import Array
from tightfit.units import format_decibels, format_percent

LARGEST: Final = 65504.0
"""The largest float16."""
_STANDS_FOR_INFINITY: Final = float(np.finfo(np.float32).max)
_FLOAT32: Final = 0
_FLOAT16: Final = 1
_MOVES: Final = frozenset({"CAST", "DEQUANTIZE", "QUANTIZE"})


@dataclass(frozen=True)
class Float16Loss:
    """What float16 arithmetic does to the output of one op.

    Args:
        name: the op's name.
        kind: its kind.
        snr_db: signal-to-noise ratio against float32, with the error of everything before it; None for equal.
        overflow: fraction of the values that are infinite or NaN in float16 and not in float32.
        largest: largest magnitude in float32.
    """

    name: str
    kind: str
    snr_db: float | None
    overflow: float
    largest: float


@dataclass(frozen=True, repr=False)
class Float16Simulation(Result):
    """The float16 arithmetic of a phone's GPU on some samples.

    Args:
        path: the file.
        ops: the loss of each op on the GPU, in the order of the graph; of an integer op its overflow alone.
        samples: samples that ran.
    """

    path: Path
    ops: list[Float16Loss]
    samples: int

    @property
    def notes(self) -> list[str]:
        """The first op that overflows, and what to do."""
        first = next((op for op in self.ops if op.overflow), None)
        if first is None:
            return []
        return [
            f"{first.kind} '{first.name}' overflows float16 in {format_percent(first.overflow, 2)} of its "
            f"values: the largest is {first.largest:.3g}, the limit 65,504. Scale what it computes, or "
            "set full precision (enforce_f32) in the application."
        ]

    @property
    def overflows(self) -> bool:
        """True when a value of an op overflows."""
        return any(op.overflow for op in self.ops)

    def sentence(self, samples: str) -> str:
        """Return the result on some samples in a sentence.

        Args:
            samples: what they are, such as "samples of the data".
        """
        losses = [op.snr_db for op in self.ops if op.snr_db is not None]
        least = (
            f"each op's output keeps at least {format_decibels(min(losses))}" if losses else "nothing is lost"
        )
        found = self.notes[0] if self.overflows else f"nothing overflows, and {least}."
        return f"In the float16 of phones, on {self.samples} {samples}: {found}"

    def headline(self) -> str:
        """Return the worst op."""
        worst = min((op.snr_db for op in self.ops if op.snr_db is not None), default=None)
        difference = "equal" if worst is None else f"at least {format_decibels(worst)}"
        overflow = "overflow" if self.overflows else "no overflow"
        return f"Float16Simulation('{self.path}', {difference}, {overflow})"

    def table(self) -> tuple[tuple[str, ...], Iterable[Row]]:
        """Return the loss of each op, the largest first."""
        titles = ("op", "kind", "dB", "overflow", "largest")
        return titles, [(o.name, o.kind, o.snr_db, o.overflow, o.largest) for o in self.worst_first()]

    def worst_first(self) -> list[Float16Loss]:
        """Return the ops, those that overflow first, then by their loss."""
        return sorted(self.ops, key=lambda op: (-op.overflow, np.inf if op.snr_db is None else op.snr_db))


def rounded_to_float16(model: Model) -> Model:
    """Return a copy in which the float ops that the GPU takes compute as a phone's GPU does.

    Args:
        model: any model; ops on the CPU and integer ops are not changed.
    """
    verdict = check(model, "gpu")
    copied = copy_model(model)
    graph = copied.main
    taken = [graph.ops[p.index] for p in verdict.placements if p.graph == 0 and p.accelerated]
    for tensor in {t for op in taken for t in op.inputs if t is not None and t.data is not None}:
        if tensor.dtype == "float32" and tensor.data is not None and tensor.sparsity is None:
            tensor.data = _rounded(tensor.data)
    for op in taken:
        if op.kind not in _MOVES:
            for position, tensor in enumerate(op.outputs):
                if tensor.dtype == "float32":
                    _round_output(graph, op, position)
    return copied


def noise_samples(model: Model, count: int = 2) -> list[Sample]:
    """Return seeded noise for the main graph, between the limits that the file carries where it does."""
    names = list(input_names(model))
    return [Sample(dict(zip(names, noise_inputs(model, seed), strict=True))) for seed in range(count)]


def float16_simulation(path: Path, samples: Iterable[Sample]) -> Float16Simulation:
    """Return what float16 arithmetic does to each op of a file.

    Args:
        path: the file.
        samples: of a dataset that fits it.
    """
    model = read_model(path)
    rounded = rounded_to_float16(model)
    pairs = list(_pairs(model, rounded))
    integers = _integer_outputs(model)
    sums = {op.outputs[0].name: _Loss() for op in (*(o for o, _, _ in pairs), *integers)}
    plain = copy_model(model)
    count = 0
    tap(rounded, {str(i): t for i, (_, _, t) in enumerate(pairs)})
    inner = {t.name: t for op in plain.main.ops for t in op.outputs}
    taps = {str(i): inner[op.outputs[0].name] for i, (op, _, _) in enumerate(pairs)}
    tap(plain, taps | {f"q{i}": inner[op.outputs[0].name] for i, op in enumerate(integers)})
    with Session(serialize(plain)) as wide, Session(serialize(rounded)) as narrow:
        for sample in samples:
            one = wide.run(adapt_inputs(sample, wide.inputs))
            other = narrow.run(adapt_inputs(sample, narrow.inputs))
            for i, (op, _, _) in enumerate(pairs):
                sums[op.outputs[0].name].add(one[str(i)], other[str(i)])
            for i, op in enumerate(integers):
                real = _real(op.outputs[0], one[f"q{i}"])
                sums[op.outputs[0].name].add(real, np.where(np.abs(real) > LARGEST, np.inf, real))
            count += 1
    made = (op for op in model.main.ops if op.outputs and op.outputs[0].name in sums)
    return Float16Simulation(path, [sums[op.outputs[0].name].of(op) for op in made], count)


def _integer_outputs(model: Model) -> list[Op]:
    """The integer ops on the GPU, which computes the reals of their integers: these may overflow too."""
    places = [p.index for p in check(model, "gpu").placements if p.graph == 0 and p.accelerated]
    ops = [model.main.ops[i] for i in places]
    return [op for op in ops if op.outputs and op.outputs[0].is_quantized and op.outputs[0].dtype == "int8"]


def _real(tensor: Tensor, stored: Array) -> Array:
    q = tensor.quantization
    if q is None:
        raise ValueError(f"'{tensor.name}' has no scale.")
    return dequantize(stored, q.scale, q.zero_point)


def _pairs(model: Model, rounded: Model) -> Iterator[tuple[Op, Op, Tensor]]:
    """Each rounded op with its twin and the twin's output after the rounding."""
    found = {t.name: t for op in rounded.main.ops for t in op.outputs}
    twins = {op.outputs[0].name.removesuffix(_RAW): op for op in rounded.main.ops if op.outputs}
    for op in model.main.ops:
        if not op.outputs:
            continue
        name = op.outputs[0].name
        if f"{name}{_RAW}" in found:
            yield op, twins[name], found[name]


_RAW: Final = "/before_float16"


def _rounded(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _round_output(graph: Graph, op: Op, position: int) -> None:
    """Put a CAST to float16 and one back after an output."""
    target = op.outputs[position]
    raw = Tensor(f"{target.name}{_RAW}", target.shape, shape_signature=target.shape_signature)
    half = Tensor(f"{target.name}/float16", target.shape, "float16", shape_signature=target.shape_signature)
    graph.set_output(op, position, raw)
    types = {"inDataType": _FLOAT32, "outDataType": _FLOAT16}
    back = {"inDataType": _FLOAT16, "outDataType": _FLOAT32}
    first = Op("CAST", [raw], [half], types, "CastOptions")
    graph.insert_after(op, first)
    graph.insert_after(first, Op("CAST", [half], [target], back, "CastOptions"))


class _Loss:
    """Sums over the samples of one op."""

    def __init__(self) -> None:
        self.signal = self.noise = self.largest = 0.0
        self.over = self.size = 0

    def add(self, wide: Array, narrow: Array) -> None:
        """Take in one sample."""
        w, n = wide.astype(np.float64), narrow.astype(np.float64)
        lost = (np.abs(w) < _STANDS_FOR_INFINITY) & ~np.isfinite(n)
        both = np.isfinite(w) & np.isfinite(n)
        self.over += int(lost.sum())
        self.size += w.size
        self.signal += float(np.square(w[both]).sum())
        self.noise += float(np.square(w[both] - n[both]).sum())
        self.largest = max(self.largest, float(np.abs(w[np.isfinite(w)]).max(initial=0.0)))

    def of(self, op: Op) -> Float16Loss:
        """Return the loss."""
        snr = None if self.noise == 0 else float(10 * np.log10(max(self.signal, 1e-300) / self.noise))
        return Float16Loss(op.outputs[0].name, op.kind, snr, self.over / max(1, self.size), self.largest)
