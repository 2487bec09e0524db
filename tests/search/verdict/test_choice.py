import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tightfit.search.candidates.candidate import Candidate, TargetVerdict
from tightfit.search.verdict.budget import Budget
from tightfit.search.verdict.choice import beaten_by, choose, judge, objectives, pareto


def changed(name, size_bytes, latency_ratio=1.0, drop=0.0, **measured):
    accuracy = None if drop is None else 0.868 - drop
    return Candidate(
        name,
        "int8",
        ["int8"],
        size_bytes=size_bytes,
        latency_ratio=latency_ratio,
        drop=drop,
        accuracy=accuracy,
        **measured,
    )


FLOAT = Candidate("float", "float32", size_bytes=100, latency_ratio=1.0, drop=0.0, accuracy=0.868)

unmeasured = st.none()
candidate_lists = st.lists(
    st.builds(
        changed,
        name=st.text(min_size=1, max_size=4),
        size_bytes=st.integers(1, 30),
        latency_ratio=unmeasured | st.floats(0.05, 30),
        drop=st.sampled_from([-0.01, 0.0, 0.002, 0.007, 0.02, 0.4]),
        failure=unmeasured | st.just("It died."),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda c: c.name,
)
budgets = st.builds(
    Budget,
    max_drop=unmeasured | st.sampled_from([0.0, 0.005, 0.01]),
    max_size=unmeasured | st.integers(1, 30),
    max_latency_ratio=unmeasured | st.floats(0.1, 2),
)


def test_the_smallest_product_of_size_and_latency_wins():
    slow = changed("int16x8", 28, latency_ratio=1.5)
    fast = changed("int8", 28, latency_ratio=0.95)
    assert choose([slow, fast, FLOAT], Budget()) is fast


def test_near_ties_go_to_the_more_accurate():
    cheaper = changed("int8", 28, latency_ratio=0.950, drop=0.007)
    better = changed("int8+bias", 28, latency_ratio=0.965, drop=0.002)  # 1.6 % dearer
    clearly_dearer = changed("int8+gptq", 28, latency_ratio=1.0, drop=0.0)  # 5.3 %
    assert choose([cheaper, better, clearly_dearer], Budget()) is better


def test_equal_accuracy_goes_to_the_wider_inputs_and_outputs():
    narrow = changed("a", 28, interface="int8")
    wide = changed("b", 28, interface="float32")
    assert choose([narrow, wide], Budget()) is wide


def test_the_original_is_chosen_only_when_nothing_cheaper_fits():
    lossy = changed("int8", 28, drop=0.05)
    assert choose([FLOAT, lossy], Budget(max_drop=0.01)) is FLOAT
    assert choose([FLOAT, lossy], Budget(max_drop=0.10)) is lossy


def test_a_candidate_that_costs_more_than_the_original_does_not_replace_it():
    reference_kernels = changed("int16x8", 27, latency_ratio=26.0)
    assert choose([FLOAT, reference_kernels], Budget(max_drop=0.01)) is FLOAT


def test_a_costly_candidate_is_chosen_when_the_original_does_not_fit():
    reference_kernels = changed("int16x8", 27, latency_ratio=26.0)
    assert choose([FLOAT, reference_kernels], Budget(max_size=50)) is reference_kernels


def test_when_nothing_fits_the_least_violation_is_chosen():
    half_over = changed("int8", 30)
    far_over = changed("float16", 50)
    assert choose([far_over, half_over, FLOAT], Budget(max_size=20)) is half_over


def test_when_nothing_fits_the_target_the_most_accelerated_is_chosen():
    half = changed("half", 28, targets={"npu": TargetVerdict(fits=False, accelerated=0.5)})
    most = changed("most", 29, targets={"npu": TargetVerdict(fits=False, accelerated=0.9)})
    assert choose([half, most], Budget(target="npu")) is most


def test_nothing_is_chosen_when_every_candidate_failed():
    assert choose([changed("int8", 28, failure="It died.")], Budget()) is None
    assert choose([], Budget()) is None


def test_an_unmeasured_latency_counts_as_the_slowest():
    assert (
        choose([changed("a", 28, latency_ratio=None), changed("b", 28, latency_ratio=1.2)], Budget()).name
        == "a"
    )
    three = [
        changed("a", 28, latency_ratio=None),
        changed("b", 28, latency_ratio=1.2),
        changed("c", 28, latency_ratio=0.9),
    ]
    assert choose(three, Budget()).name == "c"


def test_judging_writes_the_verdict_and_the_reasons():
    fits, heavy, dead = changed("a", 10), changed("b", 30), changed("c", 10, failure="LiteRT refused it.")
    fits, heavy, dead = judge([fits, heavy, dead], Budget(max_size=20))
    assert [c.meets_budget for c in (fits, heavy, dead)] == [True, False, False]
    assert fits.reasons == ()
    assert heavy.reasons == ("The file is 30 B; the budget allows 20 B.",)
    assert dead.reasons == ("LiteRT refused it.",)


@given(candidate_lists, budgets, st.data(), st.floats(-0.1, 0.1))
def test_what_is_beaten_is_not_chosen_however_accurate_it_is(candidates, budget, data, drop):
    place = data.draw(st.integers(0, len(candidates) - 1))
    candidates = list(candidates)
    candidates[place] = replace(
        candidates[place], failure=None, drop=None, drop_interval=None, agreement=None
    )
    if beaten_by(candidates[place], candidates, budget) is None:
        return
    candidates[place] = replace(candidates[place], drop=drop, drop_interval=(drop, drop), snr_db=200.0)
    assert choose(candidates, budget) is not candidates[place]


def test_what_nobody_measured_neither_fits_nor_misses():
    unscored = {"drop": None, "agreement": None, "beaten_by": "a"}
    small, large, huge = changed("a", 10, drop=0.0), changed("b", 12), changed("c", 30)
    large, huge = replace(large, **unscored), replace(huge, **unscored)
    small, large, huge = judge([small, large, huge], Budget(max_size=20, max_drop=0.01))
    assert [c.meets_budget for c in (small, large, huge)] == [True, None, False]
    assert large.reasons == (
        "a fits and is preferred for its size and latency, so the accuracy was not measured; --effort normal "
        "measures it.",
    )
    assert huge.reasons[-1] == "The file is 30 B; the budget allows 20 B."


@given(candidate_lists, budgets, st.data())
def test_the_choice_does_not_depend_on_the_order(candidates, budget, data):
    chosen = choose(candidates, budget)
    shuffled = data.draw(st.permutations(candidates))
    assert choose(shuffled, budget) is chosen


@given(candidate_lists, budgets)
def test_the_choice_fits_whenever_anything_fits(candidates, budget):
    chosen = choose([*candidates, FLOAT], budget)
    assert chosen.failure is None
    if any(budget.meets(c) for c in [*candidates, FLOAT]):
        assert budget.meets(chosen)


@given(candidate_lists, budgets)
def test_no_fitting_candidate_costs_more_than_two_percent_less(candidates, budget):
    measured = [c for c in candidates if c.latency_ratio is not None]
    chosen = choose(measured, budget)
    for other in measured:
        if budget.meets(other) and budget.meets(chosen):
            least = other.size_bytes * other.latency_ratio
            assert chosen.size_bytes * chosen.latency_ratio <= 1.02 * least * (1 + 1e-12)


def beats(one, other):
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(candidate_lists)
def test_the_front_is_exactly_what_nothing_beats(candidates):
    front = set(pareto(candidates))
    made = {c.name: objectives(c) for c in candidates if c.failure is None}
    assert front <= set(made)
    for name, point in made.items():
        beaten = any(beats(other, point) for other in made.values())
        assert (name not in front) == beaten


@given(candidate_lists)
def test_the_front_is_never_empty_and_sorted_by_size(candidates):
    sizes = {c.name: c.size_bytes for c in candidates}
    front = pareto(candidates)
    assert bool(front) == any(c.failure is None for c in candidates)
    assert [sizes[n] for n in front] == sorted(sizes[n] for n in front)


def test_latency_within_the_noise_does_not_keep_a_candidate_on_the_front():
    assert pareto([FLOAT, changed("float16", 50, latency_ratio=1.005)]) == ["float16"]
    assert pareto([FLOAT, changed("float16", 50, latency_ratio=1.05)]) == ["float16", "float"]


def test_without_labels_the_front_uses_the_changed_decisions():
    close = changed("close", 30, drop=None, agreement=0.99)
    far = changed("far", 40, drop=None, agreement=0.90)
    assert pareto([close, far]) == ["close"]


def test_a_candidate_without_any_measurement_is_not_on_the_front():
    assert pareto([Candidate("made", "int8", ["int8"]), changed("int8", 28)]) == ["int8"]
    assert objectives(Candidate("made", "int8", ["int8"])) == (math.inf, math.inf, math.inf)
