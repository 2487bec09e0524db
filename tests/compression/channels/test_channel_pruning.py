from __future__ import annotations

import json

import numpy as np
import pytest

from support.models import Builder, conv_net, random_inputs, residual_net
from support.random_graphs import build
from tightfit.api.prune_channels import channel_groups, prune_channels
from tightfit.compression.channels.allocation import allocate, byte_costs, mac_costs, steps
from tightfit.compression.channels.channel_groups import find_dependencies
from tightfit.compression.channels.channel_moments import collect, readers_of
from tightfit.compression.channels.channel_pruning import ChannelBudget, ChannelOptions
from tightfit.compression.channels.channel_pruning import prune_channels as prune
from tightfit.compression.channels.channel_refit import refit
from tightfit.compression.channels.channel_removal import remove_channels
from tightfit.compression.channels.channel_sensitivity import make_up
from tightfit.compression.channels.importance import Subject
from tightfit.compression.channels.magnitude_importance import Ranking, rank_by_magnitude, ranking_of
from tightfit.compression.channels.reconstruction_importance import rank_by_reconstruction
from tightfit.demo import MODEL
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Model
from tightfit.graph.ops.macs import macs
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize, write_model
from tightfit.runtime.session import Session

HALF = 0.5


def total_macs(model: Model) -> int:
    return sum(macs(op) for op in model.main.ops)


def samples_of(model: Model, count: int = 40):
    kept = [random_inputs(model, seed) for seed in range(count)]
    return lambda: iter(kept)


def outputs(model: Model, samples) -> np.ndarray:
    with Session(bytes(serialize(model))) as session:
        return np.stack([next(iter(y.values())) for y in session.run_many(samples())])


def with_twin_channels(model: Model) -> Model:
    """Makes the second half of the first layer's channels copies of its first half."""
    op = model.main.ops[0]
    for tensor in (op.inputs[1], op.inputs[2]):
        data = np.array(tensor.data)
        data[len(data) // 2 :] = data[: len(data) // 2]
        tensor.data = data
    return model


# -- costs and allocation --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_costs_are_those_of_the_pruned_graph(seed):
    blocks = ["residual", "concatenation", "depthwise", "excitation", "split"]
    model = build(blocks, flatten=True, seed=seed)
    found = find_dependencies(model)
    groups = found.removable()
    random = np.random.default_rng(seed)
    kept = np.array([random.integers(1, len(g) + 1) for g in groups])
    stays = np.ones(found.size, bool)
    for group, count in zip(groups, kept, strict=True):
        stays[group.channels[count:]] = False
    pruned = remove_channels(model, stays)
    assert mac_costs(model, found, groups).total(kept) == pytest.approx(total_macs(pruned))
    before, after = len(serialize(model)), len(serialize(pruned))
    # Padding to 16 bytes moves each constant by a few bytes.
    assert byte_costs(before, found, groups).total(kept) == pytest.approx(after, abs=16 * 40)


def test_savings_are_the_derivative_of_the_costs():
    model = residual_net()
    found = find_dependencies(model)
    groups = found.removable()
    costs = mac_costs(model, found, groups)
    kept = np.array([len(g) for g in groups])
    for i, saved in enumerate(costs.savings(kept)):
        fewer = kept.copy()
        fewer[i] -= 1
        assert costs.total(kept) - costs.total(fewer) == pytest.approx(saved, rel=0.2)


def test_allocation_takes_what_costs_least_and_keeps_multiples():
    model = residual_net()
    found = find_dependencies(model)
    groups = found.removable()
    costs = mac_costs(model, found, groups)
    free = next(i for i, g in enumerate(groups) if len(g) == 24)
    rankings = [
        Ranking(g.channels, np.arange(len(g) + 1) * (0.0 if i == free else 1.0)) for i, g in enumerate(groups)
    ]
    kept = allocate(rankings, costs, 0.7 * costs.total(np.array([len(g) for g in groups])), 4)
    assert kept[free] < 24
    assert kept[free] % 4 == 0
    assert all(k == len(g) for i, (k, g) in enumerate(zip(kept, groups, strict=True)) if i != free)


def test_an_unreachable_limit_gives_the_smallest():
    model = residual_net()
    found = find_dependencies(model)
    groups = found.removable()
    rankings = [ranking_of(g.channels, np.ones(len(g))) for g in groups]
    kept = allocate(rankings, mac_costs(model, found, groups), 0.0, 2)
    assert sorted(kept.tolist()) == [2, 6]


@pytest.mark.parametrize("share", [0.35, 0.5, 0.6, 0.8])
def test_the_whole_budget_is_spent(share):
    model = read_model(MODEL)
    found = find_dependencies(model)
    groups = found.removable()
    rankings = [ranking_of(g.channels, np.linspace(0.1, 1, len(g)) ** 3 / len(g)) for g in groups]
    costs = mac_costs(model, found, groups)
    limit = share * total_macs(model)
    kept = allocate(rankings, costs, limit)
    assert costs.total(kept) <= limit
    for g, ranking in enumerate(rankings):
        more = [n for n in (ranking.order.size, *steps(ranking.order.size, 8)) if n > kept[g]]
        if more:
            assert costs.total(np.where(np.arange(len(kept)) == g, min(more), kept)) > limit


# -- importance ------------------------------------------------------------------------------------


def test_magnitude_ranks_a_small_filter_first():
    model = conv_net()
    filters = model.main.ops[0].inputs[1]
    data = np.array(filters.data)
    data[5] *= 0.01
    filters.data = data
    found = find_dependencies(model)
    group = found.removable()[0]
    assert rank_by_magnitude(found, [group])[group].order[0] == group.channels[5]


def test_reconstruction_sees_that_a_copied_channel_is_free_and_magnitude_does_not():
    model = with_twin_channels(conv_net())
    found = find_dependencies(model)
    group = found.removable()[0]
    readers = readers_of(found)
    moments = collect(model, readers, samples_of(model)())
    fallback = rank_by_magnitude(found, [group])
    losses = rank_by_reconstruction([group], readers, moments, fallback)[group].losses
    half = len(group) // 2
    assert losses[half] < 0.01 * losses[-1]
    assert fallback[group].losses[half] > 0.1 * fallback[group].losses[-1]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on torch
def test_taylor_puts_channels_that_are_barely_read_first():
    pytest.importorskip("keras", reason="gradients need Keras")
    from tightfit.compression.channels.taylor_importance import rank_by_taylor  # noqa: PLC0415 - loads Keras

    model = conv_net()
    filters = model.main.ops[1].inputs[1]
    data = np.array(filters.data)
    data[..., 2] *= 1e-3
    filters.data = data
    found = find_dependencies(model)
    group = found.removable()[0]
    ranking = rank_by_taylor(model, found, [group], samples_of(model, 8))[group]
    assert ranking.order[0] == group.channels[2]
    assert ranking.losses[1] < 1e-3 * ranking.losses[-1]


# -- fitting ---------------------------------------------------------------------------------------


def test_fitting_restores_a_model_whose_removed_channels_were_copies():
    model = with_twin_channels(conv_net())
    found = find_dependencies(model)
    group = found.removable()[0]
    stays = np.ones(found.size, bool)
    stays[group.channels[len(group) // 2 :]] = False
    pruned = remove_channels(model, stays)
    samples = samples_of(model)
    wanted = outputs(model, samples)
    lost = np.abs(outputs(pruned, samples) - wanted).max()
    assert refit(model, pruned, found, stays, samples) == []
    left = np.abs(outputs(pruned, samples) - wanted).max()
    assert left < 0.02 * lost


@pytest.mark.parametrize("block", ["residual", "depthwise", "excitation", "wider_by_padding"])
def test_fitting_brings_outputs_closer(block):
    model = build([block], flatten=False)
    found = find_dependencies(model)
    stays = np.ones(found.size, bool)
    for group in found.removable():
        stays[group.channels[len(group) // 2 :]] = False
    pruned = remove_channels(model, stays)
    samples = samples_of(model, 64)
    wanted = outputs(model, samples)
    before = np.square(outputs(pruned, samples) - wanted).sum()
    refit(model, pruned, found, stays, samples)
    assert np.square(outputs(pruned, samples) - wanted).sum() < 0.7 * before


def test_an_image_that_a_dense_layer_flattens_by_itself_is_left_as_it_is():
    b = Builder()
    x = b.conv(b.input("image", [1, 4, 4, 3]), 16)
    y = b.op(
        "FULLY_CONNECTED", [x, b.weights("w", 5, 256), b.weights("b", 5)], [1, 5],
        table="FullyConnectedOptions", options={"fusedActivationFunction": 0},
    )  # fmt: skip
    model = b.model(y)
    done = prune(model, ChannelBudget(macs=0.6), ChannelOptions(multiple=4), samples_of(model))
    assert done.model.main.ops[1].inputs[1].shape == (5, 16 * done.groups[0].kept)
    assert done.notes[-1].startswith("FULLY_CONNECTED")
    assert "was not fitted" in done.notes[-1]
    assert outputs(done.model, samples_of(model)).shape == (40, 1, 5)


def test_a_closed_form_makes_up_for_copies():
    model = with_twin_channels(conv_net())
    found = find_dependencies(model)
    group = found.removable()[0]
    stays = np.ones(found.size, bool)
    stays[group.channels[len(group) // 2 :]] = False
    samples = samples_of(model)
    pruned = remove_channels(model, stays)
    wanted = outputs(model, samples)
    lost = np.abs(outputs(pruned, samples) - wanted).max()
    make_up(Subject(model, found, [group], samples), pruned, stays)
    assert np.abs(outputs(pruned, samples) - wanted).max() < 0.02 * lost


# -- the whole -------------------------------------------------------------------------------------


def test_half_of_the_demos_macs_go_and_most_decisions_stay(tmp_path):
    done = prune_channels(
        MODEL, tmp_path / "small.tflite", macs=HALF, data="tightfit.demo:calibration", samples=100
    )
    assert done.meets_budget
    assert done.macs <= HALF * done.original_macs
    assert all(g.kept % 8 == 0 or g.kept == g.channels for g in done.groups)
    assert done.size.size_bytes == (tmp_path / "small.tflite").stat().st_size
    assert done.size.size_bytes < done.original_size.size_bytes
    assert done.latency.ratio is not None
    assert any("SOFTMAX" in note for note in done.notes)
    json.dumps(done.to_json())


def test_a_size_budget_is_met_by_the_file(tmp_path):
    size = int(0.6 * MODEL.stat().st_size)
    done = prune_channels(MODEL, tmp_path / "small.tflite", size=size)
    assert done.meets_budget
    assert (tmp_path / "small.tflite").stat().st_size <= size


def test_a_latency_budget_is_searched_by_measuring():
    model = residual_net()
    asked = []

    def measure(pruned: Model) -> float:
        asked.append(total_macs(pruned) / total_macs(model))
        return 0.2 + 0.8 * asked[-1]

    done = prune(model, ChannelBudget(latency=0.7), ChannelOptions(multiple=1), measure=measure)
    share = done.macs_after / done.macs_before
    assert done.reached
    assert share <= 0.625
    assert len(asked) > 1
    assert share == max(s for s in asked if 0.2 + 0.8 * s <= 0.7)


def test_an_unreachable_budget_is_told(tmp_path):
    done = prune_channels(MODEL, tmp_path / "small.tflite", macs=0.001)
    assert not done.meets_budget
    assert done.notes[0] == "The budget was not reached: every group is at its smallest."


def test_the_pruned_file_is_a_float_model_that_quantizes(tmp_path):
    from tightfit.api.quantize import quantize  # noqa: PLC0415 - one test's

    path = tmp_path / "small.tflite"
    prune_channels(MODEL, path, macs=HALF)
    written = quantize(
        path, "int8", tmp_path / "int8.tflite", data="tightfit.demo:calibration", calibration=50
    )
    assert written.snr_db > 10
    assert {op.kind for op in read_model(written.path).main.ops} >= {"CONV_2D", "ADD"}


def test_groups_of_a_file_are_plain_data():
    groups = channel_groups(MODEL)
    assert sum(g["frozen"] is None for g in groups) == 6
    json.dumps(groups)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "one of macs, size and latency; received none"),
        ({"macs": 0.5, "size": 1000}, "received 2 of them"),
        ({"macs": 50.0}, "between 0 and 1; received 50"),
        ({"latency": 0.0}, "between 0 and 1; received 0"),
        ({"macs": 0.5, "importance": "taylr"}, "Did you mean 'taylor'"),
        ({"macs": 0.5, "multiple": 0}, "received 0"),
        ({"macs": 0.5, "importance": "reconstruction"}, "needs samples; pass data"),
    ],
)
def test_wrong_options_are_refused(budget, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        prune_channels(MODEL, tmp_path / "small.tflite", **budget)
    assert not (tmp_path / "small.tflite").exists()


def test_a_model_without_channels_to_lose_is_refused_with_the_reason(tmp_path):
    b = Builder()
    path = tmp_path / "one.tflite"
    write_model(b.model(b.softmax(b.dense(b.input("x", [1, 4]), 3))), path)
    with pytest.raises(ModelError, match="is kept: SOFTMAX 'probabilities' normalizes over them"):
        prune_channels(path, tmp_path / "small.tflite", macs=HALF)


def test_the_model_itself_is_never_the_output():
    with pytest.raises(OptionError, match="never changed"):
        prune_channels(MODEL, MODEL, macs=HALF)
