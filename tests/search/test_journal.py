from __future__ import annotations

import json
from pathlib import Path

import pytest

from tightfit.search.candidates.candidate import Candidate
from tightfit.search.journal import Journal, file_sha256

FACTS = {"model": "m", "data": "d"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with a journal of one finished candidate."""
    (tmp_path / "candidates").mkdir()
    path = tmp_path / "candidates" / "int8.tflite"
    path.write_bytes(b"int8")
    journal = Journal(tmp_path, FACTS)
    journal.put(
        Candidate(
            "int8", "int8", ["int8"], path="candidates/int8.tflite", sha256=file_sha256(path), size_bytes=4,
            latency_ms=1.0, latency_ratio=0.5, latency_interval=(0.4, 0.6), drop=0.0,
        )
    )  # fmt: skip
    return tmp_path


def test_a_finished_candidate_comes_back_as_it_was(folder):
    found = Journal(folder, FACTS).get("int8", folder)
    assert found is not None
    assert (found.size_bytes, found.latency_interval) == (4, (0.4, 0.6))
    assert Journal(folder, {"model": "another"}).get("int8", folder) is None


@pytest.mark.parametrize(
    "change",
    [
        {"size_bytes": "many"},
        {"size_bytes": float("nan")},
        {"latency_ms": [1]},
        {"latency_ratio": True},
        {"latency_interval": [0.4, "x"]},
        {"latency_interval": [0.4]},
        {"name": 5},
        {"steps": "int8"},
        {"gain": []},
        {"path": "../outside.tflite"},
        {"path": "/etc/hostname"},
        {"layer_error": 3},
        {"targets": []},
    ],
)
def test_a_candidate_with_odd_fields_is_measured_anew(folder, change):
    text = json.loads((folder / "journal.json").read_text())
    text["candidates"][0] |= change
    (folder / "journal.json").write_text(json.dumps(text))
    assert Journal(folder, FACTS).get("int8", folder) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "[" * 100_000, '{"key": 1, "candidates": {}}', "\x00"]
)
def test_a_journal_that_is_none_is_passed_over(folder, text):
    (folder / "journal.json").write_text(text)
    journal = Journal(folder, FACTS)
    assert journal.found == {}
    journal.put(Candidate("int8", "int8"))


def test_a_changed_file_is_made_anew(folder):
    (folder / "candidates" / "int8.tflite").write_bytes(b"other")
    assert Journal(folder, FACTS).get("int8", folder) is None


def test_a_name_that_no_file_can_have_is_measured_anew(folder):
    plain = json.loads((folder / "journal.json").read_text())
    plain["candidates"][0]["path"] = "x" * 5000
    (folder / "journal.json").write_text(json.dumps(plain))
    assert Journal(folder, FACTS).get("int8", folder) is None
