from __future__ import annotations

import numpy as np
import pytest

from support.recurrent_models import lstm_layer, sequences, states_of
from tightfit.graph.copying import copy_model
from tightfit.graph.passes.clean import clean
from tightfit.graph.passes.unrolled_lstm import can_unroll, unroll_lstms
from tightfit.graph.signatures import keeps_state
from tightfit.graph.writer import serialize
from tightfit.runtime.session import Session


def outputs(model, samples):
    with Session(serialize(model)) as session:
        return [session.run(sample)["y"] for sample in samples]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_layer_begins_from_zero_at_every_call(batch):
    model = lstm_layer(batch=batch)
    assert not keeps_state(model)
    samples = sequences(model, 3)
    for sample, found in zip(samples, outputs(model, samples), strict=True):
        np.testing.assert_allclose(found, states_of(model, sample["x"])[0], atol=1e-5)


def test_without_the_ops_that_write_zeros_a_layer_would_go_on_from_the_last_call():
    model = lstm_layer()
    graph = model.main
    for op in graph.ops[:-1]:
        graph.remove(op)
    assert keeps_state(model)
    sample = sequences(model, 1)[0]
    first, second = outputs(model, [sample, sample])
    assert np.abs(first - second).max() > 0.01


def test_cleaning_keeps_the_ops_that_write_zeros():
    model = lstm_layer()
    kinds = [op.kind for op in model.main.ops]
    assert not clean(model)
    assert [op.kind for op in model.main.ops] == kinds == ["STRIDED_SLICE", "MUL", "MUL", kinds[-1]]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_layer_written_out_computes_the_same(batch):
    model = lstm_layer(batch=batch)
    twin = copy_model(model)
    assert unroll_lstms(twin)
    assert not any(op.kind.startswith("UNIDIRECTIONAL") for op in twin.main.ops)
    assert not any(t.is_variable for t in twin.main.tensors())
    samples = sequences(model, 2)
    for one, other in zip(outputs(model, samples), outputs(twin, samples), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_long_sequence_and_a_kept_state_are_not_written_out():
    assert not can_unroll(lstm_layer(600, 2, 2).main.ops[-1])
    model = lstm_layer()
    model.main.remove(model.main.ops[1])
    assert not can_unroll(model.main.ops[-1])
    assert not unroll_lstms(model)
