from __future__ import annotations

import gc
import importlib
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from support.places import SRC
from support.small_models import (
    OFFSET,
    Ender,
    Hoarder,
    Refuser,
    Sleeper,
    Totals,
    adder,
    dense,
    negation,
    remainder,
    twins,
    two_signatures,
)
from tightfit.errors import DataError, ModelError, RuntimeFailureError
from tightfit.runtime.child import child_process as child
from tightfit.runtime.child.crash import first_failing, locate_crash
from tightfit.runtime.child.sample_groups import SampleGroups
from tightfit.runtime.session import Session


def sample(value: float) -> dict[str, np.ndarray]:
    return {"left": np.full((1, 4), value, np.float32), "right": np.ones((1, 4), np.float32)}


@pytest.fixture(scope="module")
def session():
    with Session(adder()) as opened:
        yield opened


def test_outputs_carry_the_signatures_names(session):
    outputs = session.run(sample(2.0))
    assert [spec.name for spec in session.inputs] == ["left", "right"]
    assert session.signatures == ("serving_default",)
    np.testing.assert_array_equal(outputs["half"], np.full((1, 4), 3.0))
    np.testing.assert_array_equal(outputs["sum"], 3.0 + OFFSET)


def test_without_a_signature_a_repeated_name_is_numbered():
    with Session(twins()) as twin:
        outputs = twin.run({"x": [[1.0, -2.0]], "x#2": [[1.0, -2.0]]})
    np.testing.assert_array_equal(outputs["y"], [[-1.0, 2.0]])
    np.testing.assert_array_equal(outputs["y#2"], [[1.0, 2.0]])


def test_a_path_and_its_bytes_run_alike(tmp_path, session):
    path = tmp_path / "adder.tflite"
    path.write_bytes(adder())
    with Session(path, threads=2, delegate=False) as from_path:
        np.testing.assert_array_equal(from_path.run(sample(0.5))["sum"], session.run(sample(0.5))["sum"])


def test_run_many_keeps_the_order(session):
    firsts = [float(outputs["half"][0, 0]) for outputs in session.run_many(map(sample, range(300)))]
    assert firsts == [value + 1.0 for value in range(300)]
    assert list(session.run_many([])) == []


def test_small_samples_share_a_message_and_large_or_slow_ones_do_not():
    def sizes(count, answer_bytes, seconds):
        groups, found = SampleGroups(map(sample, range(count)), answer_bytes), []
        for group in groups:
            found.append(len(group))
            groups.took(seconds)
        return found

    assert sizes(200, 16, 1e-4) == [1, 2, 4, 8, 16, 32, 64, 64, 9]
    assert sizes(20, 100_000, 1e-4) == [1, *[2] * 9, 1]
    assert sizes(5, 1_000_000, 1e-4) == sizes(5, 16, 1.0) == [1] * 5


def test_every_sample_of_a_message_is_tried_for_the_op_that_a_child_died_on(monkeypatch):
    tried = []

    def locate(_model, given, **_options):
        tried.append(float(given["left"][0, 0]))
        return "It died on op 3." if tried[-1] == 5.0 else None

    monkeypatch.setattr("tightfit.runtime.session.locate_crash", locate)
    victim = Session(adder())
    with pytest.raises(RuntimeFailureError, match=r"SIGFPE while running .* It died on op 3\."):
        victim.observe(map(sample, range(20)), {"half": Ender(signal.SIGFPE, after=5)})
    assert tried[-1] == 5.0


def test_other_calls_may_come_between_the_results_of_run_many(session):
    results = session.run_many(map(sample, (10.0, 20.0)))
    assert next(results)["half"][0, 0] == 11.0
    assert session.run(sample(5.0))["half"][0, 0] == 6.0
    assert next(results)["half"][0, 0] == 21.0


def test_a_run_many_that_is_left_early_does_not_disturb_the_next_call(session):
    for _ in session.run_many(map(sample, range(5))):
        break
    assert session.run(sample(7.0))["half"][0, 0] == 8.0


def test_samples_and_results_larger_than_a_pipe_do_not_block_each_other():
    shape = (1, 3_000_000)
    with Session(negation(shape), timeout_s=60.0) as big:
        samples = ({"x": np.full(shape, i, np.float32)} for i in range(4))
        assert [float(outputs["y"][0, -1]) for outputs in big.run_many(samples)] == [0.0, -1.0, -2.0, -3.0]


def test_a_sample_may_bring_another_size():
    with Session(negation()) as resizable:
        assert resizable.run({"x": np.ones((3, 4), np.float32)})["y"].shape == (3, 4)
        assert resizable.run({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 4)


def test_a_size_that_the_model_cannot_take_is_refused_and_forgotten(session):
    odd = {name: np.ones((1, 3), np.float32) for name in ("left", "right")}
    with pytest.raises(DataError, match=r"cannot run on the shapes 'left' \[1, 3\].*says 'left' \[1, 4\]"):
        session.run(odd)
    assert session.run(sample(1.0))["half"][0, 0] == 2.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"left": np.ones((1, 4), np.float32)}, "has the inputs 'left'; the model takes 'left', 'right'"),
        (sample(0) | {"middle": np.ones(1)}, "'middle'"),
        (sample(0) | {"left": np.ones(4, np.float32)}, r"takes an array of shape \[1, 4\], received \[4\]"),
        (sample(0) | {"left": np.array([["a"] * 4])}, "takes float32, received <U1"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_in_words(session, wrong, words):
    with pytest.raises(DataError, match=words):
        session.run(wrong)


def test_reals_are_not_cut_to_integers():
    with Session(remainder()) as integers:
        fitting = {"x": np.array([[7, 8]], np.int64), "y": np.array([[4, 4]], np.uint8)}
        np.testing.assert_array_equal(integers.run(fitting)["remainder"], [[3, 0]])
        for wrong in (np.array([[0.5, 1.0]]), np.array([[2**40, 1]])):
            with pytest.raises(DataError, match="takes int32"):
                integers.run(fitting | {"x": wrong})


def test_a_signature_may_be_chosen():
    with Session(two_signatures()) as default:
        assert default.signatures == ("negate", "magnitude")
        assert default.run({"x": [[3.0, -4.0]]})["y"].tolist() == [[-3.0, 4.0]]
    with Session(two_signatures(), signature="magnitude") as chosen:
        assert chosen.run({"x": [[3.0, -4.0]]})["y"].tolist() == [[3.0, 4.0]]
        assert len(chosen.time(2)) == 2
        seen = chosen.observe([{"x": np.array([[3.0, -4.0]])}], {"y": Totals()})
        assert seen["y"].sums == [7.0]
    with pytest.raises(RuntimeFailureError, match=r"no signature 'train' .*'negate', 'magnitude'"):
        Session(two_signatures(), signature="train")


def test_what_litert_refuses_is_said_in_its_own_words(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("this is not a model")
    with pytest.raises(RuntimeFailureError, match=r"text\.tflite' while loading it: .*[Ff]latbuffer"):
        Session(path)


def test_a_missing_file_is_named():
    with pytest.raises(ModelError, match="nowhere"):
        Session("nowhere.tflite")


def test_a_child_that_ends_itself_is_told_by_its_signal_and_ends_only_its_session(session):
    victim = Session(adder())
    with pytest.raises(RuntimeFailureError, match=r"died with SIGFPE while running"):
        victim.observe(map(sample, range(4)), {"half": Ender(signal.SIGFPE, after=2)})
    with pytest.raises(RuntimeFailureError, match="SIGFPE"):
        victim.run(sample(1.0))
    assert session.run(sample(1.0))["half"][0, 0] == 2.0


def test_the_op_that_fails_is_found_by_bisection():
    tried = []

    def fails(count):
        tried.append(count)
        return count >= 37

    assert first_failing(100, fails, math.inf) == 37
    assert len(tried) <= 8
    assert first_failing(100, lambda _: False, math.inf) is None
    assert first_failing(100, fails, -math.inf) is None


def test_a_model_that_runs_when_it_is_tried_again_names_no_op():
    assert locate_crash(adder(), sample(1.0)) is None


def test_a_child_that_does_not_answer_is_given_up():
    slow = Session(adder(), timeout_s=5.0)
    start = time.monotonic()
    with pytest.raises(RuntimeFailureError, match="did not answer in time while running"):
        slow.observe([sample(1.0)], {"half": Sleeper()})
    assert time.monotonic() - start < 30.0
    assert slow._exchange._child._process.returncode is not None


def test_no_child_outlives_its_session():
    left, dropped = Session(negation()), Session(negation())
    processes = [left._exchange._child._process, dropped._exchange._child._process]
    with pytest.raises(ZeroDivisionError), left:
        raise ZeroDivisionError
    del dropped
    gc.collect()
    assert all(process.returncode is not None for process in processes)
    left.close()
    with pytest.raises(RuntimeFailureError, match="closed"):
        left.run({"x": np.zeros((1, 4))})


def test_no_child_outlives_a_model_that_is_refused(monkeypatch):
    started = []
    original = Session._load

    def load(self, *arguments):
        started.append(self._exchange._child)
        return original(self, *arguments)

    monkeypatch.setattr(Session, "_load", load)
    with pytest.raises(RuntimeFailureError):
        Session(b"nonsense")
    assert started[0]._process.returncode is not None


def test_an_interrupt_from_the_terminal_does_not_reach_the_child(session):
    assert os.getsid(session._exchange._child._process.pid) != os.getsid(0)


def test_a_prepared_child_is_taken_by_the_next_session():
    child.prepare()
    child.prepare()
    (ready,) = child._spare
    with Session(negation()) as quick:
        assert quick._exchange._child is ready


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.. was called:RuntimeWarning")  # of JAX, once it is loaded
def test_a_fork_neither_takes_nor_ends_the_children_of_its_parent(session):
    child.prepare()
    (ready,) = child._spare
    pid = os.fork()
    if pid == 0:
        taken = child.take()
        taken.close()
        session.close()
        os._exit(0 if taken is not ready else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert session.run(sample(1.0))["half"][0, 0] == 2.0
    with Session(negation()) as next_one:
        assert next_one._exchange._child is ready


def test_files_beside_a_users_script_do_not_stand_in_for_the_standard_library(tmp_path, monkeypatch):
    (tmp_path / "struct.py").write_text("raise SystemExit('the wrong struct')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Session(negation()) as unharmed:
        assert unharmed.run({"x": np.ones((1, 4))})["y"][0, 0] == -1.0


def test_observers_see_every_sample_in_order(session):
    seen = session.observe(map(sample, range(3)), {"half": Totals(), "#1": Totals(), "s": Totals()})
    offset = float(OFFSET.sum())
    assert seen["half"].sums == [4 * (i + 1.0) for i in range(3)]
    assert seen["#1"].sums == seen["s"].sums == [4 * (i + 1.0) + offset for i in range(3)]


def test_an_output_that_does_not_exist_cannot_be_observed(session):
    with pytest.raises(DataError, match="no output 'nothing'"):
        session.observe([sample(1.0)], {"nothing": Totals()})


@pytest.mark.parametrize(
    ("observer", "words"),
    [(Hoarder(), "must copy what it keeps"), (Refuser(), "observer of 'half' failed: ValueError: no array")],
)
def test_a_fault_of_an_observer_is_told_as_such(observer, words):
    with (
        Session(adder()) as observed,
        pytest.raises(RuntimeFailureError, match=words),
    ):
        observed.observe(map(sample, range(3)), {"half": observer})


def test_an_observer_that_the_child_cannot_import_is_told_as_such(session, tmp_path, monkeypatch):
    (tmp_path / "late_observers.py").write_text("class Late:\n    def update(self, array): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # after the session's child was started
    late = importlib.import_module("late_observers").Late()
    with pytest.raises(RuntimeFailureError, match=r"cannot take or give.*late_observers"):
        session.observe([sample(1.0)], {"half": late})


def test_timing_counts_the_runs_but_not_the_warmup(session):
    milliseconds = session.time(5, warmup=3, inputs=sample(1.0))
    assert len(milliseconds) == 5
    assert all(0.0 < ms < 10_000.0 for ms in milliseconds)


def test_memory_holds_the_weights_and_nothing_of_the_parent():
    weights_bytes = 4 * 4096 * 2048
    ballast = np.ones(60_000_000)  # 480 MB in this process
    with Session(dense(4096, 2048)) as heavy:
        heavy.time(1)
        own_bytes = heavy.peak_memory_bytes - heavy.memory_before_load_bytes
        assert weights_bytes < own_bytes < 4 * weights_bytes
        assert heavy.peak_memory_bytes < ballast.nbytes


def test_importing_the_session_does_not_load_litert():
    code = "import sys, tightfit.runtime.session; print('ai_edge_litert.interpreter' in sys.modules)"
    root = str(SRC)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stdout.strip() == "False"
