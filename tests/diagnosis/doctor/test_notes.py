"""The doctor speaks up inside quantize and optimize, and keeps quiet where nothing is wrong."""

from __future__ import annotations

import pytest

from tightfit import demo
from tightfit.api.optimize import optimize
from tightfit.api.quantize import quantize
from tightfit.search.job import Job


def as_bytes():
    return ((image * 255, label) for image, label in demo.calibration())


def repeated():
    images = list(demo.calibration())
    return iter(images[:30] * 3)


def said(written):
    return [note for note in written.notes if note.startswith("doctor: ")]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(f"{__name__}:as_bytes", "input_range"), (f"{__name__}:repeated", "duplicates")],
    ids=["range", "copies"],
)
def test_quantize_tells_what_is_wrong_with_the_data(data, kind, tmp_path):
    notes = said(quantize(demo.MODEL, "int8", tmp_path / "q.tflite", data=data))
    assert any(note.endswith(f"({kind})") and " Fix: " in note for note in notes)
    assert said(quantize(demo.MODEL, "int8", tmp_path / "q.tflite", data=data, doctor=False)) == []


def test_quantize_has_nothing_to_say_of_good_data(tmp_path):
    assert said(quantize(demo.MODEL, "int8", tmp_path / "q.tflite", data="tightfit.demo:calibration")) == []


def test_optimize_reports_what_is_wrong_with_the_data(tmp_path):
    job = Job(
        demo.MODEL, f"{__name__}:as_bytes", tmp_path, recipes=("float16",), calibration=40, evaluation=40
    )
    report = optimize(job)
    assert any("(input_range)" in note for note in report.notes)
    assert "input_range" in (tmp_path / "report.html").read_text()
    assert "input_range" in (tmp_path / "report.json").read_text()
