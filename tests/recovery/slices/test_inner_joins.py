"""Two parts of different units that are joined inside the model: an output that only the small one moves."""

from __future__ import annotations

import numpy as np

from support.head_models import PLAIN, images
from support.models import NONE, RELU, Builder
from tightfit import quantize
from tightfit.evaluation.slices.output_quality import GOOD_DB
from tightfit.graph.ir import Model
from tightfit.graph.writer import write_model
from tightfit.runtime.session import Session


def joined_inside() -> Model:
    """Features of size 1 and of size 5,000 in one tensor; the dense layer behind it undoes the scales."""
    b = Builder(seed=5)
    trunk = b.mean(b.conv(b.input("image", [1, 16, 16, 3]), 16, activation=RELU))
    small, large = b.dense(trunk, 8), b.dense(trunk, 8)
    wide = b.op(
        "MUL", [large, b.constant("unit", 5000.0, "float32")], [1, 8], table="MulOptions", options=PLAIN
    )
    options = {"axis": -1, "fusedActivationFunction": NONE}
    both = b.op("CONCATENATION", [small, wide], [1, 16], table="ConcatenationOptions", options=options)
    output = b.dense(both, 4)
    weights = output.producer.inputs[1]
    weights.data = weights.data / np.where(np.arange(16) < 8, np.float32(1), np.float32(5e5))
    return b.model(output)


def test_an_output_behind_a_join_of_two_scales_is_not_constant(tmp_path):
    source, made = tmp_path / "float.tflite", tmp_path / "int8.tflite"
    write_model(joined_inside(), source)
    np.savez(tmp_path / "x.npz", image=np.concatenate([s["image"] for s in images(48)()]))
    quantize(source, data=tmp_path / "x.npz", output=made, scheme="int8")
    with Session(source) as one, Session(made) as other:
        fresh = list(images(24, seed=77)())
        wanted, got = (
            np.concatenate(
                [next(iter(session.run({session.inputs[0].name: s["image"]}).values())) for s in fresh]
            )
            for session in (one, other)
        )
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0)
    decibels = 10 * np.log10(spread / ((got - wanted) ** 2).sum(0))
    assert decibels.min() >= GOOD_DB
    assert got.std(0).min() > 0
