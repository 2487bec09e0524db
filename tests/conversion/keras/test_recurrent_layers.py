# ruff: noqa: PLW0108 - a layer that is made at import starts JAX's threads, which forks of other tests meet
from __future__ import annotations

import numpy as np
import pytest

from tightfit.conversion.conversion_options import ConversionOptions
from tightfit.conversion.keras import recurrent_layers
from tightfit.conversion.load_model import load
from tightfit.errors import ModelError
from tightfit.runtime.session import Session

keras = pytest.importorskip("keras")
layers = keras.layers
KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"


def network(make, shape=(6, 3)):
    x = keras.Input(shape, name="steps")
    return keras.Model(x, make(x))


def fused(result):
    return [op.kind for op in result.model.main.ops].count(KIND)


ONE_OP = {
    "last": lambda x: layers.LSTM(4, dropout=0.5, recurrent_dropout=0.2)(x),
    "stacked": lambda x: layers.LSTM(3, unroll=True)(layers.LSTM(4, return_sequences=True)(x)),
    "backwards": lambda x: layers.LSTM(4, go_backwards=True, use_bias=False, return_sequences=True)(x),
    "both ways": lambda x: layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x),
    "summed": lambda x: layers.Bidirectional(layers.LSTM(3), merge_mode="sum")(x),
}


@pytest.mark.parametrize("name", ONE_OP)
def test_an_lstm_is_one_op_that_gives_the_source_s_answers_at_every_call(name):
    model = network(ONE_OP[name])
    result = load(model)
    count = 2 if name in ("stacked", "both ways", "summed") else 1
    assert fused(result) == count
    assert result.largest_difference < 1e-6
    with Session(result.path) as session:
        for seed in range(3):
            x = np.random.default_rng(seed).normal(size=(1, 6, 3)).astype(np.float32)
            (found,) = session.run({"steps": x}).values()
            np.testing.assert_allclose(found, np.asarray(model(x)), atol=1e-5)


def test_a_free_batch_stays_free():
    result = load(network(ONE_OP["both ways"]), options=ConversionOptions(batch=None))
    assert fused(result) == 2
    assert result.largest_difference < 1e-6
    with Session(result.path) as session:
        (found,) = session.run({"steps": np.ones((5, 6, 3), np.float32)}).values()
    assert found.shape == (5, 6, 6)


UNLIKE = {
    "state": (lambda x: layers.LSTM(3, return_state=True)(x)[0], "returns its state"),
    "given": (lambda x: layers.LSTM(3)(x, initial_state=[x[:, 0], x[:, 1]]), "begins from a state"),
    "activation": (lambda x: layers.LSTM(3, activation="relu")(x), "activations are relu"),
    "mask": (lambda x: layers.LSTM(3)(layers.Masking()(x)), "are masked"),
    "gru": (lambda x: layers.GRU(3)(x), "gru"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_the_op_does_not_compute_is_written_out_with_the_reason(name):
    make, why = UNLIKE[name]
    result = load(network(make))
    assert fused(result) == 0
    assert result.largest_difference < 1e-6
    assert any("Unrolled" in note and why in note for note in result.notes)


def test_unrolled_can_be_asked_for():
    result = load(network(ONE_OP["last"]), options=ConversionOptions(recurrent="unrolled"))
    assert fused(result) == 0
    assert result.largest_difference < 1e-6


def test_long_sequences_convert_where_the_layer_is_one_op():
    assert fused(load(network(ONE_OP["last"], (2000, 3)))) == 1
    sentence = (
        r"^The layer 'gru.*' would be unrolled over 2000 steps, more than 512; convert .* application\.$"
    )
    with pytest.raises(ModelError, match=sentence):
        load(network(lambda x: layers.GRU(3, activation="relu")(x), (2000, 3)))


def long_layers():
    """Layers of 6 steps that become loops, with all that such a layer may have."""
    x = keras.Input((6, 3), name="steps")
    states = layers.GRU(4, return_sequences=True)(x)
    before, last = layers.GRU(3, reset_after=False, return_state=True)(states)
    backwards = layers.GRU(4, go_backwards=True, use_bias=False)(
        x, initial_state=[last @ np.ones((3, 4), "f")]
    )
    both = layers.Bidirectional(layers.SimpleRNN(2, activation="relu", return_sequences=True))(x)
    return keras.Model(x, [states, before, backwards, both])


@pytest.fixture
def six_steps_are_long(monkeypatch):
    monkeypatch.setattr(recurrent_layers, "LOOP_FROM", 4)


@pytest.mark.usefixtures("six_steps_are_long")
def test_long_layers_are_loops_that_give_the_source_s_answers_at_every_call():
    keras.utils.set_random_seed(1)
    model = long_layers()
    result = load(model)
    bodies = {op.options["bodySubgraphIndex"] for op in result.model.main.ops if op.kind == "WHILE"}
    assert len(bodies) == 5
    assert any(note.startswith("As loops (WHILE): ") for note in result.notes)
    assert result.largest_difference < 1e-5
    x = {"steps": np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)}
    with Session(result.path) as session:
        first, second = session.run(x), session.run(x)
    for name, found in first.items():
        np.testing.assert_array_equal(found, second[name])


LOOPLESS = {
    "a free batch": (lambda x: layers.GRU(2)(x), {"batch": None}),
    "the user's word": (lambda x: layers.GRU(2)(x), {"recurrent": "unrolled"}),
    "a mask": (lambda x: layers.GRU(2)(layers.Masking()(x)), {}),
    "another activation": (lambda x: layers.GRU(2, activation="relu")(x), {}),
}


@pytest.mark.usefixtures("six_steps_are_long")
@pytest.mark.parametrize("why", LOOPLESS)
def test_a_long_layer_is_unrolled_for(why):
    make, options = LOOPLESS[why]
    result = load(network(make, (6, 2)), options=ConversionOptions(**options))
    assert not any(op.kind == "WHILE" for op in result.model.main.ops)
    assert result.largest_difference < 1e-5
