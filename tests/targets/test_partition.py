"""A graph is cut into pieces as LiteRT cuts it, and a delegate with one piece takes the longest."""

from __future__ import annotations

import pytest

from support.models import Builder
from tightfit.graph.ir import Model
from tightfit.targets.partition import one_piece
from tightfit.targets.placement import check

KINDS = {"A": "ABS", "L": "LOG_SOFTMAX"}


def chain(word: str) -> Model:
    """C: a convolution; A: ABS; L: an op that the GPU refuses."""
    b = Builder()
    x = b.input("x", [1, 6, 6, 4])
    for letter in word:
        x = b.conv(x, 4) if letter == "C" else b.op(KINDS[letter], [x], x.shape)
    return b.model(x)


@pytest.mark.parametrize(
    ("word", "first", "count"),
    [("CCLCCCLC", 3, 3), ("CLC", 0, 1), ("CACLACLA", 0, 3), ("CLALCLC", 0, 1), ("LL", 0, 0), ("CAC", 0, 3)],
)
def test_the_longest_piece_is_accelerated_and_the_first_of_several(word, first, count):
    placed = [p.index for p in check(chain(word), "gpu").placements if p.accelerated]
    assert placed == list(range(first, first + count))


def test_a_cut_model_says_the_share_that_is_accelerated_and_one_piece():
    verdict = check(chain("CCLCCCLC"), "gpu")
    assert verdict.accelerated_share == pytest.approx(0.5)
    assert verdict.pieces == 1
    assert "longest piece" in next(p.reason for p in verdict.placements if p.index == 0)


def test_an_op_behind_a_refused_one_joins_a_piece_that_can_run_before_it():
    b = Builder()
    x = b.input("x", [1, 4])
    first = b.op("EXP", [x], x.shape)
    cut = b.op("LOG_SOFTMAX", [first], x.shape)
    side = b.op("NEG", [b.op("ABS", [first], x.shape)], x.shape)
    model = b.model(b.add(cut, side))
    piece, pieces = one_piece(model.main, lambda op: op.kind != "LOG_SOFTMAX")
    assert [op.kind for op in piece] == ["EXP", "ABS", "NEG"]
    assert pieces == 2
