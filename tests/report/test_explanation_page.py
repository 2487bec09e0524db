"""The page of an explanation has ops, causes and remedies, and escapes every word from outside."""

from __future__ import annotations

from tightfit.diagnosis.explain.explanation import Explanation, OpReport, Remedy
from tightfit.diagnosis.explain.op_facts import Cause
from tightfit.evaluation.accuracy import Accuracy
from tightfit.report.page.explanation_page import render_explanation, write_explanation

LOUD = Cause("channels", "channel 5 is loud", {})


def explanation(**changes):
    facts = {
        "model": "float.tflite", "file": "int8.tflite", "scheme": "int8", "metric": "top1",
        "float_value": 0.9, "accuracy": Accuracy("top1", value=0.6), "size_bytes": 186_000,
        "ops": [
            OpReport("<b>conv</b>", "CONV_2D", 3.0, 2.0, 4.5, 0.61, 0.3, (LOUD,)),
            OpReport("dense", "FULLY_CONNECTED", 30.0),
        ],
        "remedies": [
            Remedy("wider", "int16 for conv", "conv", "--override conv=int16x8", 31.0, 27.0, 0.89, 0.01, 0.98,
                   190_000, 0.9, helps=True),
            Remedy("rounding", "weights rounded", "", "", failure="no <kernel>"),
        ],
        "notes": ["a & b"],
    }  # fmt: skip
    return Explanation(**{**facts, **changes})


def test_the_page_says_which_op_why_and_what_helps(tmp_path):
    write_explanation(explanation(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "top1 0.9000 → 0.6000" in page
    assert "int16 for conv brings 0.8900" in page
    assert "channel 5 is loud" in page
    assert page.index("&lt;b&gt;conv") < page.index("dense")
    assert "<b>conv" not in page
    assert "no &lt;kernel&gt;" in page
    assert "a &amp; b" in page
    assert "<script" not in page


def test_a_file_without_error_has_no_tables():
    page = render_explanation(explanation(ops=[], remedies=[]))
    assert "no op adds an error" in page
    assert "<table" not in page
