"""The stored table of the GPU is what the rules say today; the sweep held it against the accelerator."""

from __future__ import annotations

import json

import pytest

from accelerators import File, cell
from support.one_op_cases import CASES
from support.one_op_models import build
from support.places import ROOT
from tightfit.graph.reader import read_model
from tightfit.graph.writer import serialize
from tightfit.targets.profile import find_target

STORED = ROOT / "bench" / "stored" / "accelerators-gpu.json"


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


def test_no_file_of_the_sweep_differed(stored):
    assert stored["different"] == 0
    assert {told for cells in stored["cases"].values() for told in cells.values()} <= {
        "runs", "CPU", "refused", "wrong",
    }  # fmt: skip
    assert stored["cases"]["CONV_2D-grouped"]["float32"] == "wrong"


def test_each_float_row_is_what_the_rules_say(stored):
    target, seen = find_target("gpu"), {}
    for case in CASES:
        if "float32" in stored["cases"].get(case.name, {}):
            model = read_model(bytes(serialize(build(case))))
            seen[case.name] = cell(File(case.name, "float32", model, []), target)
    assert len(seen) > 100
    assert seen == {name: stored["cases"][name]["float32"] for name in seen}
