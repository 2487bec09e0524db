"""A file is read back as the plan that it carries out, whoever wrote it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.models import Builder, conv_net
from support.quantized_models import MODELS, planned, samples_of, written
from tightfit.errors import ModelError
from tightfit.graph.ir import Quantization
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.quantization.plan import INTEGER
from tightfit.runtime.session import Session
from tightfit.training.integer.integer_file import as_float, is_integer
from tightfit.training.integer.integer_kernels import softmax_int16
from tightfit.training.simulation.simulate_ops import simulate
from tightfit.training.simulation.top1_agreement import _largest


@pytest.mark.parametrize(("scheme", "target"), [("int8", "cpu"), ("int16x8", "npu")])
def test_a_file_is_simulated_without_the_plan_that_it_was_written_from(scheme, target, tmp_path):
    model = MODELS["residual"]()
    samples = samples_of(model, 6)
    path = written(model, planned(model, scheme, samples), samples, tmp_path, target)
    twin, plan = as_float(read_model(path))
    assert {op.dtype for op in plan.ops() if op.mode == INTEGER} == {"int8" if scheme == "int8" else "int16"}
    found = simulate(twin, plan, path, samples)
    assert len(found.ops) == len(model.main.ops)
    assert found.largest_steps <= 1
    assert found.equal_decisions == 1.0


def test_a_file_whose_ends_are_integers_is_simulated(tmp_path):
    model = conv_net()
    samples = samples_of(model, 6)
    path = written(model, planned(model, "int8", samples), samples, tmp_path)
    stored = read_model(path)
    # The QUANTIZE and DEQUANTIZE at the ends go: the graph takes and gives integers.
    first, last = stored.main.ops[0], stored.main.ops[-1]
    assert (first.kind, last.kind) == ("QUANTIZE", "DEQUANTIZE")
    stored.main.inputs, stored.main.outputs, stored.signatures = [first.outputs[0]], [last.inputs[0]], []
    for op in (first, last):
        stored.main.remove(op)
    twin, plan = as_float(stored)
    assert set(plan.graphs[0].interface.values()) == {"int8"}
    assert all(t.dtype == "float32" for t in (*twin.main.inputs, *twin.main.outputs))


def test_of_equal_outputs_any_is_the_decision_and_nan_is_none():
    assert list(_largest(np.int8([[3, 7, 7]]))) == [1, 2]
    assert list(_largest(np.float32([0.5, 0.25]))) == [0]
    assert not len(_largest(np.float32([0.5, np.nan])))


def test_a_float_file_is_refused():
    model = conv_net()
    assert not is_integer(model)
    with pytest.raises(ModelError, match="computes on no integers"):
        as_float(model)


@pytest.mark.parametrize("scale", [3e-4, 5e-4])
def test_softmax_of_int16_is_computed_from_the_kernels_tables(scale):
    b = Builder()
    x = b.input("x", [1, 5], "int16")
    y = b.op("SOFTMAX", [x], [1, 5], dtype="int16", table="SoftmaxOptions", options={"beta": 1.0})
    for tensor, step in ((x, scale), (y, 1 / 32768)):
        tensor.quantization = Quantization(np.float32([step]), np.int64([0]))
    model = b.model(y)
    random = np.random.default_rng(0)
    with Session(serialize(model)) as session:
        for _ in range(20):
            q = (random.normal(0, 3, (1, 5)) / scale).clip(-32768, 32767).astype(np.int16)
            (device,) = session.run({"x": q}).values()
            found = softmax_int16(model.main.ops[0], q * np.float32(scale), np.float32(scale))
            assert np.abs(np.asarray(found) * 32768 - device).max() <= 1
