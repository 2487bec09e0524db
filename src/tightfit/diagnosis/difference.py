"""What two files differ in: inputs and outputs, ops, storage of tensors, weights, size, answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from tightfit.data.sample import Sample
from tightfit.diagnosis.file_difference import FileDifference, Output, WeightDifference
from tightfit.errors import DataError, ModelError
from tightfit.evaluation.parallel_runs import ModelRun, run_side_by_side
from tightfit.evaluation.slices.model_slices import slices_of
from tightfit.evaluation.slices.output_quality import OutputQuality, headline, lost_sentence, weak_sentence
from tightfit.evaluation.slices.quality import qualities
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.sparsity import dense_values
from tightfit.graph.summary import stored_bytes
from tightfit.provenance.probes import PROBES, Limits, seeded_inputs
from tightfit.provenance.record import read_record
from tightfit.quantization.arithmetic import dequantize
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.session import Session
from tightfit.streaming.slice_sums import SliceSums
from tightfit.types import Array

_THREADS: Final = 2


_LISTED: Final = 20


def difference(first: Path, second: Path, samples: Iterable[Sample] | None = None) -> FileDifference:
    """Compares two files.

    Args:
        first: the file that the other is compared with.
        second: the other file.
        samples: to run through both; None for two samples of seeded noise, between the limits that the
            first file carries.

    Raises:
        ModelError: a file cannot be read. RuntimeFailureError: LiteRT does not run the first.
        DataError: a sample does not fit the first.
    """
    models = read_model(first), read_model(second)
    found = FileDifference(_sizes((first, second), models), path=second)
    found.ends = list(_signature_changes(*models))
    kinds = [Counter(op.kind for g in m.graphs for op in g.ops) for m in models]
    found.ops = {
        k: (kinds[0][k], kinds[1][k]) for k in sorted(kinds[0] | kinds[1]) if kinds[0][k] != kinds[1][k]
    }
    _compare_tensors(found, *models)
    record = read_record(models[0]) if samples is None else None
    limits = {} if record is None else record.limits
    slices = slices_of(models[0])
    try:
        _compare_outputs(found, (first, second), samples or list(_noise(first, limits)), SliceSums(slices))
    except (DataError, ModelError) as error:
        if samples is not None and isinstance(error, DataError):
            raise
        found.unanswered = str(error)
    return found


def _sizes(paths: Sequence[Path], models: Sequence[Model]) -> dict[str, tuple[int, int]]:
    files = [p.stat().st_size for p in paths]
    stored = [sum(stored_bytes(t) for g in m.graphs for t in g.tensors() if t.is_constant) for m in models]
    counts = [sum(len(g.ops) for g in m.graphs) for m in models]
    rows = {"file_bytes": files, "constant_bytes": stored, "ops": counts}
    return {name: (pair[0], pair[1]) for name, pair in rows.items()}


def _signature_changes(first: Model, second: Model) -> Iterator[str]:
    for what in ("inputs", "outputs"):
        words = [[_type(t) for t in getattr(m.main, what)] for m in (first, second)]
        if words[0] != words[1]:
            yield f"{what}: {', '.join(words[0])} against {', '.join(words[1])}"


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}{list(tensor.shape_signature or tensor.shape)}"


def _compare_tensors(found: FileDifference, first: Model, second: Model) -> None:
    """Tensors of the same name: their storage, and the values of constants."""
    tables = [
        {f"{i}/{key}": t for i, g in enumerate(m.graphs) for t, key in g.keys().items()}
        for m in (first, second)
    ]
    found.only_first = len(tables[0].keys() - tables[1].keys())
    found.only_second = len(tables[1].keys() - tables[0].keys())
    for key, a in tables[0].items():
        b = tables[1].get(key)
        if b is None:
            continue
        if _storage(a) != _storage(b) or not _same_scales(a, b):
            found.tensors_different += 1
            if len(found.tensors) < _LISTED:
                found.tensors.append(f"{a.name}: {_storage(a)} against {_storage(b)}")
        if a.is_constant and b.is_constant and a.shape == b.shape:
            _compare_weight(found, a, b)


def _storage(tensor: Tensor) -> str:
    q = tensor.quantization
    if q is None or not tensor.is_quantized:
        return _type(tensor)
    scale = f"{q.scale.size} scales" if q.scale.size > 1 else f"{float(q.scale[0]):.6g}"
    return f"{_type(tensor)}, scale {scale}, zero point {int(q.zero_point[0])}"


def _same_scales(a: Tensor, b: Tensor) -> bool:
    if not a.is_quantized or not b.is_quantized or a.quantization is None or b.quantization is None:
        return a.is_quantized == b.is_quantized
    p, q = a.quantization, b.quantization
    return np.array_equal(p.scale, q.scale) and np.array_equal(p.zero_point, q.zero_point)


def _compare_weight(found: FileDifference, a: Tensor, b: Tensor) -> None:
    if a.dtype == b.dtype and _same_scales(a, b) and np.array_equal(dense_values(a), dense_values(b)):
        found.weights_equal += 1
        return
    texts = "string" in (a.dtype, b.dtype)
    distance = np.ones(1) if texts else np.abs(_reals(a) - _reals(b))
    found.weights_different += 1
    found.weights.append(
        WeightDifference(
            a.name, a.dtype, b.dtype, float((distance > 0).mean()) if distance.size else 0.0,
            float(distance.max(initial=0.0)),
        )
    )  # fmt: skip
    found.weights = sorted(found.weights, key=lambda w: -w.largest)[:_LISTED]


def _reals(tensor: Tensor) -> Array:
    values, q = dense_values(tensor), tensor.quantization
    if q is None or not tensor.is_quantized:
        return values.astype(np.float64)
    axis = q.axis if q.scale.size > 1 else None
    return dequantize(values, q.scale, q.zero_point, axis).astype(np.float64)


def _compare_outputs(
    found: FileDifference, paths: tuple[Path, Path], samples: Iterable[Sample], slices: SliceSums
) -> None:
    runs = [ModelRun(path, _THREADS) for path in paths]
    totals: dict[str, _Total] = {}
    with closing(run_side_by_side(iter(samples), runs)) as rounds:
        for row in rounds:
            found.samples += 1
            if row.answers[1] is not None:
                _add(totals, row.reference, row.answers[1])
                slices.add(row.answers[1], row.reference)
    found.unanswered = runs[1].failure or ""
    known = {output.name: output for output in qualities(slices)}
    found.outputs = [_with_worst(total.output(name), known.get(name)) for name, total in totals.items()]


def _with_worst(output: Output, known: OutputQuality | None) -> Output:
    if output.equal or known is None or known.worst_slice is None:
        return output
    lost = lost_sentence(known) if known.lost else ""
    weak = weak_sentence(known) if known.weak else ""
    shown = known.worst_slice.to_dict()
    return replace(output, worst=headline([known]), worst_slice=shown, lost=lost, weak=weak)


def _add(totals: dict[str, _Total], reference: Mapping[str, Array], answer: Mapping[str, Array]) -> None:
    for name, wanted in reference.items():
        totals.setdefault(name, _Total()).add(wanted, answer[name])


def _noise(path: Path, limits: Limits) -> Iterator[Sample]:
    """Seeded noise as reals, for both files alike."""
    with Session(path, threads=_THREADS) as session:
        specs = session.inputs
    for seed in range(PROBES):
        inputs = seeded_inputs(specs, limits, seed)
        yield Sample({s.name: _real_input(inputs[s.name], s) for s in specs}, None)


def _real_input(values: Array, spec: TensorSpec) -> Array:
    if spec.scale is None or values.dtype.kind not in "iu":
        return values
    return (values.astype(np.float32) - np.float32(spec.zero_point or 0)) * np.float32(spec.scale)


class _Total:
    """One output over the samples so far."""

    def __init__(self) -> None:
        self.equal, self.largest = True, 0.0
        self.signal = self.noise = 0.0
        self.same: list[bool] = []

    def add(self, wanted: Array, got: Array) -> None:
        self.equal &= wanted.dtype == got.dtype and np.array_equal(wanted, got)
        if wanted.dtype.kind not in "iufb" or wanted.shape != got.shape:
            return
        distance = np.abs(got.astype(np.float64) - wanted)
        self.largest = max(self.largest, float(distance.max(initial=0.0)))
        self.signal += float(np.square(wanted.astype(np.float64)).sum())
        self.noise += float(np.square(distance).sum())
        if wanted.size > 1:
            self.same.append(int(wanted.argmax()) == int(got.argmax()))

    def output(self, name: str) -> Output:
        snr = 10 * np.log10(max(self.signal, 1e-300) / self.noise) if self.noise else None
        share = float(np.mean(self.same)) if self.same else None
        return Output(name, self.equal, self.largest, None if snr is None else float(snr), share)
