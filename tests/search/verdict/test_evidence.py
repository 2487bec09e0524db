from __future__ import annotations

from dataclasses import replace

import pytest

from tightfit.errors import OptionError
from tightfit.evaluation.intervals import samples_needed, tango_interval
from tightfit.report.report import Report
from tightfit.report.sentences import choice_sentence, ending_sentence
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.job import INTERRUPTED, OUT_OF_TIME, Job
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.choice import choose, judge
from tightfit.search.verdict.job_checks import check_job
from tightfit.search.verdict.verdict_evidence import evidence_of, missing_evidence


def measured(name="int8", *, lost=0, gained=0, n=5, size=50, metric="top1", **more):
    low, high = tango_interval(lost, gained, n)
    change = (gained - lost) / n
    score = {
        "value": 0.9,
        "change": change,
        "interval": [-high, -low],
        "n": n,
        "lost": lost,
        "gained": gained,
    }
    metrics = {metric: score}
    return Candidate(
        name, name, [name], size_bytes=size, latency_ratio=1.0, drop=0.0 - change, drop_interval=(low, high),
        accuracy=0.9, metric=metric, metrics=metrics | more,
    )  # fmt: skip


def original():
    return Candidate("float32", "float32", size_bytes=100, latency_ratio=1.0, drop=0.0, accuracy=0.9)


def test_five_samples_are_no_evidence_and_the_report_says_how_many_would_do():
    int8 = measured()
    assert missing_evidence(int8, Budget(max_drop=0.01)) == [
        "Not enough evidence: n = 5, ±43 points; 381 samples would do."]  # fmt: skip
    [int8] = judge([int8], Budget(max_drop=0.01))
    assert int8.meets_budget is None
    assert not int8.evidence["enough"]
    assert int8.evidence["limits"]["top1"]["needed"] == 381


def test_enough_samples_fit_and_one_less_does_not():
    assert Budget(max_drop=0.01).meets(measured(n=381))
    assert not Budget(max_drop=0.01).meets(measured(n=380))
    assert samples_needed(0.0, 0.0, 0.01) == 381


def test_the_estimate_counts_where_it_is_asked_for():
    int8 = measured()
    [int8] = judge([int8], Budget(max_drop=0.01, judge="estimate"))
    assert int8.meets_budget
    assert "judged by its estimate, as asked" in int8.evidence["sentence"]
    assert not Budget(max_drop=0.01, judge="estimate").meets(measured(lost=1, n=5))


def test_what_is_needed_follows_from_the_shares_of_changed_samples():
    int8 = measured(lost=6, gained=6, n=500)
    needed = evidence_of(int8, Budget(max_drop=0.01))["limits"]["top1"]["needed"]
    share = 6 / 500
    changed = round(share * needed)
    assert tango_interval(changed, changed, needed)[1] == pytest.approx(0.01, rel=0.02)
    assert samples_needed(0.02, 0.0, 0.01) is None


def test_what_surely_fits_is_preferred_and_what_may_fit_before_the_original():
    sure, maybe = measured("float16", n=500, size=60), measured("int8", lost=3, gained=3, n=500, size=30)
    everything = [original(), sure, maybe]
    judged = judge(everything, Budget(max_drop=0.01))
    assert [c.meets_budget for c in judged] == [True, True, None]
    assert choose(everything, Budget(max_drop=0.01)) is sure
    assert choose([original(), maybe], Budget(max_drop=0.01)) is maybe
    assert choose([original(), measured(lost=50, n=500)], Budget(max_drop=0.01)).is_original


def test_each_metric_has_its_own_limit():
    worse = {"value": 0.4, "change": -0.03, "interval": [-0.04, -0.02], "n": 500}
    int8 = measured(n=500, map50=worse)
    assert Budget(max_drops={"top1": 0.01, "map50": 0.05}).meets(int8)
    assert Budget(max_drops={"map50(decoder=yolov3,anchors=1:2:3:4)": 0.05}).meets(int8)
    (shortfall,) = Budget(max_drops={"top1": 0.01, "map50": 0.01}).shortfalls(int8)
    assert shortfall.reason == "Its mAP at 0.5 falls by 3.0 points; the budget allows 1.0 points."
    (missing,) = Budget(max_drops={"f1": 0.01}).shortfalls(int8)
    assert missing.reason == "Its F1 was not measured; the budget allows 1.0 points."


def test_one_number_is_a_share_of_an_error():
    rmse = {"value": 2.02, "change": -0.02, "interval": [-0.021, -0.019], "n": 500}
    assert not Budget(max_drop=0.01).meets(measured(n=500, rmse=rmse))
    assert Budget(max_drop=0.02).meets(measured(n=500, rmse=rmse))
    assert Budget(max_drops={"rmse": "2%"}).meets(measured(n=500, rmse=rmse))
    assert not Budget(max_drops={"rmse": 0.01}).meets(measured(n=500, rmse=rmse))


def test_an_output_that_is_lost_makes_a_file_unfit():
    lost = [{"name": "scores", "lost": "scores: one value, 0.0, float 0.034–0.072"}]
    int8 = replace(measured(n=500), outputs=lost)
    [int8] = judge([int8], Budget(max_drop=0.01))
    assert int8.meets_budget is False
    assert int8.reasons == ("Scores: one value, 0.0, float 0.034–0.072.",)


def test_a_proxy_is_called_one():
    int8 = measured(n=500, metric="agreement")
    sentence = evidence_of(int8, Budget(max_drop=0.01))["proxies"]
    assert sentence == [
        "No labels: agreement with the original cannot show whether the original's decisions are right, "
        "and changes of "
        "values that change no decision."
    ]


def report(candidates, budget, **facts):
    candidates = judge(candidates, budget)
    best = choose(candidates, budget)
    return Report({}, {}, {}, budget, candidates, best and best.name, **facts)


LIMIT = Budget(max_drop=0.01)
SHORT = Budget(max_drop=0.01, minutes=0.05)
UNSURE = "int8 may fit, but the samples are too few to say so."
ALL_FAILED = "Every candidate failed; the original stays."
CUT_OFF = {"ending": INTERRUPTED, "finished": False}
FAILED = Candidate("int8", "int8", ["int8"], failure="LiteRT refused the file.")


@pytest.mark.parametrize(
    ("made", "headline", "ending"),
    [
        (lambda: report([original(), measured(n=500)], LIMIT), "int8 fits.", "is the file that ships; "),
        (lambda: report([original(), measured(n=5)], LIMIT), UNSURE, "is the best guess"),
        (lambda: report([measured(lost=50, n=500)], LIMIT), "Nothing fits the budget; int8 comes closest.",
         "is the closest to the budget"),
        (lambda: report([original(), measured(lost=50, n=500)], LIMIT), "The original is best as it is.",
         "is the original"),
        (lambda: report([original(), FAILED], LIMIT), ALL_FAILED, "is the original"),
        (lambda: report([FAILED], LIMIT), "No candidate could be made.", "No file was written"),
        (lambda: report([original()], SHORT, ending=OUT_OF_TIME), "Nothing was tried.",
         "is the original"),
        (lambda: report([original(), measured(n=500)], LIMIT, **CUT_OFF), "int8 fits.",
         "Interrupted: "),
        (lambda: report([original(), measured(n=5)], Budget(max_drop=0.01, judge="estimate")), "int8 fits.",
         "by the estimates"),
    ],
)  # fmt: skip
def test_every_ending_has_its_own_sentence(made, headline, ending, tmp_path):
    found = made()
    assert choice_sentence(found).headline == headline
    last = ending_sentence(found, tmp_path)
    assert ending in last
    assert ("proves it" in last) == (ending == "is the file that ships; ")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layout": "gpu"}, "Unknown layout 'gpu'"),
        ({"observer": "foo"}, "Unknown observer 'foo'"),
        ({"effort": "much"}, "Unknown effort 'much'"),
        ({"recipes": ("int7",)}, "int7"),
        ({"metric": "topp1"}, "Unknown metric 'topp1'"),
        ({"metric": "map50(decodr=yolov8)"}, "Unknown option of map50 'decodr'.*Did you mean 'decoder'"),
        ({"calibration": 0}, "calibration is 0"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_opened(wrong, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        check_job(Job(**{"model": tmp_path / "none", "data": "none", "output": tmp_path, **wrong}))


@pytest.mark.parametrize(
    "wrong", [{"judge": "guess"}, {"max_drops": {"top1": "much"}}, {"max_drops": {"top9": 0.1}}]
)
def test_a_budget_that_means_nothing_is_refused(wrong):
    with pytest.raises(OptionError):
        Budget(**wrong).shortfalls(measured())
