"""Makes of one sample of reals what a particular model takes: its input names, its integers.

A float model and its quantized twin are fed from the same sample, so that their outputs can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.data.sample import InputSpec, Sample, TensorLike, fit_shape, shape_text
from tightfit.errors import DataError
from tightfit.graph.split_inputs import input_pieces, split_values
from tightfit.types import Array


def adapt_inputs(sample: Sample, specs: Sequence[TensorLike]) -> dict[str, Array]:
    """The sample's arrays under the model's input names, quantized where the model takes integers.

    Args:
        sample: reals, as ``Dataset.samples`` gives them.
        specs: the model's inputs. Names must agree, except between models of one input.

    Raises:
        DataError: when the model's inputs differ from the sample's in number, names or shape.
    """
    names = [spec.name for spec in specs]
    named = _by_name(_divided(sample, names), names)
    return {spec.name: _adapt(named[spec.name], InputSpec.of(spec)) for spec in specs}


def _divided(sample: Sample, names: Sequence[str]) -> Mapping[str, Array]:
    """The inputs with those split that the model takes in pieces; a lone input may have another name."""
    if set(names) == set(sample.inputs):
        return sample.inputs
    wholes, inputs = input_pieces(names), sample.whole
    if len(wholes) == len(inputs) == 1 and not set(wholes) & set(inputs):
        inputs = {next(iter(wholes)): next(iter(inputs.values()))}
    return split_values(inputs, names)


def _by_name(inputs: Mapping[str, Array], names: Sequence[str]) -> Mapping[str, Array]:
    if len(names) == len(inputs) == 1:
        return {names[0]: next(iter(inputs.values()))}
    if set(names) != set(inputs):
        raise DataError(
            f"A model takes the inputs {', '.join(sorted(names))}, but the samples were made for "
            f"{', '.join(sorted(inputs))}. Compare models with the same inputs."
        )
    return inputs


def _adapt(array: Array, spec: InputSpec) -> Array:
    fitted = fit_shape(array, spec)
    if fitted is None:
        raise DataError(
            f"Input '{spec.name}' of a model takes {shape_text(spec.shape)}, but the samples have "
            f"{shape_text(array.shape)}. Compare models with the same input shapes."
        )
    target = np.dtype(spec.dtype)
    if spec.is_quantized and fitted.dtype.kind == "f" and target.kind in "iu":
        return quantize(fitted, spec.scale or 1.0, spec.zero_point or 0, target)
    return fitted.astype(target, copy=False)


def quantize(array: Array, scale: float, zero_point: int, dtype: np.dtype[np.generic]) -> Array:
    """The integers that LiteRT's QUANTIZE makes: ``clamp(round(x * (1 / scale)) + zero_point)``.

    In float32, with the reciprocal, halves to even: so do the vector instructions of XNNPACK's and of the
    optimized kernel. Only scalar ``reference/quantize.h`` divides, and rounds halves away from zero.

    Example:
        >>> quantize(np.float32([0.25, 0.75, -0.75, 99.0]), 0.5, 3, np.dtype(np.int8)).tolist()
        [3, 5, 1, 127]
    """
    steps = np.rint(array.astype(np.float32) * (np.float32(1) / np.float32(scale)))
    limits = np.iinfo(dtype)  # type: ignore[type-var]
    return np.asarray(np.clip(steps.astype(np.float64) + zero_point, limits.min, limits.max), dtype)


def dequantize(array: Array, scale: float, zero_point: int) -> Array:
    """The reals that integers stand for: ``scale * (q - zero_point)``, float32."""
    reals: Array = array.astype(np.float32)
    reals -= np.float32(zero_point)
    reals *= np.float32(scale)
    return reals
