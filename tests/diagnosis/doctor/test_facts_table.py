"""The facts of many samples come back as they were, and take few bytes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tightfit.data.sample import Sample
from tightfit.diagnosis.doctor.evidence import SampleFacts
from tightfit.diagnosis.doctor.facts_table import FactsTable
from tightfit.diagnosis.doctor.sample_log import SampleLog

FACTS = [
    SampleFacts(0, "Sample 0 of 'a 0 b'", -1.5, 2.0, 2**64 - 1, None),
    SampleFacts(12, "class1/12.png", 0.0, 0.0, 0, -7),
    SampleFacts(3, "Sample 3 of 'x'", 0.1, 0.2, 5, 10**30),
]


def test_facts_come_back_as_they_were():
    table = FactsTable()
    for facts in FACTS:
        table.append(facts)
    assert list(table) == FACTS
    assert (table[1:], table[-1], len(table)) == (FACTS[1:], FACTS[-1], 3)
    with pytest.raises(IndexError):
        table[3]


def test_a_sample_that_went_by_takes_less_than_100_bytes():
    log, values, count = SampleLog(), np.ones((1, 100), np.float32), 2000
    samples = (Sample({"x": values * (i % 7)}, i % 10, i, f"Sample {i} of 'f'") for i in range(count))
    tracemalloc.start()
    try:
        for _ in log.watch(samples):
            pass
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 100 * count
