"""Several runs side by side: the best of all, and what is not comparable."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import tightfit
from support.sample_reports import build, change_candidates
from tightfit.cli.app import app
from tightfit.report.comparison.page import render_comparison
from tightfit.search.verdict.budget import Budget


def runs():
    small = build(Budget(max_drop=0.05), data={"name": "<other>", "fingerprint": "ff"})
    return {"a": build(), "b": small}


def test_the_best_run_has_the_smallest_file_that_fits():
    found = tightfit.compare(runs())
    sizes = {run.name: (run.size_bytes, run.fits) for run in found.runs}
    assert sizes["b"][0] < sizes["a"][0]
    assert found.best == "b"
    nothing = replace(runs()["b"], best="weight4")
    unfit = tightfit.compare({"a": runs()["a"], "c": nothing})
    assert unfit.best == "a", "a smaller file that misses its budget does not count"


def test_what_differs_is_listed_and_what_is_not_comparable_is_said():
    found = tightfit.compare(runs())
    assert found.differences["max_drop"] == ["0.01", "0.05"]
    assert "model" not in found.differences
    assert any("not of the same samples" in note for note in found.notes)
    assert found.candidates["int4-io"] == ["failed", "failed"]


def test_what_differs_is_in_words():
    pair = [replace(build(), run={"only": only}) for only in ([], ["int8", "float16"])]
    pair[1] = replace(pair[1], budget=replace(pair[1].budget, max_size=100_000))
    found = tightfit.compare(pair)
    assert found.differences["only"] == ["—", "int8, float16"]
    assert found.differences["max_size"][1] == "100 kB"


def test_the_boards_of_one_report_are_rows():
    report = build(devices={"phone": {"machine": {}, "best": "int8"}})
    phone = {"phone": {"latency_ms": 3.5, "latency_ratio": 0.4}}
    report = change_candidates(report, lambda c: replace(c, devices=phone) if c.name == "int8" else c)
    found = tightfit.compare([report])
    assert [(r.name, r.latency_ms) for r in found.runs][1][1] == 3.5
    assert found.runs[1].machine == "phone"
    with pytest.raises(tightfit.OptionError, match="expected two or more"):
        tightfit.compare([build()])


def test_the_page_is_whole_and_escapes():
    reports = runs()
    page = render_comparison(tightfit.compare(reports), reports)
    assert "b: " in page
    assert "&lt;other&gt;" in page
    assert "<other>" not in page
    assert page.count("<svg") == 2


def test_the_command_compares_folders(tmp_path):
    for name, report in runs().items():
        (tmp_path / name).mkdir()
        report.write(tmp_path / name / "report.json")
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b" / "report.json")]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "c.html")], standalone_mode=False)
    assert done.exception is None, done.output
    assert "→  b" in done.output
    assert (tmp_path / "c.html").is_file()
    printed = CliRunner().invoke(app, [*words, "--json"], standalone_mode=False).stdout
    assert json.loads(printed)["best"] == "b"
