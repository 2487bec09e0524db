"""A search on four raylets: the choice and the files of the search on one machine."""

from __future__ import annotations

import hashlib
import json

import pytest

from tightfit.api.evaluate import evaluate
from tightfit.api.optimize import optimize
from tightfit.demo import MODEL
from tightfit.distributed import submitter
from tightfit.distributed.options import RayCluster
from tightfit.distributed.task_queue import TaskQueue
from tightfit.errors import OptionError
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.search.job import Job
from tightfit.search.verdict.budget import Budget

pytestmark = pytest.mark.filterwarnings("default")


def job(folder, **changes):
    """A search of which one file is small enough: the choice does not depend on latency."""
    settings = {
        "model": MODEL, "data": "tightfit.demo:evaluation", "output": folder, "evaluation": 60,
        "calibration": 20, "recipes": ("float16", "int8+gptq"), "budget": Budget(max_size=250_000),
    }  # fmt: skip
    return Job(**{**settings, **changes})


def files(folder):
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((folder / "candidates").iterdir())
    }


MEASURED = (
    "name", "steps", "size_bytes", "compressed_bytes", "accuracy", "drop", "drop_interval", "agreement",
    "snr_db", "metrics", "outputs", "plan_summary", "layer_error", "sha256", "gain", "failure",
    "meets_budget",
)  # fmt: skip


def differences(one, other):
    pairs = zip(one.candidates, other.candidates, strict=True)
    every = [(a.name, name, getattr(a, name), getattr(b, name)) for a, b in pairs for name in MEASURED]
    return [each for each in every if each[2] != each[3]]


def test_a_search_on_raylets_has_the_choice_and_the_files_of_one_machine(raylets, tmp_path):
    alone = optimize(job(tmp_path / "alone"))
    there = optimize(job(tmp_path / "there"), cluster=raylets.address)
    assert files(tmp_path / "alone") == files(tmp_path / "there")
    assert not differences(alone, there)
    assert alone.best == there.best
    assert all(c.latency_ratio for c in there.candidates)
    assert any("latency:here" in note for note in there.notes)


def test_an_evaluation_in_shards_is_that_of_one_process_also_through_rays_client(raylets, tmp_path):
    quantize_file(MODEL, "weight8", tmp_path / "small.tflite")
    models, data = [MODEL, tmp_path / "small.tflite"], "tightfit.demo:evaluation"
    options = {"metric": "top1,cosine", "limit": 600}
    there = evaluate(models, data, on=raylets.address, **options)
    assert there.to_dict() == evaluate(models, data, **options).to_dict()
    assert there.to_dict() == evaluate(models, data, on=raylets.client_address, **options).to_dict()
    with pytest.raises(OptionError, match="trust_code"):
        evaluate(MODEL, data, metric=len, on=RayCluster(raylets.address))


class LyingQueue(TaskQueue):
    """A queue whose workers damage the file that they send, the first ``lies`` times."""

    lies = 1

    def result(self, task, possible=None):
        found = super().result(task, possible)
        if task.key[0] == "make" and self.lies:
            self.lies -= 1
            return found[0], found[1][:-1] + bytes([found[1][-1] ^ 1])
        return found


def test_a_search_through_rays_client_survives_a_node_that_sends_another_file(raylets, tmp_path, monkeypatch):
    monkeypatch.setattr(submitter, "TaskQueue", LyingQueue)
    few = {"recipes": ("float16", "weight8")}
    there = optimize(job(tmp_path / "there", **few), cluster=raylets.client_address)
    alone = optimize(job(tmp_path / "alone", **few))
    assert files(tmp_path / "alone") == files(tmp_path / "there")
    assert not differences(alone, there)
    made = [t["task"] for t in json.loads((tmp_path / "there" / "tasks.json").read_text())["tasks"]]
    assert made.count("make/float16") == 2  # the first one was another file than its worker measured
