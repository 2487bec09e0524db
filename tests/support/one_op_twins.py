"""A one-op model, its integer twin, and the float model that says what the twin should give.

The reference is the float op on the very values that the twin's integers stand for, so that only the
kernel's own arithmetic separates the two.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from support.one_op_cases import CASES
from support.one_op_models import Case, build, draw, merge
from tightfit.errors import RuntimeFailureError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Quantization, Tensor
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize, quantize, weight_scales
from tightfit.quantization.ops.op_table import OP_RULES
from tightfit.quantization.plan import INTEGER
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.session import Session

Arrays = dict[str, np.ndarray]
Results = dict[str, Arrays | RuntimeFailureError]
SCHEMES = {"int8": "int8", "int16": "int16x8"}


@dataclass
class Twin:
    """A quantized model, the float model with the same constants, and the inputs of both."""

    case: Case
    dtype: str
    model: Model
    reference: Model
    inputs: Arrays
    float_inputs: Arrays

    @property
    def op(self) -> Op:
        return self.model.main.ops[0]


def run_each(models: Mapping[str, Model], inputs: Mapping[str, Arrays], *, delegate: bool) -> Results:
    """Gives the outputs of every model, or the error of the ones that fail.

    All run in one process; when that fails, the halves are tried, down to the model that is to blame.
    """
    if not models:
        return {}
    merged = merge({name: copy_model(model) for name, model in models.items()})
    fed = {f"{name}/{key}": value for name in models for key, value in inputs[name].items()}
    try:
        with Session(serialize(merged), delegate=delegate) as session:
            outputs = session.run(fed)
    except RuntimeFailureError as error:
        if len(models) == 1:
            return dict.fromkeys(models, error)
        names = list(models)
        halves = (names[: len(names) // 2], names[len(names) // 2 :])
        parts = [run_each({n: models[n] for n in half}, inputs, delegate=delegate) for half in halves]
        return parts[0] | parts[1]
    return {name: _own(outputs, name) for name in models}


def _own(outputs: Arrays, name: str) -> Arrays:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in outputs.items() if key.startswith(prefix)}


def value_ranges(cases: Sequence[Case]) -> dict[str, dict[str, tuple[float, float]]]:
    """Gives the range of every float input and output of every case, by case and tensor.

    Outputs get a quarter more than they need: where a kernel copies integers and the row forgot to share
    the scale, the copy stands for other values.
    """
    models = {case.name: build(case) for case in cases}
    inputs = {case.name: draw(case) for case in cases}
    outputs = run_each(models, inputs, delegate=False)
    ranges = {}
    for case in cases:
        found = outputs[case.name]
        assert not isinstance(found, RuntimeFailureError), found
        values = inputs[case.name] | {name: value * _slack(value) for name, value in found.items()}
        reals = {k: v for k, v in values.items() if v.dtype == np.float32}
        ranges[case.name] = {k: (float(v.min()), float(v.max())) for k, v in reals.items()}
    return ranges


def _slack(value: np.ndarray) -> np.float32 | int:
    return np.float32(1.25) if value.dtype == np.float32 else 1


@functools.cache
def all_ranges() -> dict[str, dict[str, tuple[float, float]]]:
    """Gives the ranges of every case of the list, found once."""
    return value_ranges(CASES)


def make_twin(
    case: Case, dtype: str, ranges: Mapping[str, tuple[float, float]], weights: str = "int8"
) -> Twin:
    """Gives the twin that the plan makes, with integers at both ends."""
    model = build(case)
    scheme = dataclasses.replace(find_scheme(SCHEMES[dtype], dtype), weights=weights)
    plan = make_plan(model, scheme, dict(ranges))
    twin = apply_plan(model, plan)
    assert [op.kind for op in twin.main.ops] == [case.kind], plan.text()
    assert plan.ops()[0].mode == INTEGER, plan.text()
    inputs = draw(case)
    stored = {t.name: _stored(t, inputs[t.name]) for t in twin.main.inputs}
    reals = {t.name: real_values(t, stored[t.name]) for t in twin.main.inputs}
    return Twin(case, dtype, twin, reference(case, twin), stored, reals)


def reference(case: Case, twin: Model) -> Model:
    """Gives the float model whose constants are those that the twin's integers stand for."""
    model = build(case)
    for mine, theirs in zip(model.main.ops[0].inputs, twin.main.ops[0].inputs, strict=False):
        if mine is not None and theirs is not None and theirs.is_quantized and theirs.data is not None:
            mine.data = real_values(theirs, theirs.data)
    return model


def real_values(tensor: Tensor, integers: np.ndarray) -> np.ndarray:
    """Gives the float32 values of a tensor's integers; unquantized values as they are."""
    parameters = tensor.quantization
    if parameters is None or not tensor.is_quantized:
        return integers
    axis = parameters.axis if parameters.scale.size > 1 else None
    return dequantize(integers, parameters.scale, parameters.zero_point, axis)


def _stored(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    parameters = tensor.quantization
    if parameters is None:
        return values
    return quantize(values, parameters.scale, parameters.zero_point, tensor.dtype)


def make_hybrid(case: Case, weights: str, *, per_channel: bool) -> Twin:
    """Gives the dynamic-range twin: float activations, the weights of the row as integers."""
    rule = OP_RULES[case.kind]
    model = build(case)
    op = model.main.ops[0]
    for position in rule.dynamic_weights():
        tensor = op.input(position)
        if tensor is not None and tensor.data is not None:
            axis = rule.dynamic_axis() if per_channel else None
            scale = weight_scales(tensor.data, axis, weights)
            zeros = np.zeros(scale.size, np.int64)
            tensor.data = quantize(tensor.data, scale, zeros, weights, axis, narrow=True)
            tensor.dtype = weights
            tensor.quantization = Quantization(scale, zeros, axis or 0)
    inputs = draw(case)
    return Twin(case, "float32", model, reference(case, model), inputs, inputs)
