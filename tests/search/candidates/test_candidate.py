import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.errors import DataError
from tightfit.search.candidates.candidate import Candidate, FloatOp, LayerError, PlanSummary, TargetVerdict

SPEC_KEYS = """
    name scheme steps path size_bytes compressed_bytes peak_memory_bytes latency_ms latency_ratio accuracy
    drop drop_interval agreement targets meets_budget reasons
""".split()  # noqa: SIM905 - a list of one word a line would be longer than the test

number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
interval = st.none() | st.tuples(st.floats(-1, 0), st.floats(0, 1))
candidates = st.builds(
    Candidate,
    name=st.text(),
    scheme=st.text(),
    steps=st.lists(st.text()),
    compressed_bytes=st.dictionaries(st.sampled_from(["zip", "zstd"]), st.integers(0)),
    latency_ms=number,
    drop=number,
    drop_interval=interval,
    latency_interval=interval,
    targets=st.dictionaries(st.text(), st.builds(TargetVerdict, fits=st.booleans(), accelerated=number)),
    meets_budget=st.none() | st.booleans(),
    plan_summary=st.none()
    | st.builds(PlanSummary, integer_ops=st.integers(), left_in_float=st.lists(st.builds(FloatOp))),
    layer_error=st.lists(st.builds(LayerError, name=st.text(), kind=st.text(), snr_db=number)),
)


@given(candidates)
def test_a_candidate_survives_strict_json(candidate):
    text = json.dumps(candidate.to_dict(), allow_nan=False)
    assert Candidate.from_dict(json.loads(text)) == candidate


def test_the_keys_start_with_those_of_the_specification_in_its_order():
    assert list(Candidate("a", "int8").to_dict())[: len(SPEC_KEYS)] == SPEC_KEYS


def test_numbers_that_are_not_finite_become_null():
    error = LayerError("conv", "CONV_2D", math.inf)
    plain = Candidate("a", "int8", latency_ms=math.nan, layer_error=[error]).to_dict()
    assert plain["latency_ms"] is None
    assert plain["layer_error"][0]["snr_db"] is None


def test_numpy_numbers_become_plain_ones():
    plain = Candidate(
        "a", "int8", size_bytes=np.int64(5), drop=np.float32(0.5), meets_budget=np.True_
    ).to_dict()
    assert json.dumps([plain["size_bytes"], plain["drop"], plain["meets_budget"]]) == "[5, 0.5, true]"


def test_keys_of_a_newer_version_are_passed_over():
    assert Candidate.from_dict({"name": "a", "scheme": "int8", "energy_mj": 3}) == Candidate("a", "int8")


@pytest.mark.parametrize(
    "plain", [{}, {"name": "a"}, [], None, {"name": "a", "scheme": "b", "drop_interval": [1]}]
)
def test_what_is_no_candidate_is_refused_in_a_sentence(plain):
    with pytest.raises(DataError, match="candidate of the report"):
        Candidate.from_dict(plain)
