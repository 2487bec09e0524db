from __future__ import annotations

import numpy as np
import pytest

from support.models import random_inputs
from support.random_graphs import build
from tightfit.compression.channels.channel_groups import find_dependencies
from tightfit.compression.channels.channel_pruning import paired_runs as channel_side_by_side
from tightfit.compression.channels.channel_removal import remove_channels
from tightfit.compression.channels.paired_runs import SideBySide, living_at, narrow_places
from tightfit.graph.ir import Graph, Model

BLOCKS = ["residual", "depthwise", "concatenation", "excitation", "split", "residual"]


def pruned_twin(model: Model) -> Model:
    found = find_dependencies(model)
    stays = np.ones(found.size, bool)
    for group in found.removable():
        stays[group.channels[len(group) // 2 :]] = False
    return remove_channels(model, stays)


def side_by_side(model: Model, pruned: Model) -> SideBySide:
    samples = [random_inputs(model, seed) for seed in range(3)]
    return SideBySide(model, pruned, lambda: iter(samples))


@pytest.mark.parametrize("flatten", [True, False])
def test_runs_from_a_place_give_what_whole_runs_give(flatten):
    model = build(BLOCKS, flatten=flatten)
    pruned = pruned_twin(model)
    whole, runs = side_by_side(model, pruned), side_by_side(model, pruned)
    reached = set()
    for index, ops in enumerate(zip(model.main.ops, pruned.main.ops, strict=True)):
        runs.advance(index)
        reached.add(runs.place)
        watched = [t for op in ops for t in (*op.inputs[:1], *op.outputs) if t is not None]
        if not all(t.producer is not None or t in model.main.inputs + pruned.main.inputs for t in watched):
            continue
        for found, wanted in zip(runs.run(watched), whole.run(watched), strict=True):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
    assert len(reached) > 3
    assert whole.place == 0


def test_a_place_is_the_end_of_a_residual_block():
    model = build(["residual", "residual"], flatten=False)
    ends = [i + 1 for i, op in enumerate(model.main.ops) if op.kind == "ADD"]
    assert ends[0] in narrow_places(model.main)
    assert living_at(model.main, ends[0]) == list(model.main.ops[ends[0] - 1].outputs)


def test_nothing_is_kept_that_takes_too_much_memory(monkeypatch):
    model = build(BLOCKS, flatten=False)
    runs = side_by_side(model, pruned_twin(model))
    monkeypatch.setattr(channel_side_by_side, "MOST_BYTES", 100)
    runs.advance(len(model.main.ops) - 1)
    assert runs.place == 0


def test_a_model_of_several_graphs_runs_from_its_inputs():
    model = build(BLOCKS, flatten=False)
    model.graphs.append(Graph("other"))
    runs = side_by_side(model, model)
    runs.advance(len(model.main.ops))
    assert runs.place == 0
