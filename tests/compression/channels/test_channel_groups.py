from __future__ import annotations

import numpy as np
import pytest

from support.models import RELU, Builder, conv_net, residual_net
from support.random_graphs import build
from tightfit.compression.channels.channel_groups import Dependencies, Group, find_dependencies
from tightfit.compression.channels.channel_rules import CHANNEL_RULES
from tightfit.graph.ir import Op, Tensor


def group_of(found: Dependencies, maker: str) -> Group:
    return next(g for g in found.groups if any(op.name == maker for op in g.makers))


def test_an_addition_makes_one_group_of_both_branches():
    model = residual_net()
    group = group_of(find_dependencies(model), "conv_0")
    assert [op.name for op in group.makers] == ["conv_0", "conv_3"]
    assert [op.kind for op in group.readers] == ["CONV_2D", "FULLY_CONNECTED"]
    assert len(group) == 8
    assert group.reason is None


def test_a_group_counts_the_macs_of_the_ops_that_depend_on_it():
    model = conv_net()
    group = group_of(find_dependencies(model), "conv_0")
    # 8·8 outputs of 8 filters of 3·3·3, then 8·8 outputs of 16 filters of 3·3·8.
    assert group.macs == 64 * 8 * 27 + 64 * 16 * 72


def test_the_classes_stay_and_the_reason_names_the_softmax():
    found = find_dependencies(conv_net())
    reason = found.groups[-1].reason
    assert reason is not None
    assert reason == "SOFTMAX 'probabilities' normalizes over them"
    assert found.groups[-1] not in found.removable()


def test_outputs_stay_and_the_reason_names_them():
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 3]), 8)
    found = find_dependencies(b.model(y))
    assert found.groups[0].reason == f"they are in '{y.name}', an input or output of the model"


def test_an_unknown_op_freezes_with_its_name():
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 3]), 8)
    y = b.op("TOPK_V2", [y, b.constant("k", 2, "int32")], [1, 4, 4, 2], name="best")
    found = find_dependencies(b.model(y))
    assert found.groups[0].reason == "TOPK_V2 'best' has no rule for channels"


def test_a_constant_that_another_op_needs_whole_stays_whole():
    b = Builder()
    x = b.input("image", [1, 4, 4, 3])
    y = b.conv(b.conv(x, 8), 4)
    filters = b.graph.ops[0].inputs[1]
    total = b.op("SUM", [filters, b.constant("axes", [1, 2, 3], "int32")], [8], table="ReducerOptions")
    model = b.model(b.mean(y), total)
    reason = group_of(find_dependencies(model), "conv_0").reason
    assert reason == "SUM 'sum_2' needs all of 'conv_0/filter'"


def test_an_addition_of_an_input_keeps_its_channels():
    b = Builder()
    x = b.input("image", [1, 4, 4, 8])
    y = b.conv(b.add(x, b.conv(x, 8)), 4)
    reason = group_of(find_dependencies(b.model(b.mean(y))), "conv_0").reason
    assert reason == "ADD 'add_1' combines them with 'image', which has no channels"


def test_weights_of_run_time_freeze_what_they_read():
    b = Builder()
    y = b.conv(b.input("image", [1, 4, 4, 3]), 8)
    filters = b.input("filters", [4, 1, 1, 8])
    y = b.op("CONV_2D", [y, filters, b.weights("bias", 4)], [1, 4, 4, 4], name="hyper")
    found = find_dependencies(b.model(y))
    assert found.groups[0].reason == "CONV_2D 'hyper' computes its weights at run time"


def test_a_concatenation_leaves_its_parts_free_of_each_other():
    found = find_dependencies(build(["concatenation"], flatten=False))
    parts = [g for g in found.removable() if any(op.kind == "FULLY_CONNECTED" for op in g.readers)]
    assert sorted(len(g) for g in parts)[:3] == [4, 8, 8]


def test_flattened_channels_stand_at_every_place():
    found = find_dependencies(build(["conv"], flatten=True))
    group = next(
        g for g in found.removable() if len(g) == 12 and "FULLY_CONNECTED" in {o.kind for o in g.readers}
    )
    place = next(p for p in found.places if p.op in group.readers and p.role == "in")
    assert place.channels.size == 6 * 6 * 12
    np.testing.assert_array_equal(place.channels[:12], place.channels[12:24])


def test_grouped_filters_go_together():
    found = find_dependencies(build(["grouped"], flatten=False))
    grouped = next(op for op in {p.op for p in found.places} if op.inputs[1].name == "grouped/filter")
    made = next(p.channels for p in found.places if p.op is grouped and p.role == "out")
    assert np.unique(made).size == 4  # eight filters in two groups


def test_rows_of_the_table_follow_an_op_without_a_label_without_harm():
    """No row may fail on an op whose inputs have no channels: most graphs have such ops."""
    for kind, rule in CHANNEL_RULES.items():
        from tightfit.compression.channels.channel_trace import Trace  # noqa: PLC0415 - for each a new one

        x, axis = Tensor("x", [1, 4, 4, 2]), Tensor("axis", [1], "int32", np.array([3], np.int32))
        position = 1 if kind == "SPLIT" else 0
        inputs = [axis, x] if position else [x, axis, axis, axis]
        trace, made = Trace(), Tensor("y", [1, 4, 4, 2])
        rule.trace(trace, Op(kind, inputs, [made]))
        assert made not in trace.labels or trace.labels[made].axis == 3, kind


@pytest.mark.parametrize("activation", [RELU])
def test_groups_are_plain_data(activation):
    del activation
    found = find_dependencies(residual_net())
    plain = found.groups[0].to_json()
    assert plain["channels"] == 8
    assert plain["made_by"] == ["conv_0", "conv_3"]
    assert plain["frozen"] is None
