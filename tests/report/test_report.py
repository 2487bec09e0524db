import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.errors import DataError, ModelError
from tightfit.report.report import Report, read_report
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget

SPEC_KEYS = ["model", "data", "machine", "budget", "candidates", "best", "pareto"]


def refuse(word):
    raise AssertionError(f"{word} is not strict JSON")


def test_a_report_survives_json(any_report):
    text = any_report.to_json()
    assert Report.from_json(text).to_json() == text


def test_a_report_read_back_chooses_the_same(report):
    again = Report.from_json(report.to_json())
    assert again.chosen.name == report.chosen.name == "int8+round"
    assert again.budget == report.budget
    assert again.meets_budget


def test_the_keys_start_with_those_of_the_specification(report):
    assert list(json.loads(report.to_json()))[: len(SPEC_KEYS)] == SPEC_KEYS


@given(st.floats(), st.floats(), st.text())
def test_json_is_strict_whatever_was_measured(latency_ms, seconds, name):
    odd = Candidate(name, "int8", ["int8"], latency_ms=latency_ms, drop_interval=(seconds, math.inf))
    report = Report({name: seconds}, {}, {}, Budget(), [odd], seconds=seconds)
    plain = json.loads(report.to_json(), parse_constant=refuse)
    assert math.isfinite(latency_ms) or plain["candidates"][0]["latency_ms"] is None


def test_an_interval_with_an_unknown_end_is_read_back_as_none():
    report = Report({}, {}, {}, Budget(), [Candidate("a", "int8", drop_interval=(0.1, math.inf))])
    assert Report.from_json(report.to_json()).candidates[0].drop_interval is None


def test_floats_have_no_noise_digits():
    report = Report({}, {}, {}, Budget(), [Candidate("a", "int8", drop=0.868 - 0.861)])
    assert '"drop": 0.007,' in report.to_json()


def test_keys_of_a_newer_version_are_passed_over(report):
    plain = json.loads(report.to_json())
    plain["energy"] = plain["budget"]["energy"] = 3
    assert Report.from_json(json.dumps(plain)).to_json() == report.to_json()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"model": 1, "data": {}, "machine": {}, "budget": {}, "candidates": []}'],
)
def test_what_is_no_report_is_refused_in_a_sentence(text):
    with pytest.raises(DataError, match="report"):
        Report.from_json(text)


def test_a_missing_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"missing\.json"):
        read_report(tmp_path / "missing.json")


def test_a_report_is_written_whole(report, tmp_path):
    path = tmp_path / "report.json"
    report.write(path)
    assert read_report(path).to_json() == report.to_json() == path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_refused(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="Cannot write"):
        report.write(tmp_path / "file" / "report.json")


def test_without_a_choice_the_budget_is_not_met():
    assert not Report({}, {}, {}, Budget(), []).meets_budget
