from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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


def test_a_fork_of_a_process_works_though_another_thread_was_starting_a_template(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(negation())
    code = (
        "import os, signal, sys, numpy as np; from tightfit.runtime.child import template\n"
        "from tightfit.runtime.session import Session\n"
        "def answers():\n"
        "    with Session(sys.argv[1]) as session:\n"
        "        name = session.inputs[0].name\n"
        "        return (session.run({name: np.ones(session.inputs[0].shape, 'f')})['y'] == -1).all()\n"
        "assert answers()\n"
        "with template._lock:  # as another thread may hold it at the fork\n"
        "    forked = os.fork()\n"
        "    if forked == 0:\n"
        "        signal.alarm(30)  # its default ends the fork\n"
        "        try: os._exit(0 if answers() else 1)\n"
        "        finally: os._exit(2)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))\n"
    )
    words = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(words, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_template_ends_with_its_owner_though_a_fork_of_that_lives_on(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(negation())
    code = (
        "import os, sys, threading, time; from tightfit.runtime.session import Session\n"
        "found = []\n"
        "thread = threading.Thread(target=lambda: found.append(Session(sys.argv[1])))\n"
        "thread.start(); thread.join()\n"  # whose end must not end the template
        "forked = os.fork()\n"
        "if forked: print(found[0]._exchange._child._process.pid, forked, flush=True)\n"
        "time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(model)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SRC)}) as running:
        assert running.stdout is not None
        process, forked = map(int, running.stdout.readline().split())
        processes = [process, parent_of(process)]
        running.kill()
        try:
            wait_for_the_end_of(processes)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_a_template_starts_where_a_thousand_files_are_open(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(negation())
    code = (
        "import os, resource, sys; from tightfit.runtime.session import Session\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "kept = [os.dup(0) for _ in range(1100)]\n"
        "for _ in range(2):\n"
        "    with Session(sys.argv[1]): pass\n"
    )
    words = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(words, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_fork_that_fails_ends_no_other_worker(monkeypatch):
    code = (
        f"import errno, os, sys; sys.path[:0] = [{str(SRC)!r}]\n"
        "real, calls = os.fork, []\n"
        "def fork():\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
        "    return real()\n"
        "os.fork = fork\n"
        "from tightfit.runtime.child import forking; forking.main()\n"
    )
    monkeypatch.setattr(template, "_template", None)
    command = [sys.executable, "-c", code]
    monkeypatch.setattr(template.process, "command", lambda _, arguments, *__, **___: [*command, *arguments])
    with Session(negation()) as kept:
        with pytest.raises(RuntimeFailureError, match="Resource temporarily unavailable"):
            Session(negation())
        np.testing.assert_array_equal(kept.run(GIVEN)["y"], -GIVEN["x"])
    monkeypatch.setattr(template, "_template", None)


def test_all_threads_that_wait_for_a_worker_are_told_the_same_end(monkeypatch):
    real = os.read

    def slow(descriptor: int, count: int) -> bytes:
        data = real(descriptor, count)
        time.sleep(0.05 if data else 0)  # what comes after is the end of the pipe
        return data

    with Session(negation()) as session, ThreadPoolExecutor(4) as threads:
        running = session._exchange._child._process
        process = running.pid
        monkeypatch.setattr(os, "read", slow)
        told = [threads.submit(running.wait, 20) for _ in range(4)]
        os.kill(process, signal.SIGSEGV)
        assert [each.result() for each in told] == [-signal.SIGSEGV] * 4
