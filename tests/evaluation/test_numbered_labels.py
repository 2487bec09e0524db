"""Labels without names belong to the outputs of their size."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.errors import DataError
from tightfit.evaluation.labels.label_kinds import Probe
from tightfit.evaluation.labels.read_labels import read_labels


def heads(labels, outputs):
    probes = [
        Probe(None, {n: np.random.default_rng(i).random((1, size)) for n, size in outputs.items()}, labels)
        for i in range(4)
    ]
    return {head.key: head.output for head in read_labels(probes, {}).heads}


def test_a_size_tells_the_output():
    labels = {"#0": np.array([0.5]), "#1": np.array([0.2, 0.1])}
    assert heads(labels, {"flow": 2, "temp": 1}) == {"#0": "temp", "#1": "flow"}


def test_numbered_outputs_have_an_order():
    labels = {"#0": np.array([0.5]), "#1": np.array([0.2])}
    assert heads(labels, {"output_0": 1, "output_1": 1}) == {"#0": "output_0", "#1": "output_1"}


def test_equal_sizes_with_names_have_none():
    labels = {"#0": np.array([0.5]), "#1": np.array([0.2])}
    with pytest.raises(DataError, match="Pass a dict of labels by output name"):
        heads(labels, {"flow": 1, "temp": 1})
