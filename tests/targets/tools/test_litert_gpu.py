"""The verdict for the GPU is the accelerator's own, and a process that ends is an answer, not a crash."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.integer_models import scales
from support.models import Builder, conv_net, residual_net
from support.one_op_cases import CASES
from support.one_op_models import build, draw
from support.vulkan import needs_vulkan
from tightfit.errors import RuntimeFailureError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.writer import serialize
from tightfit.runtime.native.accelerator import AcceleratorProcess
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.agreement import compare, noise_inputs
from tightfit.targets.tools.litert_gpu import _read_log, available, load, open_process, run
from tightfit.targets.tools.op_agreement import op_agreement, op_sentences
from tightfit.targets.tools.proof import judged, prove
from tightfit.targets.tools.tool_result import OpAgreement, OutputAgreement, ToolResult
from tightfit.targets.tools.vulkan import VARIABLE, find_driver
from tightfit.units import format_percent

GPU = find_target("gpu")
NAMED = {case.name: case for case in CASES}
SOME = (
    "CONV_2D",
    "CONV_2D-grouped",
    "ARG_MAX",
    "LOG_SOFTMAX",
    "GATHER-table",
    "SELECT_V2",
    "SOFTMAX",
)


def cut_net():
    b = Builder()
    x = b.conv(b.conv(b.input("x", [1, 6, 6, 4]), 4), 4)
    return b.model(b.conv(b.op("LOG_SOFTMAX", [x], x.shape), 4))


@needs_vulkan
@pytest.mark.parametrize("make", [conv_net, residual_net, cut_net], ids=lambda make: make.__name__)
def test_the_rules_place_every_op_of_a_model_as_the_accelerator_does(make):
    model = make()
    rules = check(model, GPU)
    proof = prove(model, rules)
    assert proof.differs == ()
    verdict = judged(rules, proof)
    assert verdict.judge == "LiteRT GPU accelerator"
    assert verdict.pieces == 1
    assert verdict.right
    assert format_percent(verdict.accelerated_share) == format_percent(rules.accelerated_share)
    assert all(o.snr_db is None or o.snr_db > 100 for o in proof.result.outputs)


@needs_vulkan
@pytest.mark.parametrize("name", SOME)
def test_the_rules_say_of_an_op_what_the_accelerator_does_with_it(name):
    model, inputs = build(NAMED[name]), draw(NAMED[name])
    verdict = check(model, GPU)
    result = run(model, GPU, [inputs[t.name] for t in model.main.inputs])
    assert {(p.graph, p.index) for p in verdict.placements if p.accelerated} == result.accelerated
    assert verdict.right == result.right


@needs_vulkan
def test_a_refused_op_has_the_accelerators_own_reason():
    model = cut_net()
    assert run(model, GPU).reasons[0, 2] == "Operation is not supported."


def leaky_chain(depth):
    """int8 LEAKY_RELU one after the other: the CPU's kernels are a step off on some values of each."""
    graph = Graph()
    steps = [0.01 * 0.9**i for i in range(depth + 1)]
    tensors = [
        Tensor(f"t{i}", (1, 16, 16, 4), "int8", quantization=scales(step)) for i, step in enumerate(steps)
    ]
    for x, y in itertools.pairwise(tensors):
        graph.append(Op("LEAKY_RELU", [x], [y], {"alpha": 0.87}, "LeakyReluOptions"))
    graph.inputs, graph.outputs = tensors[:1], tensors[-1:]
    return Model([graph])


@needs_vulkan
def test_each_op_is_held_against_the_cpu_with_the_inputs_that_it_has_on_the_accelerator(tmp_path):
    model = leaky_chain(8)
    inputs = noise_inputs(model)
    path = tmp_path / "m.tflite"
    path.write_bytes(serialize(model))
    with open_process() as process:
        load(process, path)
        places = [(0, i) for i in range(8)]
        found = op_agreement(process, tmp_path, model, (inputs, process.run(inputs)), places)
    assert [op.place for op in found] == places
    assert all(op.right and (op.output.steps or 0) <= 1 for op in found)
    assert any(op.share for op in found)


def test_an_output_that_is_far_is_right_where_every_op_is():
    far = OutputAgreement("y", 20.0, 9.0)
    near = OpAgreement((0, 0), "LEAKY_RELU", OutputAgreement("y", 50.0, 1.0), 0.1)
    assert ToolResult("tool", outputs=(far,)).wrong_outputs == ("y",)
    assert ToolResult("tool", outputs=(far,), ops=(near,)).right
    said = op_sentences((far,), (near,))
    assert said[0] == "Output 'y' is 9 steps, 20.0 dB from the CPU's."
    assert "LEAKY_RELU in up to 10.00 %" in said[1]
    wrong = replace(near, output=OutputAgreement("y", 2.0, 40.0))
    assert ToolResult("tool", outputs=(far,), ops=(wrong,)).wrong_outputs == ("y",)
    assert len(op_sentences((far,), (wrong,))) == 1


@needs_vulkan
def test_the_op_that_is_wrong_is_named_where_others_carry_its_values_on():
    b = Builder()
    x = b.op("NEG", [b.input("x", [4, 6])], [4, 6], table="NegOptions")
    y = b.op(
        "ADD", [x, b.constant("c", np.arange(24.0).reshape(4, 6), "float32")], [4, 6], table="AddOptions"
    )
    result = run(b.model(b.op("ABS", [y], [4, 6], table="AbsOptions")), GPU)
    assert list(result.wrong) == [(0, 1)]
    assert "the CPU's for the same inputs" in result.wrong[0, 1]
    assert not result.right


def test_an_index_that_is_one_off_is_wrong_and_a_quantized_value_is_not():
    index, value = Tensor("i", (2,), "int32"), Tensor("q", (2,), "int8", quantization=scales(0.1))
    wanted, given = np.array([3, 5]), np.array([3, 6])
    assert not compare(index, "i", given.astype(np.int32), [wanted.astype(np.int32)]).right
    assert compare(value, "q", given.astype(np.int8), [wanted.astype(np.int8)]).right


def test_a_child_that_ends_is_a_refusal_for_its_parent(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(serialize(conv_net()))
    with AcceleratorProcess() as process:
        process.compile(path, ("cpu",))
        process._child._process.kill()
        with pytest.raises(RuntimeFailureError, match="died with SIGKILL"):
            process.run([np.zeros((1, 16, 16, 3), np.float32)])


def test_the_log_gives_refused_kinds_with_their_reasons_and_the_number_on_the_gpu():
    log = (
        "ERROR: Following operations are not supported by GPU delegate:\n"
        "LOG_SOFTMAX: Operation is not supported.\nSUB: Max version supported: 2. Requested version 3.\n"
        "3 operations will run on the GPU, and the remaining 2 operations will run on the CPU.\n"
    )
    found = _read_log(log, "")
    assert found.count == 3
    assert found.refusals == (
        ("LOG_SOFTMAX", "Operation is not supported."),
        ("SUB", "Max version supported: 2. Requested version 3."),
    )


def test_a_named_driver_is_found_by_its_folder(tmp_path):
    (tmp_path / "libvk_swiftshader.so").touch()
    driver = find_driver({VARIABLE: str(tmp_path)})
    assert driver is not None
    assert str(tmp_path) in Path(driver.manifests).read_text()
    assert find_driver({VARIABLE: str(tmp_path / "absent")}) is None


def test_a_missing_driver_names_what_to_install(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere")
    assert "apt-get install chromium" in available()
    model = conv_net()
    proof = prove(model, check(model, GPU))
    assert proof.result is None
    assert "apt-get install chromium" in proof.problem
    assert judged(check(model, GPU), proof).judge == "rules"
