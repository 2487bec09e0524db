"""What of a cluster can be checked without Ray: options, versions, needs, artifacts, shards, trust."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from tightfit.api.optimize import optimize
from tightfit.cli.optimize import optimize as command
from tightfit.data.python_objects import IterableData
from tightfit.demo import MODEL
from tightfit.distributed.artifacts import Artifact, digest, local_file
from tightfit.distributed.connection import refuse_closed, refuse_skew, versions
from tightfit.distributed.context import portable
from tightfit.distributed.needs import NEEDS, Node, processors
from tightfit.distributed.options import RayCluster
from tightfit.distributed.ray_executor import RayExecutor
from tightfit.distributed.sharded_accuracy import shard_bounds
from tightfit.distributed.training import worker_group
from tightfit.distributed.training_run import WorkerGroup
from tightfit.errors import OptionError, RuntimeFailureError
from tightfit.graph.signatures import input_names
from tightfit.pipeline.source import open_source
from tightfit.quantization.calibration.calibrate import calibrate, count_samples, merge_lanes, observe_lane
from tightfit.search.candidates.candidate import Candidate
from tightfit.search.candidates.recipes import find_recipes
from tightfit.search.job import Job
from tightfit.streaming.pairwise_sums import BLOCK
from tightfit.training.loop.batch_share import Share


@pytest.mark.parametrize("address", ["ray", "ray://head:10001", "10.0.0.7:6379"])
def test_addresses_of_clusters_are_accepted(address):
    assert RayCluster.of(address).address == address


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_a_port_that_is_closed_is_told_at_once(address):
    with pytest.raises(RuntimeFailureError, match=rf"Cannot reach the Ray cluster '{address}'"):
        refuse_closed(address)


@pytest.mark.parametrize("given", ["ray://", "http://head:1", "head", 7, "ray://head:10001/x"])
def test_other_addresses_are_refused_with_what_is_expected(given):
    with pytest.raises(OptionError, match="expected ray"):
        RayCluster.of(given)


def test_another_version_on_a_node_is_refused_by_name():
    other = versions() | {"ai-edge-litert": "9.9"}
    with pytest.raises(OptionError, match=r"'node7' runs ai-edge-litert 9.9"):
        refuse_skew(other, versions(), "node7")
    refuse_skew(versions(), versions(), "node7")


def test_a_task_never_asks_for_more_than_the_largest_node_has():
    nodes = [Node("a", "x", 1, 4e9), Node("b", "y", 2, 8e9)]
    for need in NEEDS.values():
        assert need.options(nodes, 10_000_000)["num_cpus"] <= 2
    with pytest.raises(RuntimeFailureError, match=r"largest node offers 8\.0 GB"):
        NEEDS["make"].options(nodes, 2_000_000_000)


def test_nodes_of_one_machine_offer_no_more_than_its_processors():
    raylets = [Node(f"raylet{i}", "laptop", 1, 4e9, address="10.0.0.1") for i in range(4)]
    assert processors(raylets, {}) == (4, False)
    assert processors(raylets, {("laptop", "10.0.0.1"): 2}) == (2, True)
    others = [Node(f"b{i}", "laptop", 1, 4e9, address=f"10.0.0.{i + 2}") for i in range(4)]
    assert processors(others, {node.machine: 2 for node in others}) == (4, False)


def test_an_artifact_is_fetched_once_and_checked(tmp_path):
    asked = []
    artifact = Artifact(digest(b"model"), "ref", "net.tflite")

    def fetch(reference):
        asked.append(reference)
        return b"model"

    path = local_file(artifact, fetch, tmp_path)
    assert (path.read_bytes(), path.name) == (b"model", "net.tflite")
    assert local_file(artifact, fetch, tmp_path) == path
    assert asked == ["ref"]
    path.write_bytes(b"damaged")
    assert local_file(artifact, fetch, tmp_path).read_bytes() == b"model"
    with pytest.raises(RuntimeFailureError, match="damaged"):
        local_file(Artifact(digest(b"other"), "ref", "o.tflite"), fetch, tmp_path)


def test_a_name_of_an_artifact_cannot_leave_the_folder(tmp_path):
    path = local_file(Artifact(digest(b"m"), None, "../../evil.tflite"), lambda _: b"m", tmp_path)
    assert path.parent == tmp_path / digest(b"m")


@pytest.mark.parametrize(("count", "shards"), [(1, 4), (BLOCK, 4), (5 * BLOCK + 1, 4), (9 * BLOCK, 2)])
def test_shards_cover_the_samples_in_whole_blocks(count, shards):
    bounds = list(shard_bounds(count, shards))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == count
    assert len(bounds) <= shards
    assert all(a[1] == b[0] and b[0] % BLOCK == 0 for a, b in itertools.pairwise(bounds))


def test_workers_of_a_training_share_a_batch_evenly():
    nodes = [Node(name, name, 2, 8e9) for name in "abc"]
    assert worker_group(nodes, None, 32) == WorkerGroup(2, 2)
    assert worker_group(nodes, 3, 33) == WorkerGroup(3, 2)
    assert worker_group(nodes, 6, 36) == WorkerGroup(6, 1)
    with pytest.raises(OptionError, match=r"32 samples cannot be shared by 3 workers; .* --batch 30"):
        worker_group(nodes, 3, 32)
    with pytest.raises(OptionError, match="the cluster has 6 processors"):
        worker_group(nodes, 8, 32)


def test_the_shares_of_a_batch_are_the_batch():
    assert [row for i in range(3) for row in Share(i, 3).of(list(range(12)))] == list(range(12))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="process descriptors are Linux's")
def test_a_worker_ends_with_its_raylet():
    raylet = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    code = (
        "import time; from tightfit.distributed.raylet_watch import end_with_raylet; end_with_raylet(); "
        "print('works', flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"RAY_RAYLET_PID": str(raylet.pid)},
        stdout=subprocess.PIPE,
    )
    assert worker.stdout.readline() == b"works\n"
    assert worker.poll() is None
    raylet.kill()
    assert worker.wait(20) == 1
    raylet.communicate()
    worker.stdout.close()


def of(data, **changes):
    return Job(MODEL, data, Path("out"), **changes)


def test_functions_of_the_user_need_trust(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def data():\n    return []\ndef score(o, l):\n    return [0.0]\n")
    monkeypatch.chdir(tmp_path)
    for job in (of("mine:data"), of("tightfit.demo:evaluation", metric="mine:score"), of(IterableData([1]))):
        with pytest.raises(OptionError, match="--trust-code"):
            portable(job, trust_code=False)


def test_paths_and_arrays_need_no_trust(tmp_path, monkeypatch):
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 3)))
    monkeypatch.chdir(tmp_path)
    assert portable(of("set.npz"), trust_code=False).data == str(tmp_path / "set.npz")
    assert portable(of("set.npz:x"), trust_code=False).data == f"{tmp_path / 'set.npz'}:x"
    pair = (np.zeros((2, 3)), np.zeros(2))
    assert portable(of(pair), trust_code=False).data is pair
    with pytest.raises(OptionError):
        portable(of(np.array([print], dtype=object)), trust_code=False)


def test_calibration_in_lanes_is_equal_to_the_last_bit():
    source = open_source(MODEL)
    shape = next(iter(source.model.main.inputs)).shape
    random = np.random.default_rng(3)
    (name,) = input_names(source.model)
    samples = [{name: random.normal(size=shape).astype(np.float32)} for _ in range(9)]
    alone = calibrate(source.model, samples, workers=3)
    lanes = [observe_lane(source.model, samples[i::3], i, 3) for i in range(3)]
    merged = merge_lanes(count_samples(source.model, samples), lanes)
    assert alone.statistics.keys() == merged.statistics.keys()
    for key, one in alone.statistics.items():
        other = merged.statistics[key]
        for field in ("low", "high", "average_low", "average_high", "samples"):
            assert getattr(one, field) == getattr(other, field), (key, field)
        assert (one.histogram()[0] == other.histogram()[0]).all()
    assert alone.places == merged.places


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--on", "http://head:1"], "expected ray"),
        (["--latency-on", "pi5"], "without --on"),
        (["--trust-code"], "without --on"),
        (["--on", "ray", "--latency-on", "a b"], "expected NAME of a Ray resource"),
    ],
)
def test_wrong_options_of_the_command_are_refused_before_anything_runs(tmp_path, words, expected):
    given = [
        str(MODEL),
        "--data",
        "tightfit.demo:evaluation",
        "-o",
        str(tmp_path / "out"),
        *words,
    ]
    with pytest.raises(OptionError, match=expected):
        CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_the_extra_the_command_names_it(tmp_path):
    with pytest.raises(OptionError, match=r"pip install 'tightfit\[ray\]'"):
        optimize(MODEL, "tightfit.demo:evaluation", tmp_path, cluster="ray")


def test_nothing_of_ray_is_imported_without_a_cluster():
    code = (
        "import sys, tightfit, tightfit.api.optimize, tightfit.cli.optimize; "
        "sys.exit('ray' in sys.modules or any(m.startswith('ray.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_workers_that_send_another_file_twice_fail_the_candidate():
    recipe, asked, forgotten = find_recipes(["float16"])[0], [], []
    made = Candidate("float16", "float16", sha256=digest(b"measured"))
    executor = RayExecutor.__new__(RayExecutor)
    executor.seen = None
    executor.submitter = SimpleNamespace(add=lambda key, *_, **__: asked.append(key))
    executor.queue = SimpleNamespace(result=lambda _: (made, b"another"), forget=forgotten.append)
    with pytest.raises(RuntimeFailureError, match="twice that is not the one they measured"):
        executor._made(made, recipe)
    assert len(asked) == 2
    assert forgotten == ["float16", "float16"]
