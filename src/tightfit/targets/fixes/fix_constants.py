"""Constants that a rewrite changes: in the file, or unpacked from float16 by a DEQUANTIZE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tightfit.graph.ir import Op, Quantization, Tensor
from tightfit.targets.partition import is_unpacking
from tightfit.types import Array


def stored(tensor: Tensor | None) -> Array | None:
    """Return the stored values of a constant, float16 ones included; None for a computed tensor."""
    if tensor is None:
        return None
    if tensor.data is not None:
        return np.asarray(tensor.data)
    source = (
        tensor.producer.input(0) if tensor.producer is not None and is_unpacking(tensor.producer) else None
    )
    return None if source is None or source.data is None else np.asarray(source.data)


def changed(
    tensor: Tensor,
    change: Callable[[Array], Array],
    name: str,
    made: list[Op],
    quantization: Quantization | None = None,
) -> Tensor:
    """Return a constant with changed values, stored as the old one is.

    Args:
        tensor: the constant.
        change: values → values of the same shape or another.
        name: of the new constant.
        made: gets the DEQUANTIZE of a float16 constant.
        quantization: of the new constant; None for the old one's.
    """
    values = stored(tensor)
    assert values is not None, name  # noqa: S101 - callers ask ``stored`` first
    new = np.ascontiguousarray(change(values))
    scales = tensor.quantization if quantization is None else quantization
    if tensor.data is not None:
        return Tensor(name, new.shape, tensor.dtype, new, scales)
    half = Tensor(f"{name}/half", new.shape, "float16", new)
    full = Tensor(name, new.shape, tensor.dtype)
    made.append(Op("DEQUANTIZE", [half], [full], {}, "DequantizeOptions"))
    return full
