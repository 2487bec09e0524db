"""Brings the outputs of different models to the same names and to real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.data.adapt import dequantize
from tightfit.data.sample import Array, TensorLike
from tightfit.errors import ModelError, RuntimeFailureError


def match_outputs(reference: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> dict[str, str]:
    """A model's output names mapped to the reference's: by name, else by position when all shapes agree.

    Raises:
        ModelError: when the models answer different things.
    """
    names = [spec.name for spec in reference]
    if {spec.name for spec in outputs} == set(names):
        return {name: name for name in names}
    sizes = [[int(np.prod(spec.shape)) for spec in specs] for specs in (reference, outputs)]
    if sizes[0] != sizes[1]:
        raise ModelError(
            f"The model's outputs {_listed(outputs)} do not match the reference's {_listed(reference)}. "
            "Compare models with the same outputs."
        )
    return {spec.name: name for spec, name in zip(outputs, names, strict=True)}


def _listed(specs: Sequence[TensorLike]) -> str:
    return ", ".join(f"'{spec.name}' {list(spec.shape)}" for spec in specs)


def real_outputs(
    outputs: Mapping[str, Array], specs: Sequence[TensorLike], names: Mapping[str, str]
) -> dict[str, Array]:
    """The outputs under the reference's names, integers dequantized by their spec's scale and zero point.

    Raises:
        RuntimeFailureError: when an output is not a number.
    """
    reals = {names[spec.name]: _real(outputs[spec.name], spec) for spec in specs}
    for name, array in reals.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise RuntimeFailureError(
                f"The model answers NaN in {int(np.isnan(array).sum())} of {array.size} entries of output "
                f"'{name}'. Keep the op that overflows in float32."
            )
    return reals


def _real(array: Array, spec: TensorLike) -> Array:
    if spec.scale and array.dtype.kind in "iu":
        return dequantize(array, spec.scale, spec.zero_point or 0)
    return array.astype(np.float32) if array.dtype.kind in "fiub" else array
