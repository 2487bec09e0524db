from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from support.places import SRC
from support.small_models import negation
from tightfit.errors import RuntimeFailureError
from tightfit.runtime.child import template
from tightfit.runtime.session import Session

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only: workers are forked")

GIVEN = {"x": np.ones((1, 4), np.float32)}


class Variables:
    """Keeps two variables of the child's environment."""

    def update(self, array: np.ndarray) -> None:
        del array
        self.seen = {name: os.environ.get(name) for name in ("TIGHTFIT_TEST_NEW", "TIGHTFIT_TEST_GONE")}


def worker(session: Session) -> int:
    return session._exchange._child._process.pid


def parent_of(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("PPid:")[1].split()[0])


def wait_for_the_end_of(processes: list[int]) -> None:
    for _ in range(200):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return
        time.sleep(0.05)
    pytest.fail("a process is left")


def test_the_workers_of_a_process_are_forks_of_one_template():
    with Session(negation()) as first, Session(negation()) as second:
        assert worker(first) != worker(second)
        assert parent_of(worker(first)) == parent_of(worker(second)) != os.getpid()


def test_a_worker_starts_at_most_a_quarter_of_a_fresh_start():
    with Session(negation()):
        pass  # the template is up
    forked, fresh = [], []
    for _ in range(3):
        start = time.perf_counter()
        with Session(negation()):
            forked.append(time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import ai_edge_litert.interpreter"], check=True)
        fresh.append(time.perf_counter() - start)
    assert min(forked) < min(fresh) / 4


def test_a_worker_has_the_variables_of_its_start_not_of_the_templates(monkeypatch):
    monkeypatch.setenv("TIGHTFIT_TEST_GONE", "old")
    monkeypatch.setattr(template, "_template", None)
    with Session(negation()):
        pass  # starts the template
    monkeypatch.delenv("TIGHTFIT_TEST_GONE")
    monkeypatch.setenv("TIGHTFIT_TEST_NEW", "1")
    with Session(negation()) as session:
        seen = session.observe([GIVEN], {"y": Variables()})["y"].seen
    assert seen == {"TIGHTFIT_TEST_NEW": "1", "TIGHTFIT_TEST_GONE": None}


def test_the_signal_that_ends_a_worker_is_told():
    with Session(negation()) as session:
        os.kill(worker(session), signal.SIGKILL)
        with pytest.raises(RuntimeFailureError, match="died with SIGKILL"):
            session.run(GIVEN)


def test_a_session_survives_the_end_of_another_sessions_worker():
    with Session(negation()) as kept, Session(negation()) as killed:
        os.kill(worker(killed), signal.SIGSEGV)
        np.testing.assert_array_equal(kept.run(GIVEN)["y"], -GIVEN["x"])


def test_a_killed_template_ends_its_sessions_and_the_next_one_gets_another():
    with Session(negation()) as session:
        first = parent_of(worker(session))
        process = worker(session)
        os.kill(first, signal.SIGKILL)
        wait_for_the_end_of([process])
        with pytest.raises(RuntimeFailureError, match="died with SIGKILL"):
            session.run(GIVEN)
    for _ in range(2):  # the first may notice it only now, and is started without a template
        with Session(negation()) as again:
            np.testing.assert_array_equal(again.run(GIVEN)["y"], -GIVEN["x"])
            assert parent_of(worker(again)) != first


def test_more_variables_than_a_request_holds_reach_the_worker(monkeypatch):
    monkeypatch.setenv("TIGHTFIT_TEST_NEW", "n" * template.MOST_BYTES)
    with Session(negation()) as session:
        seen = session.observe([GIVEN], {"y": Variables()})["y"].seen
    assert len(seen["TIGHTFIT_TEST_NEW"]) == template.MOST_BYTES


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_template_and_worker_end_with_the_process_that_started_them(end, tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(negation())
    code = (
        "import sys, time; from tightfit.runtime.session import Session\n"
        "session = Session(sys.argv[1])\n"
        "print(session._exchange._child._process.pid, flush=True)\n"
        + ("" if end is None else "time.sleep(60)\n")
    )
    words = [sys.executable, "-c", code, str(model)]
    running = subprocess.Popen(
        words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env={"PYTHONPATH": str(SRC)}
    )
    assert running.stdout is not None
    process = int(running.stdout.readline())
    processes = [process] if end is None else [process, parent_of(process)]
    if end is not None:
        running.send_signal(end)
    running.communicate()
    wait_for_the_end_of(processes)
