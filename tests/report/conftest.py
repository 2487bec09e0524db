"""Fixtures: the sample report, whole and in variants."""

from dataclasses import replace

import pytest

from support.sample_reports import ROWS, build, candidate, change_candidates, original
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.verdict.budget import Budget


@pytest.fixture
def report():
    return build()


@pytest.fixture
def build_report():
    return build


def unlabelled(c):
    """A candidate without labels: agreement is the metric."""
    drop = None if c.agreement is None else 1 - c.agreement
    return replace(c, metric="agreement", accuracy=c.agreement, drop=drop)


def regression(c):
    """A candidate whose error is measured: less is better."""
    return replace(c, metric="mae", agreement=None, accuracy=None if c.accuracy is None else 0.9 - c.accuracy)


def unmeasured(c):
    """A candidate with size and latency only."""
    unknown = dict.fromkeys(("accuracy", "drop", "drop_interval", "agreement", "snr_db"))
    return replace(c, **unknown, layer_error=[])


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
    "no labels": lambda: change_candidates(build(), unlabelled),
    "regression": lambda: change_candidates(build(), regression),
    "no accuracy": lambda: change_candidates(build(), unmeasured),
    "unfinished": lambda: build(finished=False),
}


@pytest.fixture(params=list(VARIANTS))
def any_report(request):
    """Every kind of search."""
    return VARIANTS[request.param]()
