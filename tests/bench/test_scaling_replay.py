"""The simulation of a search on a cluster: times that can be computed by hand."""

from __future__ import annotations

import pytest

from replay import Machine, Replay, alone, measured_machine, measured_spread

FAST = Machine(1, 1e12, 0, start_s=0.0, dispatch_s=0.0)


def event(at, name, task="", wanted=True):
    return {"at": at, "event": name, "task": task, "wanted": wanted}


def script(*events, samples=1024, **seconds):
    tasks = [
        {"task": t.replace("_", "/"), "seconds": s, "elapsed": s, "bytes": 0} for t, s in seconds.items()
    ]
    return {"events": list(events), "tasks": tasks, "samples": samples}


def two(**options):
    begun = [event(0, "add", "make/a"), event(0, "add", "make/b"), event(0, "wait", "make/a")]
    return script(*begun, event(9, "got", "make/a"), event(9, "wait", "make/b"), event(9, "got", "make/b"),
                  make_a=4.0, make_b=4.0, **options)  # fmt: skip


@pytest.mark.parametrize(("workers", "seconds"), [(1, 8.0), (2, 4.0), (512, 4.0)])
def test_tasks_that_are_added_together_run_side_by_side(workers, seconds):
    assert Replay(two(), Machine(workers, 1e12, 0, 0.0, 0.0)).seconds() == pytest.approx(seconds)


def test_the_drivers_own_time_and_the_order_of_its_waits_are_kept():
    chain = script(
        event(0, "add", "make/a"), event(0, "wait", "make/a"), event(5, "got", "make/a"),
        event(7, "add", "make/b"), event(7, "wait", "make/b"), event(9, "got", "make/b"),
        make_a=4.0, make_b=4.0,
    )  # fmt: skip
    assert Replay(chain, Machine(8, 1e12, 0, 0.0, 0.0)).seconds() == pytest.approx(4 + 2 + 4)


def test_an_evaluation_has_as_many_shards_as_workers_and_no_more_than_blocks():
    whole = script(
        event(0, "add", "shard/a/0"), event(0, "wait", "shard/a/0"), event(9, "got", "shard/a/0"),
        shard_a_0=8.0,
    )  # fmt: skip
    times = [Replay(whole, Machine(n, 1e12, 0, 0.0, 0.0)).seconds() for n in (1, 2, 4, 64)]
    assert times == pytest.approx([8.0, 4.0, 2.0, 2.0])


def test_a_worker_starts_once_and_fetches_the_model_over_one_link():
    slow = Machine(2, 10.0, 20, start_s=1.0, dispatch_s=0.0)
    assert Replay(two(), slow).seconds() == pytest.approx(4 + 4), "the second model comes after 4 s"
    assert Replay(two(), Machine(1, 1e12, 0, 1.0, 0.0)).seconds() == pytest.approx(9)


def test_what_is_cancelled_takes_no_time_and_latency_waits_for_the_rest():
    held = script(
        event(0, "add", "make/a"), event(0, "add", "make/b", wanted=False), event(0, "cancel", "make/b"),
        event(0, "drain"), event(9, "add", "latency//1"), event(9, "wait", "latency//1"),
        event(12, "got", "latency//1"), event(12, "release"),
        make_a=4.0, make_b=99.0, latency__1=2.0,
    )  # fmt: skip
    assert Replay(held, FAST).seconds() == pytest.approx(6)


def test_the_spread_is_that_of_equal_shards():
    tasks = [{"task": f"shard/a/{i}", "seconds": s} for i, s in enumerate((1.0, 2.0, 4.0, 0.1))]
    assert measured_spread(tasks) == pytest.approx([1 / 1.5, 2 / 1.5, 4 / 1.5])


@pytest.mark.parametrize(("contention", "seconds"), [(0.0, 4.0), (0.5, 6.0), (1.0, 8.0)])
def test_workers_of_one_machine_slow_each_other_down(contention, seconds):
    machine = Machine(2, 1e12, 0, 0.0, 0.0, contention=contention)
    assert Replay(two(), machine).seconds() == pytest.approx(seconds)


def ran(name, worker, submitted, begin, end, cpu_seconds):
    times = {"at": end, "seconds": end - begin, "elapsed": end - submitted, "cpu_seconds": cpu_seconds}
    return {"task": name, "worker": worker, "bytes": 0, **times}


def test_times_are_those_without_others_beside_a_task():
    tasks = [
        ran("count", "host/1", 0.0, 2.0, 4.0, 3.0),
        ran("make/a", "host/1", 4.0, 4.5, 9.0, 4.5),
        ran("make/b", "host/2", 4.0, 4.5, 9.0, 4.5),
    ]
    freed, contention = alone({"tasks": tasks, "model_bytes": 7}, cores=2)
    assert contention == pytest.approx(0.5), "one task has 1.5 processors, each of two has one"
    assert [task["seconds"] for task in freed["tasks"]] == pytest.approx([2.0, 3.0, 3.0])
    single, lacking = alone({"tasks": tasks[:2], "model_bytes": 7}, cores=2)
    assert lacking == pytest.approx(2 * 7.5 / 6.5 / 2 - 1), "two would need more than both processors"
    assert [task["seconds"] for task in single["tasks"]] == pytest.approx([2.0, 4.5])
    machine = measured_machine({"tasks": tasks, "model_bytes": 7}, 2, 1e9)
    assert (machine.dispatch_s, machine.start_s) == pytest.approx((0.5, 0.0)), "the second began at once"
