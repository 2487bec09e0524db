from dataclasses import replace

import pytest

from support.sample_reports import change_candidates
from tightfit.report.page.cards import make_cards
from tightfit.search.verdict.budget import Budget


def card_of(report, title):
    (card,) = [card for card in make_cards(report) if card.title == title]
    return card


def test_bars_are_relative_to_the_original_with_the_budgets_limit(report):
    card = card_of(report, "File size")
    assert (card.value, card.detail, card.more) == ("5.3 MB", "0.29× of 18.6 MB", "4.5 MB zipped")
    assert card.bar == pytest.approx(5_313_000 / 18_582_416)
    assert card.limit_at == pytest.approx(6_000_000 / 18_582_416)


def test_a_limit_in_milliseconds_stands_where_its_own_run_puts_it(build_report):
    report = build_report(Budget(max_latency=9.0))
    report = replace(report, best="int8")
    slower = lambda c: replace(c, latency_ms=99.0) if c.is_original else c  # noqa: E731 - another moment
    report = change_candidates(report, slower)
    card = card_of(report, "Latency")
    assert card.limit_at == pytest.approx(9.0 / 9.42)
    assert card.value == "0.95×"
    assert "99" not in card.detail + card.more


def test_what_is_slower_than_the_original_fills_the_bar(build_report):
    report = build_report(Budget(max_latency_ratio=0.75))
    report = replace(report, best="int16x8")
    card = card_of(report, "Latency")
    assert card.bar == 1.0
    assert card.limit_at == pytest.approx(0.5)


def test_a_change_is_shown_on_a_line_where_right_is_better(report):
    scale = card_of(report, "Accuracy").scale
    assert 0 <= scale.limit < scale.low < scale.at < scale.zero < scale.high <= 1
    assert scale.zero == 0.5


@pytest.mark.parametrize("max_drop", [None, 0.5])
def test_a_limit_far_off_does_not_squeeze_the_line(report, max_drop):
    report = replace(report, budget=replace(report.budget, max_drop=max_drop))
    scale = card_of(report, "Accuracy").scale
    assert scale.limit is None
    assert scale.high - scale.low > 0.5


def test_what_was_not_measured_has_no_card(build_report):
    unmeasured = {"latency_ratio": None, "peak_memory_bytes": None, "accuracy": None}
    report = change_candidates(build_report(), lambda c: replace(c, **unmeasured))
    assert [card.title for card in make_cards(report)] == ["File size"]
