"""What a cluster refuses and survives; one small cluster serves all tests."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_search_on_raylets import differences, files, job

from raylets import STORE_BYTES, Raylets
from support.places import ROOT
from tightfit.api.optimize import optimize
from tightfit.data.sample import InputSpec
from tightfit.data.sources import open_data
from tightfit.data.tables.ray_blocks import RayBlocks
from tightfit.distributed import connection, task_queue
from tightfit.distributed.connection import Connection
from tightfit.distributed.latency_node import LatencyNode
from tightfit.distributed.options import RayCluster
from tightfit.distributed.task_queue import Task
from tightfit.distributed.tasks import Answer
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.search.executor import ExecutorLostError
from tightfit.search.job import INTERRUPTED, NullProgress
from tightfit.search.verdict.budget import Budget

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def connected(raylets):
    found = Connection(RayCluster(raylets.address))
    yield found
    found.close()


def test_another_version_on_the_nodes_is_refused_before_anything_runs(raylets, monkeypatch):
    monkeypatch.setattr(connection, "__version__", "9.9")
    with pytest.raises(OptionError, match=r"runs tightfit .*, and the driver 9\.9"):
        Connection(RayCluster(raylets.address))


def test_a_dataset_of_ray_is_read_by_index_without_its_order_changing(connected):
    data = pytest.importorskip("ray.data")
    x = np.arange(48, dtype=np.float32).reshape(12, 4)
    dataset = data.from_items([{"x": x[i], "y": i % 3} for i in range(12)], override_num_blocks=3)
    blocks = RayBlocks(dataset)
    assert sum(blocks.counts) == 12
    opened = open_data(blocks, inputs=[InputSpec("in", (1, 4), "float32")])
    assert [s.inputs["in"][0].tolist() for s in opened.samples([1, 7, 11])] == x[[1, 7, 11]].tolist()
    assert opened.labels().tolist() == [i % 3 for i in range(12)]
    assert connected.nodes()


def test_a_limit_on_latency_needs_a_node_that_measures_it(connected, monkeypatch):
    assert LatencyNode(connected, Budget(max_latency=5.0)).name == "here"
    monkeypatch.setattr(connected, "latency_nodes", list)
    assert "not measured" in LatencyNode(connected, Budget()).notes[0]
    with pytest.raises(OptionError, match="no node of the cluster measures it"):
        LatencyNode(connected, Budget(max_latency=5.0))


def test_an_unknown_latency_resource_is_refused_with_those_there_are(raylets):
    found = Connection(RayCluster(raylets.address, latency="pi5"))
    try:
        with pytest.raises(OptionError, match=r"latency:pi5 \(there are: here\)"):
            found.latency_nodes()
    finally:
        found.close()


def test_a_cluster_that_is_not_there_is_told():
    pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'tightfit[ray]'")
    with pytest.raises(RuntimeFailureError, match="Cannot reach the Ray cluster"):
        Connection(RayCluster("127.0.0.1:1"))


def test_what_the_object_store_cannot_hold_goes_to_disk_and_a_full_disk_is_told(connected, monkeypatch):
    ray = connected.ray
    large = np.zeros(2 * STORE_BYTES, np.uint8)
    task = ray.remote(num_cpus=1)(lambda array: array.size)
    assert ray.get(task.remote(connected.put(large))) == large.size

    def full(_value):
        raise ray.exceptions.OutOfDiskError

    monkeypatch.setattr(ray, "put", full)
    with pytest.raises(RuntimeFailureError, match=r"object store .* is full, on disk too"):
        connected.put(large)


def test_a_search_without_a_node_for_its_task_waits_and_then_ends(connected, monkeypatch):
    monkeypatch.setattr(task_queue, "LOST_S", 1.0)
    queue = task_queue.TaskQueue(connected)
    remote = connected.ray.remote(num_cpus=0, resources={"nowhere": 1})(lambda given: given)
    task = queue.add_now(("nowhere",), lambda: remote.remote(b""))
    with pytest.raises(ExecutorLostError, match="no node for a task for 1 s"):
        queue.result(task, lambda: False)
    queue.close()


def answering(ray):
    """A kind of task that answers with a value after some seconds; workers do not have this module."""

    def answered(value, seconds=0.0):
        time.sleep(seconds)
        return Answer(pickle.dumps(value), seconds=seconds)

    return ray.remote(num_cpus=1)(answered)


@pytest.fixture
def queue(connected):
    found = task_queue.TaskQueue(connected)
    yield found
    found.close()


def runs(raylets):
    """Whether such a task runs on a worker."""
    return any("ray::" in words and "answered" in words for _, words in raylets.processes().values())


def test_a_cancelled_task_ends_and_counts_nowhere(queue, raylets):
    remote = answering(queue.ray)
    long = queue.add(Task(("shard", "int8", "0"), lambda: remote.remote("late", 300.0), wanted=True))
    marks = [("shard", "float16", "0"), ("shard", "float16", "1")]
    kept = [queue.add(Task(key, lambda: remote.remote("kept"), wanted=True)) for key in marks]
    assert [queue.result(task) for task in kept] == ["kept", "kept"]
    assert runs(raylets)
    queue.forget("int8")
    assert long.key not in queue.tasks
    end = time.monotonic() + 20
    while runs(raylets):
        assert time.monotonic() < end
        time.sleep(0.2)
    script = queue.script.to_dict()
    assert [task["task"] for task in script["tasks"]] == ["shard/float16/0", "shard/float16/1"]
    assert ("cancel", "shard/int8/0") in [(e["event"], e["task"]) for e in script["events"]]


@pytest.mark.parametrize("cause", ["times of others", "a lost node"])
def test_a_task_on_a_slow_node_runs_a_second_time_and_counts_once(queue, monkeypatch, cause):
    remote, tries, counted = answering(queue.ray), [], []

    def start():
        tries.append(remote.remote(len(tries), 0.0 if tries else 300.0))
        return tries[-1]

    limits = {"SLOW_S": 1.0} if cause == "times of others" else {"SUSPECT_S": 0.5}
    for name, value in limits.items():
        monkeypatch.setattr(task_queue, name, value)
    task = queue.add(Task(("shard", "int8", "0"), start, wanted=True, cpus=2, taken=counted.append))
    if cause == "a lost node":
        queue._known |= {"one that is gone"}
    begun = time.monotonic()
    assert queue.result(task) == 1
    assert time.monotonic() - begun < 60
    assert counted == tries[1:]
    assert len(queue.script.to_dict()["tasks"]) == 1


class Stopping(NullProgress):
    """Presses Ctrl-C when the second file is begun."""

    def stage(self, name, total):  # noqa: ARG002 - the listener's signature
        if name.startswith("int8+gptq: file"):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)


@pytest.mark.slow
def test_an_interrupted_search_ends_whole_and_goes_on(raylets, tmp_path):
    report = optimize(job(tmp_path), Stopping(), cluster=raylets.address)
    assert report.ending == INTERRUPTED
    assert not list((tmp_path / "candidates").glob(".tightfit-*"))
    assert json.loads((tmp_path / "tasks.json").read_text())["tasks"]
    assert not raylets.orphans()
    again = optimize(job(tmp_path), cluster=raylets.address)
    alone = optimize(job(tmp_path / "alone"))
    assert files(tmp_path) == files(tmp_path / "alone")
    assert not differences(alone, again)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_raylet_that_is_killed_or_hangs_does_not_change_the_result(raylets, tmp_path, sent):
    class Killing(NullProgress):
        def stage(self, name, total):  # noqa: ARG002 - the listener's signature
            if name.startswith("int8+gptq: file"):
                raylets.kill((raylets.busy(within_s=20) or [0])[0], sent)

    there = optimize(job(tmp_path / "there"), Killing(), cluster=raylets.address)
    alone = optimize(job(tmp_path / "alone"))
    raylets.replace()
    assert files(tmp_path / "alone") == files(tmp_path / "there")
    assert not differences(alone, there)


@pytest.mark.slow
def test_tasks_that_were_sent_to_a_hanging_node_end_soon_after_it_is_given_up(raylets, connected):
    queue = task_queue.TaskQueue(connected)
    raylets.kill(0, signal.SIGSTOP)
    remote, begun = answering(connected.ray), time.monotonic()
    keys = [("shard", "int8", str(number)) for number in range(4)]
    tasks = [queue.add(Task(key, lambda: remote.remote("done", 1.0), wanted=True)) for key in keys]
    assert [queue.result(task) for task in tasks] == ["done"] * 4
    assert time.monotonic() - begun < 150, "Ray alone waited for 7 minutes"
    queue.close()
    raylets.replace()


@pytest.mark.slow
def test_a_search_whose_head_is_killed_goes_on_with_another_head(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'tightfit[ray]'")
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
    first = Raylets(1)
    words = [sys.executable, str(ROOT / "bench" / "cluster_kills.py"), "--search", str(tmp_path / "there")]
    driver = subprocess.Popen([*words, "--address", first.address], stderr=subprocess.DEVNULL)
    made = tmp_path / "there" / "candidates" / "float16.tflite"
    while not made.exists() and driver.poll() is None:
        time.sleep(0.1)
    first.kill_head()
    assert driver.wait(120) != 0
    assert not list((tmp_path / "there").rglob(".tightfit-*.tflite"))
    with contextlib.suppress(Exception):  # its head is gone already
        first.close()
    second = Raylets(1)
    there = optimize(job(tmp_path / "there"), cluster=second.address)
    second.close()
    alone = optimize(job(tmp_path / "alone"))
    assert files(tmp_path / "alone") == files(tmp_path / "there")
    assert not differences(alone, there)
