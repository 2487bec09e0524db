from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.models import random_inputs
from support.random_graphs import BLOCKS, build
from tightfit.compression.channels.channel_groups import find_dependencies
from tightfit.compression.channels.channel_removal import remove_channels, silence_channels
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session


def some_channels(model: Model, seed: int) -> np.ndarray:
    """Takes a random number of random channels out of every group that may lose some."""
    random = np.random.default_rng(seed)
    found = find_dependencies(model)
    stays = np.ones(found.size, bool)
    for group in found.removable():
        gone = random.integers(0, len(group)) if random.random() < 0.7 else 0
        stays[random.choice(group.channels, gone, replace=False)] = False
    return stays


def run(model: Model, sample: dict[str, np.ndarray]) -> np.ndarray:
    with Session(bytes(serialize(model))) as session:
        return next(iter(session.run(sample).values()))


def tolerance(model: Model, reference: np.ndarray) -> float:
    """Sums in another order: each product of n terms may round n times, and layers add up."""
    terms = sum(
        math.prod(t.shape[1:])
        for op in model.main.ops
        for t in op.inputs[1:2]
        if t is not None and t.data is not None
    )
    return float(np.finfo(np.float32).eps * terms * max(1.0, np.abs(reference).max()))


def assert_same_as_silenced(model: Model, stays: np.ndarray) -> Model:
    pruned, silenced = remove_channels(model, stays), silence_channels(model, stays)
    pruned.validate()
    sample = random_inputs(model)
    wanted = run(silenced, sample)
    given_ = run(pruned, sample)
    assert given_.shape == wanted.shape
    assert np.abs(given_ - wanted).max() <= tolerance(model, wanted)
    return pruned


@pytest.mark.parametrize("block", BLOCKS)
def test_each_kind_of_block_loses_channels_as_if_they_were_zero(block):
    model = build([block], flatten=True)
    stays = some_channels(model, 1)
    assert not stays.all()
    pruned = assert_same_as_silenced(model, stays)
    assert sum(map(macs, pruned.main.ops)) < sum(map(macs, model.main.ops))


@pytest.mark.parametrize("block", ["wider_by_padding", "uneven_split", "sliced", "concatenation"])
def test_each_group_may_go_alone(block):
    """One group touches only a part of a tensor's channels, the channels that a PAD adds among them."""
    model = build([block], flatten=False)
    found = find_dependencies(model)
    for group in found.removable():
        stays = np.ones(found.size, bool)
        stays[group.channels[: len(group) // 2]] = False
        assert_same_as_silenced(model, stays)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(sorted(BLOCKS)), min_size=2, max_size=6),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_a_pruned_random_graph_equals_the_silenced_one(blocks, flatten, seed):
    model = build(blocks, flatten=flatten, seed=seed)
    assert_same_as_silenced(model, some_channels(model, seed))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=8), st.integers(0, 2**16))
def test_shapes_are_consistent_after_removal(blocks, seed):
    model = build(blocks, flatten=seed % 2 == 0, seed=seed)
    pruned = remove_channels(model, some_channels(model, seed))
    again = read_model(bytes(serialize(pruned)))
    again.validate()
    # A second look at the smaller graph finds the labels that fit its shapes.
    for tensor, label in find_dependencies(again).labels.items():
        assert tensor.shape[label.axis] == label.channels.size


def test_the_model_is_not_changed():
    model = build(["residual"], flatten=False)
    before = bytes(serialize(model))
    remove_channels(model, some_channels(model, 0))
    assert bytes(serialize(model)) == before
