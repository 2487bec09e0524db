"""Fixed mutants for every reader of a stranger's file; `make fuzz` takes more, and others."""

from __future__ import annotations

import sys

import pytest

from support.places import ROOT

sys.path.insert(0, str(ROOT))

from fuzz.readers import READERS
from fuzz.run import feed, mutants

from tightfit.errors import TightfitError

COUNT = {"graph": 150, "npz": 150, "keras": 150}


@pytest.mark.parametrize("name", READERS)
def test_mutants_are_taken_or_refused_in_a_sentence(name):
    found = feed(name, seed=1, count=COUNT.get(name, 100))
    assert found.findings == []
    assert found.mutants == COUNT.get(name, 100)
    assert found.refused > 0 or name == "journal"  # a search goes on without it


@pytest.mark.parametrize("name", READERS)
def test_a_mutant_is_the_same_whenever_its_seed_and_number_are(name):
    first, again = mutants(READERS[name], 3), mutants(READERS[name], 3, start=4)
    assert [next(first) for _ in range(6)][4:] == [next(again) for _ in range(2)]


def test_the_seeds_themselves_are_read():
    refused = []
    for name, reader in READERS.items():
        for seed in reader.seeds():
            try:
                reader.read(seed)
            except TightfitError as error:
                refused.append((name, str(error)))
    assert refused == []
