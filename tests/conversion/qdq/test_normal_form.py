"""What producers write becomes one form, which computes what the source does."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from support.quantized_onnx import (
    IMAGE,
    Quantized,
    aimet_net,
    answers,
    blocks_net,
    brevitas_net,
    dynamic_net,
    integer_ends_net,
    nncf_net,
    qdq_net,
    qonnx_net,
    qoperator_net,
)
from tightfit.conversion.qdq.normal_form import (
    as_qdq,
    integer_outputs,
    is_quantized,
    normal_form,
    reals_of_inputs,
)
from tightfit.conversion.qdq.qdq_parameters import (
    QdqParameters,
    digest,
    marker_name,
    parse_marker,
    symmetric16,
)
from tightfit.errors import ModelError

STYLES = {
    "qdq": qdq_net(),
    "qdq int8": qdq_net("int8"),
    "microsoft": qdq_net(domain="com.microsoft"),
    "qoperator": qoperator_net(),
    "aimet": aimet_net(),
    "brevitas": brevitas_net(),
    "nncf": nncf_net(),
    "integer ends": integer_ends_net(),
    "blocks": blocks_net(),
}


def images(model, count=3, seed=0):
    tensor = model.graph.input[0].type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    random = np.random.default_rng(seed)
    if tensor.elem_type == 2:
        return [random.integers(0, 256, shape).astype(np.uint8) for _ in range(count)]
    return [random.normal(0, 0.6, shape).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("style", STYLES)
def test_the_normal_form_answers_what_the_source_answers(style):
    model = STYLES[style]
    form = normal_form(model)
    given = [reals_of_inputs(form, {"x": x})["x"] for x in images(model)]
    wanted = answers(model, images(model))
    for reals, expected in zip(answers(as_qdq(form), given), wanted, strict=True):
        (result,) = integer_outputs(form, [reals])
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
def test_only_two_ops_of_quantization_are_left_and_constants_alone_are_dequantized(style):
    form = normal_form(STYLES[style]).model
    kinds = {n.op_type for n in form.graph.node}
    assert not any(
        k.startswith("QLinear") or k in ("DequantizeLinear", "QGemm", "MatMulNBits") for k in kinds
    )
    assert not any(n.metadata_props for n in form.graph.node)


def test_weights_keep_their_scale_whatever_layout_they_get():
    form = normal_form(qdq_net())
    weights = [p for p, _ in form.constants.values() if p.scale.size == 8]
    assert weights
    values = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype(np.float32)
    assert digest(values) == digest(values.transpose(3, 0, 1, 2))
    assert digest(values) != digest(values * np.float32(1.0000001))


def test_qonnx_rounds_weights_to_its_bits():
    form = normal_form(qonnx_net())
    (parameters, _), *_ = form.constants.values()
    assert parameters.scale.size == 8
    assert parameters.axis == 0
    assert sum(n.op_type == "QuantizeLinear" for n in form.model.graph.node) == 2


def test_a_dynamic_model_keeps_its_weights_and_says_where_ranges_come_from():
    form = normal_form(dynamic_net())
    assert "run time" in form.notes[0]
    assert [dynamic for _, dynamic in form.constants.values()] == [True]
    assert not any(n.op_type == "QuantizeLinear" for n in form.model.graph.node)


def test_nodes_may_stand_in_any_order():
    model = qdq_net()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    assert len(normal_form(model).model.graph.node) == len(normal_form(qdq_net()).model.graph.node)


def test_a_value_that_nothing_writes_is_named():
    b = Quantized()
    b.quantized("x", 0.1, 3)
    model = b.model(b.node("Relu", "lost"), IMAGE, IMAGE)
    with pytest.raises(ModelError, match="Relu 'relu2' reads 'lost', which nothing in the file writes"):
        normal_form(model)


def test_a_float_model_is_not_taken_for_a_quantized_one():
    b = Quantized()
    assert not is_quantized(b.model(b.node("Relu", "x"), IMAGE, IMAGE))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b: b.node("QuantizeLinear", "x", b.node("ReduceMax", "x", keepdims=0)), "run time"),
        (lambda b: b.node("Relu", b.node("QuantizeLinear", "x", *b.parameters(0.1, 0))), "stored integers"),
        (
            lambda b: b.node(
                "DequantizeLinear",
                b.node("QuantizeLinear", "x", *b.parameters(0.1, 0)),
                *b.parameters(0.2, 0),
            ),
            "another scale",
        ),
    ],
)
def test_a_node_without_a_normal_form_is_named_with_the_reason(build, words):
    b = Quantized()
    name = build(b)
    with pytest.raises(ModelError, match=f"'{name}'.*{words}|{words}"):
        normal_form(b.model(name, IMAGE, IMAGE))


def test_sixteen_bits_with_a_zero_point_become_symmetric_and_it_is_said():
    b = Quantized("uint16")
    model = b.model(b.quantized("x", 1e-4, 20000), IMAGE, IMAGE, opset=21)
    form = normal_form(model)
    assert "16 bits with a zero point" in form.notes[0]
    given = symmetric16(QdqParameters("uint16", np.asarray([1e-4], np.float32), np.asarray([20000])))
    assert given.scale[0] * 32767 == pytest.approx(45535 * 1e-4, rel=1e-6)


def test_a_marker_says_what_was_written_into_it():
    given = QdqParameters("int8", np.asarray([0.25, 0.5], np.float32), np.asarray([-3, 7]), 3)
    back = parse_marker(marker_name(given, 3))
    assert back.same(given)
    assert back.axis == 3


def test_stack_traces_of_exporters_are_not_copied():
    model = qdq_net()
    entry = model.graph.node[-3].metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", "somewhere"
    assert helper.printable_graph(model.graph)
    assert not any(n.metadata_props for n in normal_form(model).model.graph.node)
