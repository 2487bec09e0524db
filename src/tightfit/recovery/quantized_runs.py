"""Compute the inputs of layers in the quantized model: LiteRT runs the part of the model before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tightfit.data.adapt import adapt_inputs
from tightfit.data.sample import Sample
from tightfit.errors import QuantizationError
from tightfit.graph.copying import copy_model
from tightfit.graph.format.temporary_files import temporary_file
from tightfit.graph.ir import Model, Tensor
from tightfit.graph.passes.clean import remove_dead_ops
from tightfit.graph.signatures import input_names, tap
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize
from tightfit.quantization.calibration.layers import Layer
from tightfit.quantization.modes import NARROW
from tightfit.quantization.plan import OpPlan, Plan
from tightfit.runtime.session import Session
from tightfit.types import Array, SampleStream


def device_model(model: Model, plan: Plan) -> Model:
    """Return the quantized model with few-bit weights stored as int8: the same integers, faster kernels."""
    graphs = [replace(g, ops=[_unpacked(op) for op in g.ops]) for g in plan.graphs]
    return apply_plan(model, replace(plan, graphs=graphs))


def _unpacked(plan: OpPlan) -> OpPlan:
    constants = {i: replace(s, dtype="int8") if s.dtype in NARROW else s for i, s in plan.constants.items()}
    return replace(plan, constants=constants)


def device_sources(device: Model, layers: Sequence[Layer]) -> list[Tensor]:
    """Return the input tensor of each layer's op in the quantized model; the op is found by its weights.

    Raises:
        QuantizationError: the quantized model does not have a layer.
    """
    readers = {(op.kind, w.name): op for op in device.main.ops if (w := op.input(1)) is not None}
    found = []
    for layer in layers:
        op = readers.get((layer.op.kind, layer.weights.name))
        source = None if op is None else op.input(0)
        if source is None:
            raise QuantizationError(
                f"{layer.op!r} is not in the quantized model; make a plan for this model."
            )
        found.append(source)
    return found


def run_to(model: Model, tensors: Sequence[Tensor], samples: SampleStream) -> Iterator[list[Array]]:
    """Yield the values of some tensors for each sample, as float32 reals.

    Only the part of the model that computes the tensors is run.

    Args:
        model: the quantized model.
        tensors: tensors of its main graph.
        samples: inputs by name, read once.

    Raises:
        RuntimeFailureError: LiteRT cannot run that part.
    """
    names = {t: f"tap{i}" for i, t in enumerate(dict.fromkeys(tensors))}
    fed = {t: n for n, t in input_names(model).items() if t in names}
    computed = {t: n for t, n in names.items() if t not in fed}
    if not computed:
        for sample in samples:
            yield [_given(sample[fed[t]], t) for t in tensors]
        return
    part, held = _part(model, computed)
    with temporary_file(part) as path, Session(path, shared=True) as session:
        kept: list[Mapping[str, Array]] = []

        def passed() -> Iterator[Mapping[str, Array]]:
            for sample in samples:
                kept.append(sample)
                yield adapt_inputs(Sample(dict(sample)), session.inputs)

        for results in session.run_many(passed()):
            given = kept.pop(0)
            yield [
                _given(given[fed[t]], t) if t in fed else _real(results[names[t]], held[names[t]])
                for t in tensors
            ]


def _part(model: Model, wanted: Mapping[Tensor, str]) -> tuple[Model, dict[str, Tensor]]:
    """The part of a model that computes some tensors, which become its only outputs, and these by name."""
    keys = model.main.keys()
    twin = copy_model(model)
    found = {key: tensor for tensor, key in twin.main.keys().items()}
    held = {name: found[keys[tensor]] for tensor, name in wanted.items()}
    tap(twin, held)
    remove_dead_ops(twin)
    return twin, held


def _given(values: Array, tensor: Tensor) -> Array:
    return np.asarray(values, np.float32) if tensor.dtype == "float32" else np.asarray(values)


def _real(values: Array, tensor: Tensor) -> Array:
    q = tensor.quantization
    if q is None or not q.is_affine:
        return np.asarray(values)
    return np.asarray(dequantize(values, q.scale, q.zero_point), np.float32)
