import pytest

from tightfit.report.page.candidate_detail import look_inside
from tightfit.search.candidates.candidate import Candidate, FloatOp, LayerError, PlanSummary


def test_the_worst_op_comes_first_and_bars_grow_with_the_error():
    errors = [LayerError(f"op{i}", "ADD", db) for i, db in enumerate([30.0, 5.0, -3.0, 200.0, None, 20.0])]
    layers = look_inside(Candidate("a", "int8", ["int8"], layer_error=errors), chosen=True).layers
    assert [layer.name for layer in layers] == ["op2", "op1", "op5", "op0", "op3"]
    assert [layer.position for layer in layers] == [2, 1, 5, 0, 3]
    assert [layer.share for layer in layers] == pytest.approx([1.0, 0.875, 0.5, 0.25, 0.0])
    assert layers[-1].words == "exact"


def test_float_ops_are_grouped_by_reason_with_counts():
    left = [
        FloatOp("a", "TOPK_V2", "no kernel"),
        FloatOp("b", "GATHER", "fed by it"),
        FloatOp("c", "TOPK_V2", "no kernel"),
    ]
    inside = look_inside(
        Candidate("a", "int8", ["int8"], plan_summary=PlanSummary(61, 3, left)), chosen=False
    )
    assert (inside.integer_ops, inside.ops) == (61, 64)
    assert [(r.text, r.count, r.kinds, r.ops) for r in inside.reasons] == [
        ("no kernel", "2 ops", "TOPK_V2 × 2", ["a", "c"]),
        ("fed by it", "1 op", "GATHER", ["b"]),
    ]


def test_what_most_names_begin_with_is_left_out():
    errors = [LayerError(f"net/block{i}/conv", "CONV_2D", 20.0) for i in range(9)] + [
        LayerError("Softmax", "SOFTMAX", 9.0)
    ]
    layers = look_inside(Candidate("a", "int8", ["int8"], layer_error=errors), chosen=True).layers
    assert [layer.short for layer in layers[:2]] == ["Softmax", "block0/conv"]
    assert layers[1].name == "net/block0/conv"


def test_only_the_worst_of_very_many_ops_are_listed():
    errors = [LayerError(f"op{i}", "ADD", float(i)) for i in range(1000)]
    inside = look_inside(Candidate("a", "int8", ["int8"], layer_error=errors), chosen=True)
    assert len(inside.layers) == 400
    assert inside.left_out == 600
    assert inside.layers[-1].name == "op399"


def test_the_strip_has_a_column_for_each_op():
    errors = [LayerError(f"op{i}", "ADD", 10.0 + i) for i in range(30)]
    inside = look_inside(Candidate("a", "int8", ["int8"], layer_error=errors), chosen=True)
    assert inside.strip_width == 30
    assert inside.strip.count("M") == 18
    assert inside.strip_worst.count("M") == 12


def test_of_a_fused_ops_names_the_first_is_shown_without_modules():
    names = [
        f"net/zoo.model.Block_{i}/torch.nn.ReLU__act;;net/zoo.model.Block_{i}/torch.nn.Conv2d__c;1"
        for i in range(9)
    ]
    errors = [LayerError(name, "CONV_2D", 20.0) for name in names]
    layers = look_inside(Candidate("a", "int8", ["int8"], layer_error=errors), chosen=True).layers
    assert layers[0].short == "Block_0/ReLU__act"
