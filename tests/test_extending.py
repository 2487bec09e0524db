"""What docs/architecture.md promises: a new row is all that a new op, scheme, recovery or device takes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from support.doc_pages import generator
from support.models import Builder
from support.places import ROOT
from tightfit.evaluation.labels.label_kinds import Probe
from tightfit.evaluation.metrics.metric import LABELS_UNIT, Metric
from tightfit.evaluation.metrics.metric_table import METRICS
from tightfit.evaluation.task_choice import choose_tasks
from tightfit.quantization.calibration.ranges import Ranges
from tightfit.quantization.ops import op_table
from tightfit.quantization.ops.op_rule import OpRule
from tightfit.quantization.plan import INTEGER
from tightfit.quantization.planning import make_plan
from tightfit.quantization.scheme import SCHEMES, Scheme, find_scheme
from tightfit.recovery.steps import RECOVERIES, Recovery, check_steps, find_recovery, recover
from tightfit.search.candidates.recipes import find_recipes
from tightfit.search.candidates.target_policy import TargetPolicy
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.metric_words import metric_words
from tightfit.targets import profile
from tightfit.targets.placement import check
from tightfit.targets.profile import find_target

pages = generator()


def test_a_row_makes_an_op_quantize_and_the_page_lists_it(monkeypatch):
    builder = Builder()
    x = builder.input("x", [1, 8])
    model = builder.model(builder.op("SIN", [x], [1, 8]))
    ranges = Ranges.given({"x": (-1.0, 1.0), model.main.outputs[0].name: (-1.0, 1.0)})
    assert make_plan(model, "int8", ranges).graphs[0].ops[0].mode != INTEGER
    monkeypatch.setitem(op_table.OP_RULES, "SIN", OpRule("SIN", "elementwise.cc", int8=2))
    assert make_plan(model, "int8", ranges).graphs[0].ops[0].mode == INTEGER
    assert "| SIN | 2 |" in pages.ops_page()


def test_a_row_makes_a_scheme_that_the_search_the_targets_and_the_page_know(monkeypatch):
    row = Scheme("plain8", "hybrid", "int8", summary="as dynamic, under another name")
    monkeypatch.setitem(SCHEMES, "plain8", row)
    assert find_scheme("plain8") == row
    assert [r.scheme for r in find_recipes(["plain8"])] == ["plain8"]
    assert "plain8" in find_target("cpu").family.schemes
    assert "plain8" not in find_target("edge-tpu").family.schemes
    assert "| `plain8` | as dynamic, under another name | int8 | float |" in pages.schemes_page()


def test_a_row_makes_a_recovery_that_the_search_and_the_page_know(monkeypatch):
    seen = []
    row = Recovery("nothing", seen.append, "changes nothing", "none", tried_on=("int8",), effort="quick")
    monkeypatch.setitem(RECOVERIES, "nothing", row)
    (recipe,) = find_recipes(["int8+nothing"])
    assert (recipe.recovery, recipe.effort) == (("nothing",), "quick")
    recover("state", ["nothing"])
    assert seen == ["state"]
    assert "| `nothing` | changes nothing | none | — | int8+nothing |" in pages.recoveries_page()


def test_a_recovery_that_widens_is_left_out_for_targets_of_int8_only(monkeypatch):
    monkeypatch.setitem(
        RECOVERIES, "wide", Recovery("wide", print, "", widens=True, tried_on=("int8",), effort="quick")
    )
    found = find_recipes(["int8+wide"])
    assert TargetPolicy(Budget(target="edge-tpu")).recipes(found, ()) == ()
    assert [r.name for r in TargetPolicy(Budget(target="micro")).recipes(found, ())] == ["int8+wide"]


@pytest.fixture
def devices(monkeypatch):
    document = copy.deepcopy(profile._document())
    caches = (profile.families, profile.targets)
    monkeypatch.setattr(profile, "_document", lambda: document)
    for cache in caches:
        cache.cache_clear()
    yield document
    for cache in caches:
        cache.cache_clear()


def test_a_table_makes_a_device_that_check_and_the_page_know(devices):
    devices["targets"]["board-9"] = {
        "family": "micro",
        "title": "Board 9",
        "memory_bytes": 64_000,
        "source": "its data sheet",
    }
    builder = Builder()
    verdict = check(builder.model(builder.softmax(builder.input("x", [1, 8]))), find_target("board-9"))
    assert verdict.target.title == "Board 9"
    assert "| `board-9` | Board 9 |" in pages.targets_page()


def test_the_places_that_the_page_names_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## Where do I add…")[1].split("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| a")]
    named = [part.strip("`,") for _, _, place, *_ in rows for part in place.split() if part.startswith("`")]
    files = [name for name in named if "/" in name]
    missing = [name for name in files if not list((ROOT / "src" / "tightfit").glob(name))]
    assert len(rows) > 10
    assert not missing


def test_old_names_of_recoveries_and_candidates_are_taken():
    aliases = {alias: row.name for row in RECOVERIES.values() for alias in row.aliases}
    assert {find_recovery(alias).name for alias in aliases} == set(aliases.values())
    assert check_steps(["bias-sequence", "rounding"]) == ("gptq", "sequential-bias-correction")
    assert [r.name for r in find_recipes(["int8+rounding"])] == ["int8+gptq"]


def test_a_row_makes_a_metric_that_tasks_reports_and_the_page_know(monkeypatch):
    row = Metric(
        "worst", lambda a: float(np.abs(a.outputs["y"].reshape(-1) - a.label).max()), "the largest error",
        higher_is_better=False, noun="largest error", unit=LABELS_UNIT, labels="numbers",
        formula="largest |output − label|", reads="values",
    )  # fmt: skip
    monkeypatch.setitem(METRICS, "worst", row)
    probes = [Probe(np.array([1.0, 3]), {"y": np.float32([[1, 5]])})]
    (task,) = choose_tasks("worst=5%", probes).tasks
    assert task.metric.score(task.answer(probes[0].outputs, probes[0].outputs, probes[0].label)) == 2
    assert metric_words("worst").change(0.5) == "−0.50"
    assert Budget(max_drops={"worst": "5%"}).limits_drop
    assert "| `worst` | largest error: largest \\|output − label\\| | less |" in pages.metrics_page()
