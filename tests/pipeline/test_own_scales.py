"""A quantized source keeps its own scales: integer files, and ONNX in the style of each producer."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx
import pytest

from support.models import conv_net, residual_net
from support.places import SHARED
from support.quantized_models import samples_of
from support.quantized_onnx import (
    IMAGE,
    Quantized,
    aimet_net,
    answers,
    asymmetric_weights_net,
    brevitas_net,
    dynamic_net,
    integer_ends_net,
    nncf_net,
    qdq_net,
    qonnx_net,
    qoperator_net,
)
from tightfit.api.convert import convert
from tightfit.api.quantize import quantize
from tightfit.errors import ModelError, OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.pipeline.own_scales import loss
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.pipeline.source import open_source
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.from_integers.take import take_plan
from tightfit.quantization.plan import INTEGER, plan_from_json
from tightfit.quantization.scheme import find_scheme
from tightfit.runtime.session import Session

STYLES = {
    "qdq": (qdq_net, 0),
    "qdq int8": (lambda: qdq_net("int8"), 0),
    "qoperator": (qoperator_net, 0),
    "aimet": (aimet_net, 0),
    "brevitas": (brevitas_net, 0),
    "nncf": (nncf_net, 0),
    "nncf, zero points differ": (lambda: nncf_net((0, 3, 128, 7)), 0),
    "qonnx": (qonnx_net, None),
}
"""Style → (model, steps that its outputs may be away from the formula); None where onnxruntime has no op."""


def run(path, inputs, *, delegate=True):
    with Session(path, delegate=delegate) as session:
        name = session.inputs[0].name
        return [next(iter(session.run({name: x}).values())) for x in inputs]


def images(count=4, shape=IMAGE):
    random = np.random.default_rng(1)
    return [random.normal(0, 0.6, shape).astype(np.float32) for _ in range(count)]


def kinds(path):
    return Counter(op.kind for op in read_model(path).main.ops)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each style converted once."""
    folder = tmp_path_factory.mktemp("styles")
    return {
        name: (build(), convert(build(), folder / f"{i}.tflite"))
        for i, (name, (build, _)) in enumerate(STYLES.items())
    }


# -- ONNX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [name for name, (_, steps) in STYLES.items() if steps is not None])
def test_an_integer_file_answers_what_the_source_answers(made, style):
    model, result = made[style]
    for got, wanted in zip(run(result.path, images()), answers(model, images()), strict=True):
        np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_the_notes_name_what_stays_in_float_with_the_reason(made, style):
    _, result = made[style]
    plan = open_source(result.path).start.plan
    assert plan.counts().get("integer", 0) >= 1
    assert any("the source is quantized" in n.lower() for n in result.notes)
    assert any("source's own answers" in n for n in result.notes)


def test_convolutions_run_on_integers_and_scales_are_changed_through_float(made):
    _, result = made["qdq"]
    counts = kinds(result.path)
    assert counts["CONV_2D"] == 2
    assert counts["DEPTHWISE_CONV_2D"] == 1
    plan = open_source(result.path).start.plan
    modes = {op.kind: op.mode for op in plan.ops()}
    assert all(
        modes[k] == INTEGER for k in ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED")
    )
    for op in read_model(result.path).main.ops:
        types = [op.operand(0).dtype, op.outputs[0].dtype]
        assert op.kind != "QUANTIZE" or types[0] == "float32"


def test_the_scales_of_the_file_are_those_of_the_source(made):
    model, result = made["qdq"]
    initializers = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    wanted = {
        float(initializers[n.input[1]])
        for n in model.graph.node
        if n.op_type == "QuantizeLinear" and initializers[n.input[1]].ndim == 0
    }
    found = {
        float(t.quantization.scale[0])
        for op in read_model(result.path).main.ops
        for t in op.outputs
        if t.dtype == "int8"
    }
    assert found == wanted


def test_a_removed_relu_comes_back_in_the_float_model(tmp_path):
    result = convert(qdq_net(), tmp_path / "f.tflite", dequantize=True)
    ops = read_model(result.path).main.ops
    assert all(t.dtype == "float32" for op in ops for t in op.outputs)
    fused = [op.options.get("fusedActivationFunction") for op in ops if op.kind in ("CONV_2D", "ADD")]
    assert 1 in fused
    assert any("Written in float" in n for n in result.notes)


def test_without_float_a_scale_is_changed_by_adding_a_zero_and_softmax_is_said_to_round_twice(tmp_path):
    result = convert(qdq_net(), tmp_path / "n.tflite", layout="npu")
    model = read_model(result.path)
    assert not any(
        op.kind == "QUANTIZE" and op.operand(0).dtype == op.outputs[0].dtype == "int8"
        for op in model.main.ops
    )
    inner = model.main.ops[1:-1]
    assert not any(t.dtype == "float32" for op in inner for t in op.outputs)
    assert any("SOFTMAX" in n and "rounded twice" in n for n in result.notes)
    for got, wanted in zip(run(result.path, images()), answers(qdq_net(), images()), strict=True):
        assert np.abs(got - wanted).max() <= 1.01 / 255


def test_integer_inputs_and_outputs_stay_integers(tmp_path):
    result = convert(integer_ends_net(), tmp_path / "i.tflite")
    with Session(result.path) as session:
        assert session.inputs[0].dtype == "uint8"
        assert session.outputs[0].dtype == "uint8"
    inputs = [np.random.default_rng(0).integers(0, 256, IMAGE).astype(np.uint8)]
    (got,), (wanted,) = run(result.path, inputs), answers(integer_ends_net(), inputs)
    assert np.array_equal(got.reshape(wanted.shape), wanted)


def test_weights_that_no_kernel_takes_are_requantized_with_their_node_and_loss(tmp_path):
    result = convert(asymmetric_weights_net(), tmp_path / "a.tflite")
    (note,) = [n for n in result.notes if "zero point" in n]
    assert "CONV_2D 'conv" in note
    assert "dB" in note


def test_a_dynamic_source_becomes_dynamic_range(tmp_path):
    result = convert(dynamic_net(), tmp_path / "d.tflite")
    (dense,) = [op for op in read_model(result.path).main.ops if op.kind == "FULLY_CONNECTED"]
    assert dense.operand(1).dtype == "int8"
    assert dense.operand(0).dtype == "float32"
    inputs = images(shape=(1, 16))
    for got, wanted in zip(run(result.path, inputs), answers(dynamic_net(), inputs), strict=True):
        assert np.abs(got - wanted).max() < 0.02 * np.abs(wanted).max()


def test_what_cannot_be_taken_is_refused_with_the_node(tmp_path):
    b = Quantized()
    model = b.model(b.node("Relu", b.node("QuantizeLinear", "x", *b.parameters(0.1, 0))), IMAGE, IMAGE)
    with pytest.raises(ModelError, match="Relu 'relu1'"):
        convert(model, tmp_path / "r.tflite")


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_model_that_onnxruntime_quantized_keeps_its_answers(tmp_path, form):
    quantization = pytest.importorskip("onnxruntime.quantization")
    b = Quantized(seed=3)

    def conv(x, inputs, outputs):
        weights = b.random.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3)).astype(np.float32)
        bias = b.random.normal(0, 0.1, outputs).astype(np.float32)
        return b.node("Conv", x, b.constant(weights), b.constant(bias), pads=[1] * 4)

    x = b.node("Relu", conv("x", 3, 8))
    x = b.node("Add", conv(x, 8, 8), x)
    y = b.node("Flatten", b.node("GlobalAveragePool", x))
    model = b.model(y, IMAGE, (1, 8))
    model.ir_version = 8
    onnx.save(model, tmp_path / "float.onnx")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.rest = iter({"x": x} for x in images(8))

        def get_next(self):
            return next(self.rest, None)

    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "q.onnx", Reader(), per_channel=True, reduce_range=True,
        quant_format=getattr(quantization.QuantFormat, form), activation_type=quantization.QuantType.QUInt8,
    )  # fmt: skip
    source = onnx.load(tmp_path / "q.onnx")
    result = convert(source, tmp_path / "q.tflite")
    for got, wanted in zip(run(result.path, images()), answers(source, images()), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.skipif(not (SHARED / "cases" / "qdq").is_dir(), reason="needs the cases of ../shared")
@pytest.mark.parametrize("name", ["ort_qdq_u8s8_cnn", "ort_qop_u8s8_mobile", "nncf_mixed_mobile"])
def test_cases_with_answers_are_exact(tmp_path, name):
    case = np.load(SHARED / "cases" / "qdq" / f"{name}.npz")
    result = convert(onnx.load(SHARED / "cases" / "qdq" / f"{name}.onnx"), tmp_path / "c.tflite")
    got = np.stack(run(result.path, list(case["x"]))).reshape(case["y0_plain"].shape)
    np.testing.assert_allclose(got, case["y0_plain"], atol=1e-6)


# -- integer files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["int8", "int8 ends", "int16x8", "int16x8 npu", "dynamic", "weight8"])
def integer_file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    scheme, _, how = request.param.partition(" ")
    write_model(residual_net(), folder / "f.tflite")
    wanted = find_scheme(scheme, "uint8") if how == "ends" else scheme
    given = [s.inputs for s in samples_of(residual_net(), 6)]
    layout = how if how == "npu" else "cpu"
    return scheme, quantize_file(folder / "f.tflite", wanted, folder / "q.tflite", given, layout=layout).path


def constants_of(model):
    return sorted(t.data.tobytes() for t in model.main.tensors() if t.data is not None and t.is_quantized)


def test_an_integer_file_is_its_float_graph_and_its_plan(integer_file):
    _, path = integer_file
    model = read_model(path)
    taken = take_plan(model)
    assert all(not t.is_quantized for t in taken.model.main.tensors())
    again = apply_plan(taken.model, plan_from_json(taken.plan.to_json()))
    assert constants_of(again) == constants_of(model)
    assert Counter(op.kind for op in again.main.ops) == Counter(op.kind for op in model.main.ops)


@pytest.mark.parametrize("layout", ["cpu", "npu", "micro"])
def test_an_integer_file_is_arranged_anew_without_data(integer_file, tmp_path, layout):
    scheme, path = integer_file
    result = convert(path, tmp_path / "o.tflite", layout=layout)
    with Session(path) as session:
        spec = session.inputs[0]
    random = np.random.default_rng(0)
    inputs = [
        random.integers(0, 256, spec.shape).astype(spec.dtype)
        if spec.dtype == "uint8"
        else random.uniform(0, 1, spec.shape).astype(np.float32)
        for _ in range(3)
    ]
    for got, wanted in zip(run(result.path, inputs), run(path, inputs), strict=True):
        apart = np.abs(got.astype(np.float64) - wanted).max()
        assert apart <= (1e-3 if scheme == "int16x8" else 0)


def test_another_scheme_says_what_it_starts_from(tmp_path):
    write_model(conv_net(), tmp_path / "f.tflite")
    given = [s.inputs for s in samples_of(conv_net(), 6)]
    first = quantize_file(tmp_path / "f.tflite", "int8", tmp_path / "q.tflite", given).path
    for scheme in ("int8", "int16x8", "float16", "dynamic"):
        result = quantize(first, scheme, tmp_path / f"{scheme}.tflite")
        assert any("The source is quantized (int8)" in n for n in result.notes)
        assert result.snr_db > 20
    same = quantize(first, "int8", tmp_path / "same.tflite")
    assert math.isinf(same.snr_db)
    assert any("nothing is gained" in n for n in quantize(first, "int16x8", tmp_path / "w.tflite").notes)


def test_a_source_with_float_activations_needs_data_for_integers(tmp_path):
    write_model(residual_net(), tmp_path / "f.tflite")
    first = quantize_file(tmp_path / "f.tflite", "weight8", tmp_path / "q.tflite").path
    if open_source(first).start is None:
        pytest.skip("the weights are too small to be stored as integers")
    with pytest.raises(OptionError, match="sample inputs to calibrate"):
        quantize(first, "int8", tmp_path / "o.tflite")


def test_ranges_cannot_be_chosen_without_data(tmp_path):
    write_model(conv_net(), tmp_path / "f.tflite")
    given = [s.inputs for s in samples_of(conv_net(), 6)]
    first = quantize_file(tmp_path / "f.tflite", "int8", tmp_path / "q.tflite", given).path
    with pytest.raises(OptionError, match="pass data"):
        quantize(first, "int8", tmp_path / "o.tflite", overrides=(("CONV_2D", "float"),))


def test_the_loss_is_a_sentence():
    assert "to the bit" in loss(math.inf, 2)
    assert "35.2 dB" in loss(35.2, 2)
