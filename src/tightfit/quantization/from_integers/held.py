"""What a quantized tensor of a file holds: how it is stored, and which reals its constants stand for."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tightfit.errors import ModelError
from tightfit.graph.ir import Model, Tensor
from tightfit.quantization.plan import Storage
from tightfit.types import Array

STORED: Final = frozenset({"int2", "int4", "int8", "uint8", "int16", "int32", "int64"})
"""Types that stand for reals where a scale says so."""

_SHIFT: Final = 128
OWN: Final = "the source's own scale"


def stands_for_reals(tensor: Tensor) -> bool:
    """Return True for integers with a scale.

    Args:
        tensor: of any graph.
    """
    return tensor.is_quantized and tensor.dtype in STORED


def is_quantized(model: Model) -> bool:
    """Return True when some tensor of a model stands for reals by integers.

    Args:
        model: of any kind.
    """
    return any(stands_for_reals(t) for graph in model.graphs for t in graph.tensors())


def storage_of(tensor: Tensor) -> Storage:
    """Return how a quantized tensor is stored; uint8 becomes int8, values and zero points 128 lower.

    Args:
        tensor: for which ``stands_for_reals`` holds.

    Raises:
        ModelError: its scales are stored in blocks.

    Example:
        >>> from tightfit.graph.ir import Quantization
        >>> given = Quantization(np.asarray([0.5], np.float32), np.asarray([128]))
        >>> storage_of(Tensor("x", (2,), "uint8", quantization=given)).zero_point
        (0,)
    """
    quantization = tensor.grid
    if quantization.details is not None:
        raise ModelError(
            f"'{tensor.name}' has its scales in blocks ({quantization.details[0]}), which no plan of this "
            "version holds. Give the float model it was made from."
        )
    shift = _SHIFT if tensor.dtype == "uint8" else 0
    return Storage(
        "int8" if shift else tensor.dtype,
        tuple(float(s) for s in quantization.scale),
        tuple(int(z) - shift for z in quantization.zero_point),
        quantization.axis if quantization.scale.size > 1 else None,
        reason=OWN,
    )


def reals_of(tensor: Tensor) -> npt.NDArray[np.float32]:
    """Return the reals ``scale · (q − zero_point)`` of a quantized constant, rounded once to float32.

    Args:
        tensor: dense, constant, quantized; int32 biases are multiplied in float64.
    """
    quantization = tensor.grid
    scale, zero_point = (
        _along(v, tensor.values, quantization.axis) for v in (quantization.scale, quantization.zero_point)
    )
    return np.asarray((tensor.values.astype(np.float64) - zero_point) * scale, np.float32)


def _along(values: Array, data: Array, axis: int) -> npt.NDArray[np.float64]:
    """One value a channel, shaped so that it broadcasts along the axis."""
    wide = values.astype(np.float64).reshape(-1)
    if wide.size == 1:
        return wide.reshape(())
    return wide.reshape([-1 if i == axis else 1 for i in range(data.ndim)])
