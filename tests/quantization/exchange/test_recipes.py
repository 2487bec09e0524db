"""Recipes of litert-quantizer, both ways; the peer itself runs where its environment is."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from tightfit.errors import DataError, OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import write_model
from tightfit.quantization.exchange import recipe_expressions
from tightfit.quantization.exchange.read_recipe import read_recipe, recipe_of
from tightfit.quantization.exchange.recipe_expressions import Matching, expression

X = np.random.default_rng(0).standard_normal((24, 16, 16, 3)).astype(np.float32)
NAMED = ("int8", "int16x8", "dynamic", "weight8", "float16")
FIXED = {"provenance": False, "doctor": False, "effort": 0, "data": X}


def entry(bits, activations=None, regex=".*", operation="*", **more):
    """One entry as the other tool writes it."""
    static = {"activation_tensor_config": {"num_bits": activations, "dtype": "INT"}} if activations else {}
    config = {"weight_tensor_config": {"num_bits": bits, "dtype": "INT"}, "compute_precision": "INTEGER"}
    found = {"regex": regex, "operation": operation, "algorithm_key": "min_max_uniform_quantize"}
    return {**found, "op_config": {**config, **static, **more}}


def left(regex=".*", operation="*"):
    return {"regex": regex, "operation": operation, "algorithm_key": "no_quantize"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "net.tflite"
    write_model(conv_net(), path)
    return path


def decided(plan):
    """What a plan stores and computes, without the words."""
    return [(op.mode, op.dtype, op.constants, op.inputs) for op in plan.ops()], plan.graphs[0].tensors


@pytest.mark.parametrize("scheme", NAMED)
def test_a_written_recipe_gives_the_same_plan_and_file(model, tmp_path, scheme):
    made = tightfit.quantize(model, scheme, tmp_path / "a.tflite", override=[("CONV_2D", "float")], **FIXED)
    (tmp_path / "r.json").write_text(json.dumps(made.recipe()))
    again = tightfit.quantize(model, tmp_path / "r.json", tmp_path / "b.tflite", io="float32", **FIXED)
    assert decided(again.plan) == decided(made.plan)
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_the_last_entry_that_matches_counts(model):
    entries = [entry(8, 8), entry(8, regex="dense"), left(regex="conv_0;")]
    plan = tightfit.quantize(model, entries, **FIXED).plan
    modes = {op.name: op.mode for op in plan.ops()}
    assert modes == {
        "conv_0": "float", "conv_1": "integer", "mean_2": "integer", "dense_3": "hybrid",
        "probabilities": "integer",
    }  # fmt: skip


def test_an_entry_for_all_ops_replaces_those_before_it():
    assert recipe_of([entry(8, 8), entry(8)]).scheme.name == "dynamic"
    assert recipe_of([entry(8, 8), entry(8, operation="CONV_2D")]).overrides[0].kinds == {"CONV_2D"}


def test_static_entries_for_all_ops_quantize_inputs_and_outputs(model):
    assert tightfit.quantize(model, [entry(8, 8)], **FIXED).plan.scheme.interface == "int8"
    assert tightfit.quantize(model, [entry(8)], **FIXED).plan.scheme.interface == "float32"
    only = [entry(8, 8, operation="FULLY_CONNECTED")]
    plan = tightfit.quantize(model, only, **FIXED).plan
    assert plan.counts() == {"float": 4, "integer": 1}


def test_small_weights_stay_float_where_the_recipe_says_so(model):
    plan = tightfit.quantize(model, [entry(8, min_weight_elements=1000)], **FIXED).plan
    assert [op.mode for op in plan.ops()] == ["float", "hybrid", "float", "float", "float"]


def test_what_is_not_done_is_said(model):
    rotated = {**entry(4), "algorithm_key": "DECOMPOSED_HADAMARD_ROTATION"}
    made = tightfit.quantize(model, [rotated], **FIXED)
    assert "without a rotation" in made.notes[0]
    assert {op.kind for op in made.plan.ops() if op.mode == "hybrid"} == {"FULLY_CONNECTED"}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([left()], "quantizes nothing"),
        ([entry(3)], "3-bit weights"),
        ([entry(8, regex="(a+)+b")], "no repeated group"),
        ([entry(8, regex="a.*b.*c.*d.*e")], "at most 3 repeats"),
        ([entry(8, regex="[a-z]?" * 30 + "!")], "at most 3 repeats, 256 ways"),
        ([entry(8, regex="([a-z]|aa)" * 30 + "!")], "256 ways to choose"),
        ([entry(8, regex="(")], "which is none"),
        ([{**entry(8), "algorithm_key": "min_max"}], "Unknown algorithm of a recipe"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(entries, words):
    with pytest.raises(OptionError, match=words):
        recipe_of(entries)


def test_an_expression_names_many_ops_one_by_one():
    names = "|".join(f"block_{i}/(query|key|value)/kernel.*" for i in range(40))
    rules = recipe_of([entry(8, 8), entry(8, regex=f".*{names}")]).overrides
    assert {rule.matching.finds(rule.pattern, "net/block_7/key/kernel;") for rule in rules} == {True}


def test_an_expression_is_refused_before_it_searches_a_very_long_name():
    matching = Matching()
    with pytest.raises(OptionError, match=r"takes too long on a name of 5,000 characters.*one by one"):
        matching.finds(expression({"regex": "[a-z]*[a-z]*[a-z]*!"}), "a" * 5000)
    assert matching.finds(".*conv.*/kernel.*", "a" * 5000 + "conv/kernel")


def test_all_matches_of_a_recipe_share_one_time(monkeypatch):
    seconds = itertools.count(0, 3)  # each look at the clock is three seconds later
    monkeypatch.setattr(recipe_expressions.time, "process_time", lambda: next(seconds))
    matching = Matching()
    found = [matching.finds("a.*b", "ab") for _ in range(4)]
    assert found == [True] * 4
    with pytest.raises(OptionError, match="takes too long"):
        matching.finds("a.*b", "ab")


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"default": "../b.json"}')
    with pytest.raises(DataError, match="cannot be read"):
        read_recipe(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('"text"')
    with pytest.raises(DataError, match="is no recipe"):
        read_recipe(tmp_path / "b.json")


PEER = os.environ.get("TIGHTFIT_PEER_LITERT_QUANTIZER")
needs_peer = pytest.mark.skipif(not PEER, reason="needs litert-quantizer: TIGHTFIT_PEER_LITERT_QUANTIZER")
SCRIPT = """
import json, sys, numpy as np
from litert_quantizer import quantizer
model, recipe, out = sys.argv[1:4]
x = np.load(sys.argv[4])["x"]
tool = quantizer.Quantizer(model, json.load(open(recipe)))
ranges = None
if tool.need_calibration:
    ranges = tool.calibrate({"serving_default": [{"image": v[None]} for v in x]})
open(out, "wb").write(tool.quantize(ranges, enable_progress_report=False).quantized_model)
"""


def shipped():
    """The recipe files of the peer's package, where it is."""
    code = "import litert_quantizer, os; print(os.path.dirname(litert_quantizer.__file__))"
    done = subprocess.run([PEER, "-c", code], capture_output=True, text=True, check=True)
    return sorted((Path(done.stdout.strip()) / "recipes").glob("*.json"))


def peer_file(model, recipe, folder):
    np.savez(folder / "x.npz", x=X)
    words = [PEER, "-c", SCRIPT, str(model), str(recipe), str(folder / "peer.tflite"), str(folder / "x.npz")]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "peer.tflite"


def stored(path):
    """Types of the inputs and outputs, and of the weights of each op by the name of its output."""
    graph = read_model(path).main
    ends = [t.dtype for t in (*graph.inputs, *graph.outputs)]
    weights = {}
    for op in graph.ops:
        if op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            weight = op.inputs[1]
            maker = weight.producer if weight.producer is not None else None
            weights[op.kind, tuple(weight.shape)] = (maker.inputs[0] if maker else weight).dtype
    return ends, weights


@needs_peer
@pytest.mark.slow
def test_the_recipes_that_the_peer_ships_store_what_the_peer_stores(model, tmp_path):
    compared = 0
    for recipe in shipped():
        ours = tightfit.quantize(model, recipe, tmp_path / "own.tflite", **FIXED)
        if "hadamard" in recipe.name or isinstance(json.loads(recipe.read_text()), dict):
            continue  # rotated files have other ops; a reference is no recipe for the peer's class
        ends, weights = stored(ours.path)
        peer_ends, peer_weights = stored(peer_file(model, recipe, tmp_path))
        assert weights == peer_weights, recipe.name
        # Where the first op stays in float its input does too; the peer puts a DEQUANTIZE there.
        assert ends == peer_ends or "advanced" in recipe.name, recipe.name
        compared += 1
    assert compared >= 7


@needs_peer
@pytest.mark.slow
@pytest.mark.parametrize("scheme", NAMED)
def test_the_peer_follows_a_recipe_that_is_written_here(model, tmp_path, scheme):
    made = tightfit.quantize(
        model, scheme, tmp_path / "own.tflite", override=[("conv_0", "float")], io=None, **FIXED
    )
    (tmp_path / "r.json").write_text(json.dumps(made.recipe()))
    _, own = stored(made.path)
    assert stored(peer_file(model, tmp_path / "r.json", tmp_path))[1] == own
