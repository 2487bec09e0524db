"""The verdict for the CPU is LiteRT's own: which files it runs, and which ops XNNPACK takes."""

from __future__ import annotations

import pytest

from support.integer_models import conv, feature, model_of, scales, unary, weights
from support.models import conv_net
from tightfit.api.check import check as checked
from tightfit.graph.writer import write_model
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.litert_cpu import run
from tightfit.targets.tools.tool_table import TOOLS

CPU = find_target("cpu")


@pytest.mark.parametrize(
    "make", [conv_net, conv, lambda: conv(weight_dtype="int4"), lambda: unary("GELU")],
    ids=["float", "int8", "int4", "int8 GELU"],
)  # fmt: skip
def test_the_rules_place_ops_as_the_runtime_does(make):
    model = make()
    found = run(model, CPU)
    assert found.accelerated == {(0, p.index) for p in check(model, CPU).placements if p.accelerated}
    assert not found.refused


def test_a_file_that_the_runtime_refuses_is_refused(tmp_path):
    write_model(unary("SOFTMAX"), tmp_path / "softmax.tflite")  # its scale is not 1/256
    found = checked(tmp_path / "softmax.tflite", "cpu")
    assert not found.runs
    assert "LiteRT does not run it" in found.verdict.refused
    assert str(tmp_path) not in found.verdict.refused


def test_a_product_with_a_scale_for_each_channel_has_wrong_values():
    w = weights("w", 1, 8, 4)
    w.quantization = scales([0.01] * 4)
    made = model_of(
        "BATCH_MATMUL", [feature("x", (1, 5, 8)), w], [feature("y", (1, 5, 4))], "BatchMatMulOptions"
    )
    verdict = check(made, CPU)
    assert not verdict.right
    assert "scale" in verdict.placements[0].wrong


def test_a_search_does_not_ask_what_it_knows():
    assert not TOOLS[CPU.family.tool].in_search
