"""The verdict for microcontrollers is tflite-micro's own."""

from __future__ import annotations

import importlib.util

import pytest

from support import places
from support.integer_models import conv, mean, resize, unary, with_float_ends
from support.limit_cases import CASES
from support.models import conv_net, two_inputs_net
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.targets.needed_memory import peak_bytes
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools import micro
from tightfit.targets.tools.micro import run_micro
from tightfit.targets.tools.proof import prove

needs_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None,
    reason="tflite-micro is not installed: pip install 'tightfit[micro]'",
)
SHARED = places.SHARED / "models"
LIMITS = sorted(
    set(CASES) & {rule.limit for rule in find_target("micro").family.rules} - {"feature_map_types"}
)
MODELS = {
    "float network": conv_net,
    "two inputs": two_inputs_net,
    "int8 convolution": conv,
    "float ends": lambda: with_float_ends(conv()),
    "int16 resize": lambda: _int16(resize((1, 3, 3, 1), (1, 6, 6, 1), "RESIZE_BILINEAR")),
    "int8 resize": lambda: resize((1, 3, 3, 1), (1, 6, 6, 1), "RESIZE_BILINEAR"),
    "mean": lambda: mean((1, 4, 4, 2), [1, 2]),
    "gelu": lambda: unary("GELU"),
    "int8 square root": lambda: unary("SQRT"),
    "int16 hard swish": lambda: _int16(unary("HARD_SWISH")),
    "int16 ELU": lambda: _int16(unary("ELU")),
    "dequantized": lambda: unary("EXP"),
}


def _int16(model):
    for tensor in model.main.tensors():
        tensor.dtype = "int16" if tensor.dtype == "int8" else tensor.dtype
    return model


@needs_micro
@pytest.mark.parametrize("name", MODELS)
def test_the_verdict_is_the_interpreters(name):
    model = MODELS[name]()
    assert check(model, "micro").runs == run_micro(model).runs


@needs_micro
@pytest.mark.parametrize("limit", LIMITS)
def test_the_verdict_on_a_limit_is_the_interpreters(limit):
    for model in (CASES[limit].good(), CASES[limit].bad()):
        assert check(model, "micro").runs == run_micro(model).runs


@needs_micro
def test_the_arena_holds_the_peak_of_the_activations():
    model = conv()
    run = run_micro(model)
    assert run.arena_bytes - run.persistent_bytes >= peak_bytes(model.main)


@needs_micro
def test_a_missing_op_is_named():
    assert run_micro(unary("GELU")).missing_ops == ("GELU",)
    model = unary("GELU")
    assert "It has no kernel for GELU" in prove(model, check(model, "micro")).lines()[0]


def test_a_missing_interpreter_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(OptionError, match=r"not installed.*pip install 'tightfit\[micro\]'"):
        run_micro(conv())


@pytest.mark.shared
@needs_micro
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models is absent")
@pytest.mark.parametrize("path", sorted(SHARED.glob("*.tflite")), ids=lambda path: path.stem)
def test_the_verdict_on_a_real_model_is_the_interpreters(path):
    model = read_model(path)
    assert check(model, "micro").runs == run_micro(model).runs
