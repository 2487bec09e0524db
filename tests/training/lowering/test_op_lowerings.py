"""Every row of the lowerings against LiteRT, and its gradients."""

from __future__ import annotations

import functools

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install tightfit[keras]")

from support.backend_gradients import value_and_gradients, with_variables  # noqa: E402 - after the check for Keras
from support.lowering_cases import CASES  # noqa: E402
from support.models import Builder  # noqa: E402
from support.one_op_models import Case, build, draw  # noqa: E402
from support.one_op_twins import run_each  # noqa: E402
from tightfit.training.lowering.op_lowerings import OP_LOWERINGS, trained_positions  # noqa: E402
from tightfit.training.network import Network  # noqa: E402

SEEDS = (1, 2)
# Relative to the largest value: float32 sums of up to 100 terms in another order.
TOLERANCE = 3e-6
# Transcendental functions differ between math libraries; GELU's approximations by 4e-7 at most.
LOOSE = {"EXP", "LOG", "POW", "TANH", "LOGISTIC", "GELU", "SOFTMAX", "LOG_SOFTMAX", "ELU", "SIN", "COS"}
NO_GRADIENT = {
    "FLOOR",
    "CEIL",
    "ROUND",
    "SIGN",
    "FLOOR_DIV",
    "ZEROS_LIKE",
    "ARG_MAX",
    "ARG_MIN",
    "SHAPE",
    "RANK",
}


def batch(case: Case) -> dict[str, np.ndarray]:
    """Two samples as one batch: along an axis of one, else along a new one."""
    drawn = [draw(case, seed) for seed in SEEDS]
    join = {n: np.concatenate if a.shape[:1] == (1,) else np.stack for n, a in drawn[0].items()}
    return {n: join[n]([d[n] for d in drawn]) for n in drawn[0]}


@functools.cache
def expected(seed: int) -> dict:
    models = {name: build(case) for name, case in CASES.items()}
    return run_each(models, {name: draw(case, seed) for name, case in CASES.items()}, delegate=False)


def outputs(network: Network, inputs: dict) -> list:
    return network.tensors(inputs, network.output_tensors.values())


@pytest.mark.parametrize("name", CASES)
def test_a_batch_gives_what_litert_gives_for_each_sample(name):
    case = CASES[name]
    network = Network(build(case), check=False)
    inputs = batch(case)
    for position, found in enumerate(outputs(network, inputs)):
        values = np.asarray(keras.ops.convert_to_numpy(found))
        singles = [expected(seed)[name][f"out{position}"] for seed in SEEDS]
        wanted = np.stack(singles if inputs else singles[:1])
        assert values.shape == wanted.shape or values.shape == wanted[:1].shape
        tolerance = TOLERANCE * 5 if case.kind in LOOSE else TOLERANCE
        assert np.abs(values.astype(np.float64) - wanted).max() <= tolerance * max(np.abs(wanted).max(), 1.0)


def differentiable(name: str) -> bool:
    case = CASES[name]
    reals = [o for o in case.outputs if not (o and isinstance(o[-1], str))]
    return bool(reals) and case.kind not in NO_GRADIENT and bool(batch(case))


@pytest.mark.parametrize("name", [n for n in CASES if differentiable(n)])
def test_gradients_are_finite_and_agree_with_differences(name):
    case = CASES[name]
    model = build(case)
    network = Network(model, check=False)
    inputs = {n: a for n, a in batch(case).items() if a.dtype == np.float32}
    fixed = {n: a for n, a in batch(case).items() if n not in inputs}
    variables = network.trainable_variables
    random = np.random.default_rng(5)
    first = next(i for i, o in enumerate(case.outputs) if not (o and isinstance(o[-1], str)))
    shape = np.asarray(outputs(network, batch(case))[first].shape)
    direction = keras.ops.convert_to_tensor(random.standard_normal(shape).astype(np.float32))

    def loss(values: list) -> object:
        given = dict(zip(inputs, values[len(variables) :], strict=True)) | fixed
        with with_variables(variables, values[: len(variables)]):
            return keras.ops.sum(outputs(network, given)[first] * direction)

    start = [keras.ops.convert_to_numpy(v) for v in variables] + list(inputs.values())
    _, gradients = value_and_gradients(loss, start)
    assert all(np.isfinite(g).all() for g in gradients)
    if not trained_positions(model.main.ops[0]):
        return
    # One random direction of all parameters; the loss is smooth there but for kinks of activations.
    steps = [0.0005 * random.standard_normal(a.shape).astype(np.float32) for a in start[: len(variables)]]
    sides = [
        value_and_gradients(
            loss, [a + sign * s for a, s in zip(start, steps, strict=False)] + start[len(steps) :]
        )[0]
        for sign in (1, -1)
    ]
    slope = sum(float((g * s).sum()) for g, s in zip(gradients, steps, strict=False))
    # float32: each side is exact to about 1e-6 of the sum of its terms; the kinks of RELU6 bend the slope.
    noise = 2e-6 * float(keras.ops.convert_to_numpy(keras.ops.sum(keras.ops.abs(direction))))
    assert (sides[0] - sides[1]) / 2 == pytest.approx(slope, rel=0.1, abs=noise)


def test_every_row_has_a_case():
    assert {case.kind for case in CASES.values()} | {"QUANTIZE", "DEQUANTIZE", "DENSIFY"} == set(OP_LOWERINGS)


def test_a_softmax_over_one_value_is_one_and_warns_of_nothing(recwarn):
    builder = Builder()
    network = Network(
        builder.model(builder.softmax(builder.dense(builder.input("x", [1, 3]), 1))), check=False
    )
    (found,) = outputs(network, {"x": np.ones((2, 3), np.float32)})
    assert np.asarray(keras.ops.convert_to_numpy(found)).ravel().tolist() == [1.0, 1.0]
    assert not [str(w.message) for w in recwarn if "softmax" in str(w.message)]
