"""Fixtures: the sample report, whole and in variants."""

import pytest

from support.sample_reports import ROWS, build, candidate, original
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget


@pytest.fixture
def report():
    return build()


@pytest.fixture
def build_report():
    return build


def unlabelled(report):
    """The same search without labels: agreement is the metric."""
    for c in report.candidates:
        c.metric, c.accuracy, c.drop = (
            "agreement",
            c.agreement,
            None if c.agreement is None else 1 - c.agreement,
        )


def regression(report):
    """The same search for a model whose error is measured: less is better."""
    for c in report.candidates:
        c.metric, c.agreement = "mae", None
        c.accuracy = None if c.accuracy is None else 0.9 - c.accuracy


def unmeasured(report):
    """The same search with sizes and latencies only."""
    for c in report.candidates:
        c.accuracy = c.drop = c.drop_interval = c.agreement = c.snr_db = None
        c.layer_error = []


VARIANTS = {
    "fits": build,
    "nothing fits": lambda: build(Budget(max_drop=0.002, max_size=2_000_000, target="ethos-u55-128")),
    "no limits": lambda: build(Budget()),
    "only the original": lambda: build(candidates=[original()]),
    "the original is best": lambda: build(Budget(max_drop=0.0), [original(), candidate(ROWS[-1])]),
    "all failed": lambda: build(
        candidates=[Candidate("a", "int8", ["int8"], failure="LiteRT refused the file.")]
    ),
    "nothing tried": lambda: build(candidates=[], model={}, data={}, machine={}, notes=[], created=None),
    "no labels": lambda: _changed(unlabelled),
    "regression": lambda: _changed(regression),
    "no accuracy": lambda: _changed(unmeasured),
    "unfinished": lambda: build(finished=False),
}


def _changed(change):
    report = build()
    change(report)
    return report


@pytest.fixture(params=list(VARIANTS))
def any_report(request):
    """Every kind of search."""
    return VARIANTS[request.param]()
