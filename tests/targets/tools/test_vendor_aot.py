"""Vendors' compilers behind LiteRT's plugins as judges; Intel's runs here, as it needs no chip."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from support.models import Builder, conv_net
from tightfit.api.check import check
from tightfit.api.quantize import quantize
from tightfit.errors import OptionError
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize, write_model
from tightfit.search.candidates.target_policy import refuse_unknown
from tightfit.search.verdict.budget import Budget
from tightfit.targets.profile import targets
from tightfit.targets.tools.vendor_aot import VENDORS, Vendor, compiled

OPENVINO = importlib.util.find_spec("openvino")
ON_CPU = ("--intel_openvino_graph_backends=cpu",)
missing = [n for n, vendor in VENDORS.items() if vendor.available()]
DEVICES = {t.family.tool: t.name for t in targets().values() if t.family.needs_tool}


def intel(*flags: str) -> Vendor:
    return Vendor("Intel", "openvino", "openvino", "IntelOpenVINO", "intel_openvino", "PTL", flags)


def cut() -> tuple[object, list[str]]:
    """Two convolutions around an op that the plugin does not take."""
    b = Builder()
    y = b.conv(b.input("x", [1, 8, 8, 4]), 8)
    z = b.op("LOG_SOFTMAX", [y], y.shape, table="LogSoftmaxOptions")
    model = read_model(bytes(serialize(b.model(b.conv(z, 4)))))
    return model, [op.kind for op in model.main.ops]


@pytest.mark.skipif(OPENVINO is None, reason="needs openvino: pip install openvino==2026.3.1")
def test_what_a_vendor_compiler_leaves_is_read_from_the_file_that_it_writes():
    libraries = str(Path(OPENVINO.submodule_search_locations[0]) / "libs")
    model, kinds = cut()
    found = compiled(model, intel(*ON_CPU), "PTL", libraries)
    assert kinds[1] == "LOG_SOFTMAX"
    assert (found.accelerated, found.pieces, found.refused) == ({(0, 0), (0, 2)}, 2, "")
    refused = compiled(model, intel("--intel_openvino_graph_backends=nothing"), "PTL", libraries)
    assert refused.refused.startswith("Intel's compiler for PTL refuses the file: ")


@pytest.mark.parametrize("name", [n for n in DEVICES if n in missing])
def test_a_target_without_rules_is_refused_with_what_is_missing(tmp_path, name):
    write_model(conv_net(), tmp_path / "m.tflite")
    said = rf"Only .*'s compiler knows what '{DEVICES[name]}' takes\..*pip install ai-edge-litert-sdk-"
    with pytest.raises(OptionError, match=said):
        check(tmp_path / "m.tflite", DEVICES[name])
    with pytest.raises(OptionError, match=said):
        quantize(tmp_path / "m.tflite", "int8", tmp_path / "o.tflite", target=DEVICES[name], data=[])
    with pytest.raises(OptionError, match=said):
        refuse_unknown(Budget(target=DEVICES[name]))


@pytest.mark.skipif("aot-qualcomm" not in missing, reason="Qualcomm's SDK is installed")
def test_a_verdict_by_document_says_so_and_how_to_get_the_compiler(tmp_path):
    write_model(conv_net(), tmp_path / "m.tflite")
    found = check(tmp_path / "m.tflite", "qualcomm-htp")
    assert "Qualcomm 80-63442-10" in found.verdict.judge
    assert "pip install ai-edge-litert-sdk-qualcomm" in found.proof.problem
