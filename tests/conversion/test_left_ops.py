"""Ops that no builtin op replaced are named: in a note where they run, in the refusal where they do not."""

from __future__ import annotations

from tightfit.conversion.stablehlo.left_ops import left_notes, without_kernel
from tightfit.graph.ir import Graph, Model, Op, Tensor


def model(*kinds):
    graph = Graph()
    for i, kind in enumerate(kinds):
        graph.append(Op(kind, [], [Tensor(f"y{i}", (4,))]))
    return Model([graph])


def test_each_kind_that_stays_has_one_note():
    notes = left_notes(model("ADD", "STABLEHLO_SCATTER", "STABLEHLO_SCATTER", "STABLEHLO_PAD"))
    assert [note.partition(" stays")[0] for note in notes] == [
        "2 STABLEHLO_SCATTER ('y1')",
        "1 STABLEHLO_PAD ('y3')",
    ]


def test_an_op_without_a_kernel_is_refused_by_its_kind_and_name():
    said = "LiteRT refused 'a.tflite': Didn't find op for builtin opcode 'STABLEHLO_SORT' version '1'."
    error = without_kernel(model("ADD", "STABLEHLO_SORT"), said)
    assert error is not None
    assert str(error).startswith("LiteRT has no kernel for STABLEHLO_SORT 'y1'")


def test_another_failure_is_left_as_it_is():
    assert without_kernel(model("ADD"), "LiteRT ran out of memory.") is None
