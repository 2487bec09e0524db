"""The two ops of the normal form in JAX: a constant's reals, and a rounding that outlives the converter."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from jax import lax

from tightfit.conversion.onnx.onnx_values import Layout, OnnxNode, OnnxOp
from tightfit.conversion.qdq.qdq_parameters import QdqParameters, marker_name


def _parameters(n: OnnxNode, scale: Any, zero_point: Any) -> QdqParameters:
    scales = n.constant(scale, "scale").astype(np.float32).reshape(-1)
    points = np.zeros(scales.size, np.int64) if zero_point is None else n.constant(zero_point, "zero point")
    dtype = "uint8" if zero_point is None else points.dtype.name
    wide = np.broadcast_to(points.astype(np.int64).reshape(-1), scales.shape)
    return QdqParameters(dtype, scales, wide, n.get("axis", 1) if scales.size > 1 else None)


def _round(n: OnnxNode, x: Any, scale: Any, zero_point: Any = None) -> Any:
    given = _parameters(n, scale, zero_point)
    if isinstance(x, np.ndarray | np.generic):
        values = np.asarray(x)
        return given.dequantize(given.quantize(values))
    axis = None if given.axis is None else n.axis(given.axis, x.ndim)
    # A composite that the converter does not know stays one op; ``restore`` reads its name.
    return lax.composite(lambda v: v, marker_name(given, axis))(x)


def _reals(n: OnnxNode, x: Any, scale: Any, zero_point: Any = None) -> Any:
    given = _parameters(n, scale, zero_point)
    return given.dequantize(n.constant(x, "integers"))


ROUNDINGS: Final[dict[str, OnnxOp]] = {
    "DequantizeLinear": OnnxOp(_reals, Layout.AXES, "of constants; of values see docs/quantized-sources.md"),
    "QuantizeLinear": OnnxOp(_round, Layout.AXES, "see docs/quantized-sources.md"),
}
