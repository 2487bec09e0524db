"""The mean error of the last layers' results, measured on LiteRT, goes into their biases.

A slice that varies little about a large mean loses more to a constant error than to rounding. Source: Nagel
et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2; departure:
the error is that of the written integers, and only of the layers in front of the outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Model, Tensor
from tightfit.quantization.apply import apply_plan
from tightfit.quantization.layouts import lay_out
from tightfit.quantization.plan import Plan
from tightfit.recovery.output_noise import outputs_of
from tightfit.recovery.slices.standardize import BIAS
from tightfit.recovery.slices.tails import ending_at
from tightfit.types import Array


def correct_offsets(
    model: Model, plan: Plan, heads: Sequence[str], samples: Sequence[dict[str, Array]]
) -> Model:
    """Return a float model with biases such that the quantized heads have the float model's means.

    Args:
        model: the float model.
        plan: made for it.
        heads: keys of what the last layers write.
        samples: inputs by name.

    Raises:
        TightfitError: LiteRT cannot run one of the models.
    """
    wanted = _means(ending_at(model, heads), samples)
    made = ending_at_quantized(model, plan, heads)
    got = _means(made, samples)
    twin = copy_model(model)
    keys = {key: t for t, key in twin.main.keys().items()}
    for key, before, after in zip(heads, wanted, got, strict=True):
        _shift(twin, keys[key], before - after)
    return twin


def ending_at_quantized(model: Model, plan: Plan, heads: Sequence[str]) -> Model:
    """Return the quantized model with the reals of the heads as its outputs."""
    keys = {key: t for t, key in model.main.keys().items()}
    names = [keys[key].name for key in heads]
    made = apply_plan(model, plan)
    lay_out(made, ("float_islands", "bridge_through_float"))
    found = {t.name: key for t, key in made.main.keys().items()}
    return ending_at(made, [found[f"{n}_float32"] if f"{n}_float32" in found else found[n] for n in names])


def _means(model: Model, samples: Sequence[dict[str, Array]]) -> list[Array]:
    sums: list[Array] = []
    for row in outputs_of(model, samples):
        means = [array.reshape(-1, array.shape[-1]).mean(axis=0) for array in row]
        sums = means if not sums else [a + b for a, b in zip(sums, means, strict=True)]
    return [total / len(samples) for total in sums]


def _shift(model: Model, tensor: Tensor, error: Array) -> None:
    op = tensor.writer
    place = BIAS[op.kind]
    bias = op.input(place)
    before = (
        np.zeros(error.size)
        if bias is None or bias.data is None
        else bias.data.reshape(-1).astype(np.float64)
    )
    name = f"{op.name}/bias" if bias is None else bias.name
    after = (before + error).astype(np.float32)
    model.main.set_input(op, place, Tensor(name, after.shape, data=after))
