from dataclasses import replace

import pytest

from tightfit.report.report import Report
from tightfit.report.sentences import choice_sentence, gain_notes
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget


def test_a_fitting_choice_is_one_sentence_with_its_interval(build_report):
    report = build_report()
    report = replace(report, best="int8")
    assert str(choice_sentence(report)) == (
        "int8 fits. 5.3 MB instead of 18.6 MB (0.29×), 0.95× the latency of the original on this machine, "
        "accuracy 86.1 % (−0.7 points, 95 % interval −1.6 … +0.2)."
    )


def test_a_target_is_named_with_its_share(build_report):
    report = build_report(Budget(max_drop=0.01, target="ethos-u55-128"))
    assert choice_sentence(report).detail.endswith("100 % of its MACs accelerated on ethos-u55-128.")


def test_a_choice_that_does_not_fit_says_what_it_misses(build_report):
    choice = choice_sentence(build_report(Budget(max_drop=0.01, max_size=4_000_000)))
    assert choice.headline.startswith("Nothing fits the budget;")
    assert "the budget allows" in choice.misses


def test_without_limits_nothing_is_said_to_fit(build_report):
    assert choice_sentence(build_report(Budget())).headline.endswith("is the best trade.")


def test_failures_are_named_when_nothing_could_be_made(build_report):
    failed = Candidate("int8", "int8", ["int8"], failure="LiteRT refused the file.")
    assert str(choice_sentence(build_report(candidates=[failed]))) == (
        "No candidate could be made. LiteRT refused the file."
    )
    assert (
        str(choice_sentence(build_report(candidates=[]))) == "No candidate could be made. Nothing was tried."
    )


def test_what_was_not_measured_is_left_out(build_report):
    only_size = Candidate("int8", "int8", ["int8"], size_bytes=5_000_000)
    assert str(choice_sentence(build_report(Budget(max_size=6_000_000), [only_size]))) == "int8 fits. 5.0 MB."


@pytest.mark.parametrize(
    ("size_bytes", "ratio", "interval", "notes"),
    [
        (50, 0.90, (0.88, 0.92), []),
        (50, 0.92, (0.69, 1.21), ["Its gain in latency is within the noise (0.69× … 1.21×)."]),
        (50, 1.25, (0.9, 1.6), ["No gain in latency on this machine."]),
        (50, 0.99, (0.985, 0.995), ["No gain in latency on this machine."]),  # too small to matter
        (50, 1.30, (1.2, 1.4), ["Slower than the original on this machine (1.30×)."]),
        (99, 0.50, None, ["No gain in size."]),
        (110, 0.50, None, ["No gain in size."]),
        (50, None, None, []),
    ],
)
def test_missing_gains_are_said(size_bytes, ratio, interval, notes):
    original = Candidate("float32", "float32", size_bytes=100)
    candidate = Candidate(
        "a", "int8", ["int8"], size_bytes=size_bytes, latency_ratio=ratio, latency_interval=interval
    )
    assert gain_notes(candidate, original) == notes


def test_the_original_and_failures_have_no_notes():
    original = Candidate("float32", "float32", size_bytes=100, latency_ratio=1.0)
    assert gain_notes(original, original) == []
    assert gain_notes(Candidate("a", "int8", ["int8"], failure="It died."), original) == []


def test_a_weak_slice_stands_in_the_verdict_of_a_file_that_fits():
    weak = "output 'y' is weak in 'row 3' (entry 3 of axis 1): 14.6 dB against its own spread, below 20 dB"
    outputs = [{"name": "y", "snr_db": 30.0, "weak": weak}]
    found = Candidate("int8", "int8", ["int8"], size_bytes=5, outputs=outputs, meets_budget=True)
    said = str(choice_sentence(Report({}, {}, {}, Budget(max_size=6), [found], "int8")))
    assert said.startswith("int8 fits.")
    assert f"O{weak[1:]}." in said
