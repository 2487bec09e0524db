"""The plugin's partition step places as many ops as the rules of ``intel-npu`` say."""

from __future__ import annotations

import pytest

from support.models import Builder, conv_net, residual_net
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools.intel_npu import _SELECTED, MISSING, available, run

NPU = find_target("intel-npu")
needs_openvino = pytest.mark.skipif(available() != "", reason=MISSING)


def cut_net():
    b = Builder()
    x = b.conv(b.input("x", [1, 6, 6, 4]), 4)
    return b.model(b.conv(b.op("LOG_SOFTMAX", [x], x.shape), 4))


@needs_openvino
@pytest.mark.parametrize("make", [conv_net, residual_net, cut_net], ids=lambda make: make.__name__)
def test_the_plugin_takes_what_the_rules_say(make):
    model = make()
    result = run(model, NPU)
    verdict = check(model, NPU)
    assert result.accelerated == {(0, p.index) for p in verdict.placements if p.accelerated}
    assert result.pieces == verdict.pieces


def test_an_op_that_the_plugin_does_not_know_falls_back_and_leaves_two_pieces():
    verdict = check(cut_net(), NPU)
    assert [p.kind for p in verdict.fallbacks] == ["LOG_SOFTMAX"]
    assert verdict.pieces == 2


def test_the_line_of_the_log_gives_ops_and_pieces():
    line = "Partitioned subgraph<0>, selected 5 ops, from a total of 6 ops. resulted in 2 partitions."
    found = _SELECTED.search(line)
    assert found is not None
    assert found.groups() == ("5", "6", "2")
