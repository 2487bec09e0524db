from __future__ import annotations

import pytest

from support.small_models import adder, dense, two_signatures
from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.runtime.native import op_profile as profile
from tightfit.runtime.native.op_profile import profile_ops


@pytest.fixture
def file(tmp_path):
    def write(model: bytes):
        path = tmp_path / "model.tflite"
        path.write_bytes(model)
        return path

    return write


def test_ops_inside_and_outside_of_xnnpack_come_in_the_order_they_run(file):
    rows = profile_ops(file(dense(512, 512, layers=2, rounded=True)), runs=3)
    assert [row.delegated for row in rows] == [True] * (len(rows) - 1) + [False]
    assert [row.node_index for row in rows[:-1]] == list(range(len(rows) - 1))
    assert sum(row.kind.startswith("Fully Connected") for row in rows) == 2
    assert (rows[-1].name, rows[-1].kind, rows[-1].node_index) == ("sign", "SIGN", 2)


def test_the_time_is_where_the_work_is(file):
    # 4 million multiplications against 4 thousand: a thousandfold, of which a tenfold must show.
    heavy = profile_ops(file(dense(2048, 2048)), runs=5)
    light = profile_ops(file(dense(64, 64)), runs=5)
    assert max(row.mean_ms for row in heavy) > 10 * max(row.mean_ms for row in light)
    assert max(heavy, key=lambda row: row.mean_ms).kind.startswith("Fully Connected")


def test_a_model_without_the_main_graph_in_front_is_profiled_by_its_own_signature(file):
    (row,) = profile_ops(file(two_signatures()), runs=2)
    assert row.kind.startswith("Negate")


def test_several_inputs_are_filled_in_the_signatures_order(file):
    rows = profile_ops(file(adder()), runs=2, threads=2)
    assert [row.kind.split()[0] for row in rows] == ["Add", "Add"]


def test_a_file_that_is_no_model_is_refused(file):
    with pytest.raises(ModelError):
        profile_ops(file(b"nonsense"))


def test_a_library_without_the_profiler_gives_a_sentence(file, monkeypatch):
    ask = profile._profile
    monkeypatch.setattr(profile, "_profile", lambda path, request: ask(path, request | {"signature": 7}))
    with pytest.raises(
        RuntimeFailureError, match=r"profiler cannot run .*LiteRtGetModelSignature gave status"
    ):
        profile_ops(file(adder()))


def test_a_profile_that_takes_too_long_is_given_up(file, monkeypatch):
    monkeypatch.setattr(profile, "_LIMIT_S", 0.01)  # less than the start of the process takes
    with pytest.raises(RuntimeFailureError, match="did not answer in time while profiling"):
        profile_ops(file(adder()))
