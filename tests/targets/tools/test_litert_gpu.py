"""The verdict for the GPU is the accelerator's own, and a process that ends is an answer, not a crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.models import Builder, conv_net, residual_net
from support.one_op_cases import CASES
from support.one_op_models import build, draw
from support.vulkan import needs_vulkan
from tightfit.errors import RuntimeFailureError
from tightfit.graph.writer import serialize
from tightfit.runtime.native.accelerator import AcceleratorProcess
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.litert_gpu import _read_log, available, run
from tightfit.targets.tools.proof import judged, prove
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
