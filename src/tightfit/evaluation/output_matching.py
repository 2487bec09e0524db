"""Brings the outputs of different models to the same names and to real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.data.adapt import dequantize
from tightfit.data.sample import TensorLike
from tightfit.errors import ModelError, RuntimeFailureError
from tightfit.graph.split_outputs import join_values, joined_shapes
from tightfit.types import Array


def match_outputs(reference: Sequence[TensorLike], outputs: Sequence[TensorLike]) -> dict[str, str]:
    """A model's output names mapped to the reference's: by name, else by position when all shapes agree.

    Outputs that come in pieces (``graph.split_outputs``) count as the whole.

    Raises:
        ModelError: when the models answer different things.
    """
    wanted, given = (joined_shapes({s.name: s.shape for s in specs}) for specs in (reference, outputs))
    if set(given) == set(wanted):
        return {name: name for name in wanted}
    sizes = [[int(np.prod(shape)) for shape in shapes.values()] for shapes in (wanted, given)]
    if sizes[0] != sizes[1]:
        raise ModelError(
            f"The model's outputs {_listed(given)} do not match the reference's {_listed(wanted)}. "
            "Compare models with the same outputs."
        )
    return dict(zip(given, wanted, strict=True))


def _listed(shapes: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"'{name}' {list(shape)}" for name, shape in shapes.items())


def real_outputs(
    outputs: Mapping[str, Array], specs: Sequence[TensorLike], names: Mapping[str, str]
) -> dict[str, Array]:
    """The outputs under the reference's names, integers dequantized by their spec's scale and zero point.

    Pieces of one output are joined.

    Raises:
        RuntimeFailureError: when an output is not a number.
    """
    whole = join_values({spec.name: _real(outputs[spec.name], spec) for spec in specs})
    reals = {names[name]: array for name, array in whole.items()}
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
