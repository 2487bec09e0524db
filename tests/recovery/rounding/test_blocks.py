"""Blocks are cut where little flows, compute what they did, and keep what they need on disk."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from support.models import NONE, Builder
from tightfit.errors import DataError
from tightfit.graph.writer import serialize
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.planning import make_plan
from tightfit.recovery.output_noise import outputs_of
from tightfit.recovery.rounding.block_checkpoints import FinishedBlocks
from tightfit.recovery.rounding.blocks import Block, blocks_of, cut
from tightfit.recovery.rounding.blockwise import FEWEST, _most_samples
from tightfit.recovery.rounding.disk_arrays import MOST_SAMPLES, SampleSpool, Spool


def residual_model(count):
    """A stem, then residual blocks of two convolutions, then a dense layer."""
    b = Builder()
    x = b.conv(b.input("x", [1, 8, 8, 4]), 4)
    for _ in range(count):
        inner = b.conv(b.conv(x, 4), 4, activation=NONE)
        x = b.op("ADD", [x, inner], x.shape, options={"fusedActivationFunction": 0}, table="AddOptions")
    flat = b.op("RESHAPE", [x, b.constant("shape", [1, 256], "int32")], [1, 256], table="ReshapeOptions")
    return b.model(b.dense(flat, 3))


def layers(model):
    return [op for op in model.main.ops if op.kind in ("CONV_2D", "FULLY_CONNECTED")]


def test_residual_blocks_are_cut_whole():
    model = residual_model(2)
    blocks = blocks_of(model.main, layers(model))
    assert [[op.kind for op in model.main.ops[b.start : b.end]] for b in blocks] == [
        ["CONV_2D", "CONV_2D", "CONV_2D", "ADD"],
        ["CONV_2D", "CONV_2D", "ADD", "RESHAPE", "FULLY_CONNECTED"],
    ]
    assert [len(b.inputs(model.main)) for b in blocks] == [1, 1]


def test_blocks_hold_every_layer_once_and_end_with_the_last():
    model = residual_model(3)
    chosen = layers(model)[:-1]
    blocks = blocks_of(model.main, chosen)
    held = [op for b in blocks for op in model.main.ops[b.start : b.end] if op in chosen]
    assert held == chosen
    assert model.main.ops[blocks[-1].end - 1].kind in ("CONV_2D", "ADD", "RESHAPE")
    assert all(a.end == b.start for a, b in itertools.pairwise(blocks))


def test_a_cut_block_computes_what_it_does_in_the_model():
    model = residual_model(1)
    plan = make_plan(model, "float16", Ranges([{}]))
    block = Block(1, 4)
    part, cut_plan = cut(model, plan, block)
    assert len(cut_plan.graphs[0].ops) == 3
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    model.main.outputs = [model.main.ops[0].outputs[0], model.main.ops[3].outputs[0]]
    model.signatures = []
    before, wanted = next(outputs_of(model, [{"x": x}]))
    (found,) = next(outputs_of(part, [{"in0": before.astype(np.float32)}]))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert serialize(part)


# -- on disk ---------------------------------------------------------------------------------------


def test_samples_on_disk_are_bounded_and_spread():
    spool = SampleSpool(lambda: iter([{"x": np.full((1, 2), i, np.float32)} for i in range(1000)]))
    values = [sample["x"][0, 0] for sample in spool.read()]
    assert len(spool) == len(values) == MOST_SAMPLES
    assert values[0] == 0
    assert values[-1] > 990
    assert np.diff(values).max() <= 4


def test_of_large_activations_fewer_samples_are_kept():
    b = Builder()
    small = b.model(b.conv(b.input("x", [1, 8, 8, 4]), 4))
    b = Builder()
    large = b.model(b.conv(b.input("x", [1, 512, 512, 4]), 64))
    assert _most_samples(small) == MOST_SAMPLES
    assert FEWEST <= _most_samples(large) <= 4_000_000_000 // (512 * 512 * 64 * 12)


def test_samples_of_two_shapes_are_refused():
    spool = Spool()
    spool.add(np.zeros((1, 2)))
    with pytest.raises(DataError, match=r"float64 \(1, 2\) and float64 \(1, 3\)"):
        spool.add(np.zeros((1, 3)))


def test_a_broken_or_foreign_file_is_not_taken_for_a_finished_block(tmp_path: Path):
    finished = FinishedBlocks(tmp_path, [b"one"])
    finished.put(0, {"a": np.arange(3)})
    np.testing.assert_array_equal(finished.get(0)["a"], np.arange(3))
    assert FinishedBlocks(tmp_path, [b"other"]).get(0) is None
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    assert finished.get(0) is None
    for path in tmp_path.iterdir():
        path.write_bytes(b"\x80\x04pickle")
    assert finished.get(0) is None
    finished.remove()
    assert not tmp_path.exists()
