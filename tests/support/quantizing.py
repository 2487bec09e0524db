"""What the tests of plans share: ranges without calibration, models run on LiteRT, distances in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from support.models import Builder
from support.one_op_models import merge
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.arithmetic import dequantize, quantize
from tightfit.quantization.calibration.calibrate import calibrate
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.plan import OpPlan, Plan
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.input_samples import TensorSpec
from tightfit.runtime.session import Session
from tightfit.streaming.tensor_statistics import Statistics

Arrays = dict[str, np.ndarray[Any, Any]]


def given(
    model: Model, low: float = -1.0, high: float = 1.0, **others: tuple[float, float]
) -> dict[str, Any]:
    """The same range for every float activation of the main graph, but for those named."""
    keys = model.main.keys()
    return {keys[t]: others.get(keys[t], (low, high)) for t in model.main.tensors() if not t.is_constant}


def plan(model: Model, scheme: str, interface: str = "float32", **options: Any) -> Plan:
    """The plan under given ranges: ``ranges`` (a mapping), else [-1, 1] everywhere."""
    ranges = options.pop("ranges", None) or given(model)
    return make_plan(model, find_scheme(scheme, interface), ranges, **options)


def calibrated(model: Model, *samples: Mapping[str, Any]) -> Ranges:
    """The extremes that the float model shows on LiteRT for these samples."""
    return Ranges([calibrate(model, samples, workers=1).statistics], {"int8": "minmax", "int16": "minmax"})


def calibrated_all(models: Mapping[str, Model], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Ranges]:
    """The same for several models at once, one sample each."""
    merged = merge({name: copy_model(model) for name, model in models.items()})
    fed = {f"{name}/{key}": value for name in models for key, value in inputs[name].items()}
    seen: dict[str, dict[str, Statistics]] = {name: {} for name in models}
    for key, statistics in calibrate(merged, [fed], workers=1).statistics.items():
        name, _, tensor = key.partition("/")
        seen[name][tensor] = statistics
    return {name: Ranges([statistics]) for name, statistics in seen.items()}


def quantized(model: Model, scheme: str, *samples: Mapping[str, Any], interface: str = "float32") -> Model:
    """The quantized model, as a file would give it back."""
    return applied(model, scheme, interface, ranges=calibrated(model, *samples))


def applied(model: Model, scheme: str, interface: str = "float32", **options: Any) -> Model:
    """The quantized model under given ranges (see ``plan``), as a file would give it back."""
    return reread(apply_plan(model, plan(model, scheme, interface, **options)))


def reread(model: Model) -> Model:
    """The model after it was written and read."""
    return read_model(bytes(serialize(model)))


def run(model: Model, inputs: Mapping[str, Any], *, delegate: bool = True) -> Arrays:
    """What LiteRT gives; reals in and out of integer inputs and outputs."""
    with Session(bytes(serialize(model)), delegate=delegate) as session:
        given = session.run({s.name: _stored(inputs[s.name], s) for s in session.inputs})
        forms = {s.name: s for s in session.outputs}
    return {n: _real(v, forms[n]) for n, v in given.items()}


def run_all(
    models: Mapping[str, Model], inputs: Mapping[str, Mapping[str, Any]], *, delegate: bool = True
) -> dict[str, Arrays]:
    """What LiteRT gives for each of several models, run as one: a process each would take long."""
    merged = merge({name: copy_model(model) for name, model in models.items()})
    fed = {f"{name}/{key}": value for name in models for key, value in inputs[name].items()}
    results: dict[str, Arrays] = {name: {} for name in models}
    for key, values in run(merged, fed, delegate=delegate).items():
        name, _, output = key.partition("/")
        results[name][output] = values
    return results


def _stored(values: Any, spec: TensorSpec) -> Any:
    reals = np.asarray(values)
    if spec.scale is None or spec.dtype == "float32" or reals.dtype.kind != "f":
        return values
    return quantize(reals, spec.scale, spec.zero_point or 0, spec.dtype)


def _real(values: np.ndarray[Any, Any], spec: TensorSpec) -> np.ndarray[Any, Any]:
    if spec.scale is None or values.dtype.kind == "f":
        return values
    return dequantize(values, spec.scale, spec.zero_point or 0)


def op_plan(plan: Plan, name: str) -> OpPlan:
    """The row of the op of that name or kind."""
    return next(op for op in plan.ops() if name in (op.name, op.kind))


def find_op(model: Model, kind: str) -> Op:
    return next(op for op in model.main.ops if op.kind == kind)


def drop_bias(model: Model, op: Op) -> None:
    """Cuts off the bias, as files do that have none."""
    model.main.set_input(op, 2, None)
    op.inputs.pop()


def kinds(model: Model) -> list[str]:
    return [op.kind for op in model.main.ops]


def scale_of(tensor: Tensor) -> float:
    assert tensor.quantization is not None
    return float(tensor.quantization.scale[0])


def snr_db(values: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    noise = float(np.square(values.astype(float) - reference).sum())
    return 10 * np.log10(float(np.square(reference.astype(float)).sum()) / max(noise, 1e-300))


def concat(b: Builder, *tensors: Tensor, axis: int = 1) -> Tensor:
    shape = list(tensors[0].shape)
    shape[axis] = sum(t.shape[axis] for t in tensors)
    return b.op("CONCATENATION", tensors, shape, table="ConcatenationOptions", options={"axis": axis})


def binary(b: Builder, kind: str, left: Tensor, right: Tensor, name: str | None = None) -> Tensor:
    """An elementwise op of two operands."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    table = {
        "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions",
        "SQUARED_DIFFERENCE": "SquaredDifferenceOptions",
    }.get(kind, f"{kind.title()}Options")  # fmt: skip
    return b.op(kind, [left, right], shape, name=name, table=table)


def reshape(b: Builder, x: Tensor, *shape: int) -> Tensor:
    target = b.constant("shape", list(shape), "int32")
    return b.op("RESHAPE", [x, target], shape, table="ReshapeOptions", options={"newShape": list(shape)})


def max_pool(b: Builder, x: Tensor) -> Tensor:
    n, h, w, c = x.shape
    options = {"padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    return b.op("MAX_POOL_2D", [x], [n, h // 2, w // 2, c], table="Pool2DOptions", options=options)


def transpose_conv(b: Builder, x: Tensor, channels: int) -> Tensor:
    """Doubles height and width."""
    n, h, w, c = x.shape
    shape = [n, 2 * h, 2 * w, channels]
    operands = [b.constant("up/shape", shape, "int32"), b.weights("up/filter", channels, 3, 3, c), x]
    options = {"padding": 0, "strideW": 2, "strideH": 2}
    return b.op(
        "TRANSPOSE_CONV", [*operands, b.weights("up/bias", channels)], shape, name="up",
        table="TransposeConvOptions", options=options,
    )  # fmt: skip


def layer_norm(b: Builder, x: Tensor) -> Tensor:
    """Normalization over the last axis, as converters write it out."""
    axes = b.constant("last", [len(x.shape) - 1], "int32")
    narrow = [*x.shape[:-1], 1]
    keep = {"table": "ReducerOptions", "options": {"keepDims": True}}
    mean = b.op("MEAN", [x, axes], narrow, **keep)
    variance = b.op("MEAN", [binary(b, "SQUARED_DIFFERENCE", x, mean), axes], narrow, **keep)
    scale = b.op("RSQRT", [b.add(variance, b.constant("epsilon", [1e-3], "float32"))], narrow)
    return b.add(binary(b, "MUL", binary(b, "SUB", x, mean), scale), b.weights("beta", x.shape[-1]))


def transformer_net() -> Model:
    """Token ids → embedding → one attention block → a GELU layer → classes."""
    b = Builder(seed=11)
    n, d = 6, 32
    ids = b.input("ids", [1, n], "int32")
    table = b.weights("embedding", 100, d)
    x = b.op("GATHER", [table, ids], [1, n, d], table="GatherOptions", options={"axis": 0})
    q, k, v = (_projection(b, x, d) for _ in range(3))
    scores = b.op("BATCH_MATMUL", [q, k], [1, n, n], table="BatchMatMulOptions", options={"adjY": True})
    mixed = b.op("BATCH_MATMUL", [b.softmax(scores, "attention"), v], [1, n, d], table="BatchMatMulOptions")
    x = layer_norm(b, b.add(x, _projection(b, mixed, d)))
    h = b.op("GELU", [_projection(b, x, 2 * d)], [1, n, 2 * d], table="GeluOptions")
    pooled = b.op(
        "MEAN",
        [b.add(x, _projection(b, h, d)), b.constant("axis", [1], "int32")],
        [1, d],
        table="ReducerOptions",
    )
    return b.model(b.softmax(b.dense(pooled, 4)))


def _projection(b: Builder, x: Tensor, units: int) -> Tensor:
    y = b.dense(x, units)
    assert y.producer is not None
    y.producer.options["keepNumDims"] = True
    return y


def lstm_net(units: int, depth: int) -> Model:
    """A fused LSTM over 2 sequences of 3 steps."""
    b = Builder()
    inputs = [b.input("x", [2, 3, depth])]
    inputs += [b.weights(f"w{i}", units, depth) for i in range(4)]
    inputs += [b.weights(f"r{i}", units, units) for i in range(4)]
    inputs += [None, None, None, *(b.weights(f"b{i}", units) for i in range(4)), None, None]
    inputs += [Tensor(n, (2, units), is_variable=True) for n in ("h", "c")] + [None] * 4
    options = {"fusedActivationFunction": 4}
    table = "UnidirectionalSequenceLSTMOptions"
    return b.model(b.op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [2, 3, units], table=table, options=options))
