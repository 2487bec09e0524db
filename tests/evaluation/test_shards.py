"""An evaluation in shards gives the numbers of one process, to the last bit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from tightfit.data.sources import open_data
from tightfit.demo import MODEL
from tightfit.evaluation.accuracy import PROBES, evaluate, understand
from tightfit.evaluation.metrics.spelling import parse_metrics
from tightfit.evaluation.scoring import score_shard
from tightfit.pipeline.quantize_file import quantize_file
from tightfit.runtime.session import Session
from tightfit.streaming.pairwise_sums import BLOCK, PairwiseSum

COUNT = 2 * BLOCK + 44


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    weights = tmp_path_factory.mktemp("shards") / "weight8.tflite"
    quantize_file(MODEL, "weight8", weights)
    return [MODEL, weights]


@pytest.fixture(scope="module")
def dataset():
    with Session(MODEL) as session:
        (spec,) = session.inputs
    random = np.random.default_rng(5)
    x = random.uniform(-1, 1, (COUNT, *spec.shape[1:])).astype(np.float32)
    return open_data((x, random.integers(0, 4, COUNT)), inputs=[spec])


def sharded(models, dataset, metric, bounds):
    wanted = parse_metrics(metric)
    tasks = understand(models[0], dataset, None, wanted, PROBES)
    parts = [score_shard(models, dataset, range(a, b), tasks, first=a) for a, b in bounds]
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0].accuracies((*dataset.notes, *tasks.reading.notes))


@pytest.mark.parametrize("metric", ["top1,cosine,snr", "f1,auc"])
def test_shards_that_begin_at_blocks_merge_to_the_numbers_of_one_process(models, dataset, metric):
    alone = evaluate(models, dataset, metric=metric)
    bounds = [(0, BLOCK), (BLOCK, 2 * BLOCK), (2 * BLOCK, COUNT)]
    for one, other in zip(alone, sharded(models, dataset, metric, bounds), strict=True):
        for field in fields(one):
            mine, theirs = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(mine, theirs) if field.name == "scores" else mine == theirs, field.name


@pytest.mark.parametrize("count", [1, BLOCK, 5 * BLOCK + 3, 11 * BLOCK])
def test_pairwise_sums_do_not_depend_on_the_shards(count):
    values = np.random.default_rng(count).normal(size=(count, 3)) * 10.0 ** np.arange(3)
    whole = PairwiseSum()
    for value in values:
        whole.add(value)
    for size in (BLOCK, 2 * BLOCK, 3 * BLOCK):
        merged = PairwiseSum()
        for start in range(0, count, size):
            part = PairwiseSum(start)
            for value in values[start : start + size]:
                part.add(value)
            merged.merge(part)
        assert (merged.total() == whole.total()).all()
    assert np.allclose(whole.total(), values.sum(axis=0), rtol=1e-12, atol=1e-9)


def test_samples_without_a_value_keep_the_blocks_in_place():
    sparse, part = PairwiseSum(), PairwiseSum(2 * BLOCK)
    sparse.add(1.0, at=3)
    part.add(2.0, at=2 * BLOCK + 7)
    sparse.merge(part)
    assert (sparse.total(), sparse.count) == (3.0, 2 * BLOCK + 8)
