"""The verdict agrees with vela op by op, on the models of every limit and on real models."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import places
from support.integer_models import conv, feature, unary, with_float_ends
from support.limit_cases import CASES
from tightfit.errors import ModelError, OptionError
from tightfit.graph.ir import Graph, Model, Op, Tensor
from tightfit.graph.reader import read_model
from tightfit.graph.signatures import input_names
from tightfit.graph.writer import serialize
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target
from tightfit.targets.tools import ethos_u
from tightfit.targets.tools.ethos_u import compile_ethos_u, vela_command
from tightfit.targets.verdict import Verdict

needs_vela = pytest.mark.skipif(
    vela_command() is None, reason="vela is not installed: pip install 'tightfit[ethos-u]'"
)
SHARED = places.SHARED / "models"
FAMILIES = ("ethos-u55-128", "ethos-u85-256")

OVERRIDES = (
    ("DEPTHWISE_CONV_2D", "float"), ("SOFTMAX", "float"), ("MAX_POOL_2D", "int16x8"), ("ADD", "int16x8"),
    ("LEAKY_RELU", "float"), ("FULLY_CONNECTED", "int16x8"), ("TRANSPOSE", "float"),
)  # fmt: skip

OUR_VERDICT_ONLY = ("dense_weights", "short_bias")
"""Limits whose breach is tested on our verdict alone."""
ALL = {"VAR_HANDLE", "READ_VARIABLE", "ADD", "ASSIGN_VARIABLE"}


def counter() -> Model:
    """A variable that grows by what comes in."""
    x, total, new = feature("x", (1, 8)), feature("total", (1, 8)), feature("new", (1, 8))
    handle = Tensor("handle", (), "resource")
    plain = {"fusedActivationFunction": 0}
    graph = Graph()
    graph.inputs, graph.outputs = [x], [new]
    graph.append(Op("VAR_HANDLE", [], [handle], {"container": "", "sharedName": "v"}, "VarHandleOptions"))
    graph.append(Op("READ_VARIABLE", [handle], [total], {}, "ReadVariableOptions"))
    graph.append(Op("ADD", [x, total], [new], plain, "AddOptions"))
    graph.append(Op("ASSIGN_VARIABLE", [handle, new], [], {}, "AssignVariableOptions"))
    return Model([graph])


def limits(target: str) -> list[str]:
    """The limits that a family has, or has otherwise than the first one: each run of vela takes time."""
    family, first = find_target(target).family, find_target(FAMILIES[0]).family
    rules = [r for r in family.rules if family is first or r not in first.rules]
    return sorted({r.limit for r in rules} - set(family.exceptions))


@functools.cache
def npu_ops(data: bytes, target: str) -> frozenset[tuple[int, int]] | None:
    """The ops that vela places on the NPU, None where it refuses the file; limits share their good models."""
    try:
        return compile_ethos_u(read_model(data), find_target(target)).npu_ops
    except ModelError:
        return None


@needs_vela
@pytest.mark.parametrize(("target", "limit"), [(t, name) for t in FAMILIES for name in limits(t)])
def test_the_verdict_on_a_limit_is_velas(target, limit):
    models = [CASES[limit].good()]
    if limit not in OUR_VERDICT_ONLY:
        models.append(CASES[limit].bad())
    for model in models:
        verdict, on_npu = check(model, target), npu_ops(serialize(model), target)
        if on_npu is None:
            assert verdict.refused
        else:
            assert not verdict.refused
            assert placed(verdict) == on_npu


@pytest.mark.parametrize("limit", OUR_VERDICT_ONLY)
@pytest.mark.parametrize("target", FAMILIES)
def test_what_no_compiler_is_asked_about_is_refused(target, limit):
    rules = [rule for rule in find_target(target).family.rules if rule.limit == limit]
    if rules:
        assert check(CASES[limit].bad(), target).refused


@needs_vela
@pytest.mark.parametrize(("target", "kinds"), [("ethos-u55-128", {"ADD"}), ("ethos-u85-256", ALL)])
def test_the_verdict_on_a_variable_is_velas(target, kinds):
    model = counter()
    verdict = check(model, target)
    assert {p.kind for p in verdict.placements if p.accelerated} == kinds
    assert placed(verdict) == compile_ethos_u(model, find_target(target)).npu_ops


@needs_vela
def test_estimates_are_numbers_of_one_inference():
    found = compile_ethos_u(with_float_ends(conv()), find_target("ethos-u55-128"))
    assert found.npu_ops == {(0, 1)}
    assert set(found.cpu_reasons) == {(0, 0), (0, 2)}
    assert found.cycles > 0
    assert 0 < found.latency_ms < 1
    # 8 × 8 × (4 + 8) bytes of feature maps at least
    assert 768 <= found.sram_bytes < 100_000
    assert "Unsupported opType" in found.cpu_reasons[0, 2]
    assert "estimates" in found.as_json()


@needs_vela
def test_two_ops_of_the_compiled_file_may_write_parts_of_one_tensor():
    """vela 5.2 splits a concatenation around an op of the CPU; each of its two ops lists the whole tensor."""
    x, p, a, b, c = (feature(name, (1, 8, 8, 4)) for name in "xpabc")
    y = feature("y", (1, 8, 8, 8))
    plain = {"fusedActivationFunction": 0}
    graph = Graph()
    graph.inputs, graph.outputs = [x], [y]
    for source, made in ((x, p), (p, a)):
        graph.append(Op("ADD", [source, source], [made], dict(plain), "AddOptions"))
    graph.append(Op("L2_NORMALIZATION", [p], [b], dict(plain), "L2NormOptions"))
    graph.append(Op("ADD", [b, b], [c], dict(plain), "AddOptions"))
    graph.append(Op("CONCATENATION", [a, c], [y], {"axis": 3, **plain}, "ConcatenationOptions"))
    found = compile_ethos_u(Model([graph]), find_target("ethos-u55-128"))
    assert set(found.cpu_reasons) == {(0, 2)}


@needs_vela
def test_the_compiled_file_is_written_where_asked(tmp_path):
    compile_ethos_u(conv(), find_target("ethos-u55-128"), tmp_path / "compiled.tflite")
    assert [op.custom_code for op in read_model(tmp_path / "compiled.tflite").main.ops] == ["ethos-u"]


@needs_vela
def test_a_refusal_gives_velas_reason():
    with pytest.raises(ModelError, match=r"vela refuses the model: .*HARD_SWISH.*IFM has to be 8bit"):
        compile_ethos_u(unary("HARD_SWISH", dtype="int16"), find_target("ethos-u55-128"))


def test_a_missing_compiler_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(ethos_u.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(OptionError, match=r"vela is not installed.*pip install 'tightfit\[ethos-u\]'"):
        compile_ethos_u(conv(), find_target("ethos-u55-128"))


@pytest.mark.skipif(vela_command() is None, reason="the target is looked at after the compiler")
def test_another_target_is_refused():
    with pytest.raises(OptionError, match="vela compiles for Ethos-U; received the target 'cpu'"):
        compile_ethos_u(conv(), find_target("cpu"))


@pytest.mark.shared
@needs_vela
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models is absent")
@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic", "int8", "int16x8", "mixed"])
@pytest.mark.parametrize("path", sorted(SHARED.glob("*.tflite")), ids=lambda path: path.stem)
def test_the_verdict_on_a_real_model_is_velas(path, scheme, tmp_path):
    model = read_model(
        path if scheme == "float32" else quantized(path, scheme, tmp_path / "quantized.tflite")
    )
    verdict = check(model, "ethos-u55-128")
    try:
        compiled = compile_ethos_u(model, find_target("ethos-u55-128"))
    except ModelError:
        assert verdict.refused
        return
    assert not verdict.refused
    assert placed(verdict) == compiled.npu_ops


def quantized(path: Path, scheme: str, output: Path) -> Path:
    model = read_model(path)
    random = np.random.default_rng(0)
    samples = [
        {n: random.standard_normal(t.shape).astype(np.float32) for n, t in input_names(model).items()}
        for _ in range(2)
    ]
    kinds = {op.kind for graph in model.graphs for op in graph.ops}
    overrides = [row for row in OVERRIDES if row[0] in kinds] if scheme == "mixed" else []
    needs_samples = scheme in ("int8", "int16x8", "mixed")
    name = "int8" if scheme == "mixed" else scheme
    quantize_file(path, name, output, samples if needs_samples else None, overrides=overrides, layout="npu")
    return output


def placed(verdict: Verdict) -> set[tuple[int, int]]:
    return {(p.graph, p.index) for p in verdict.placements if p.accelerated}
