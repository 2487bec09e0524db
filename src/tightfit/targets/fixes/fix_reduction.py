"""A MEAN as reshapes around a MEAN over height and width: the same sums, so the same results to the bit."""

from __future__ import annotations

import math

import numpy as np

from tightfit.graph.ir import Op, Tensor
from tightfit.targets.limits.operand_roles import axes, data

_LONGEST = 4096


def reshape_mean(op: Op) -> list[Op] | None:
    """Return RESHAPE → MEAN → RESHAPE for a MEAN over neighbouring axes, None for others.

    The input [outer, reduced, inner] becomes [1, outer, reduced, inner], reduced over the width; a reduced
    axis that is too long is folded to two where ``outer`` is 1.
    """
    source, reduced = data(op), sorted(axes(op))
    if not reduced or reduced != list(range(reduced[0], reduced[-1] + 1)):
        return None
    shape = source.shape
    outer, inner = math.prod(shape[: reduced[0]]), math.prod(shape[reduced[-1] + 1 :])
    folded = _fold(math.prod(shape[a] for a in reduced), outer)
    if folded is None or not source.is_quantized:
        return None
    over = [2] if len(folded) == 1 else [1, 2]
    image = (1, outer, *folded, inner) if len(folded) == 1 else (1, *folded, inner)
    small = (1, outer, 1, inner) if len(folded) == 1 else (1, 1, 1, inner)
    target = op.outputs[0]
    flat, before = reshape(source, image, "image")
    mean = Tensor(f"{op.name}/mean", small, target.dtype, quantization=target.quantization)
    positions = Tensor(f"{op.name}/axes", (len(over),), "int32", np.array(over, np.int32))
    after = Op("RESHAPE", [mean, _shape(target.shape, op.name)], [target], *_reshape_options(target.shape))
    return [before, Op("MEAN", [flat, positions], [mean], {"keepDims": True}, "ReducerOptions"), after]


def reshape(source: Tensor, shape: tuple[int, ...], word: str) -> tuple[Tensor, Op]:
    """Return the reshaped tensor, with the source's scale, and the op that makes it."""
    made = Tensor(f"{source.name}/{word}", shape, source.dtype, quantization=source.quantization)
    return made, reshape_to(source, made)


def reshape_to(source: Tensor, target: Tensor) -> Op:
    """Return the RESHAPE from one tensor to another."""
    return Op(
        "RESHAPE", [source, _shape(target.shape, target.name)], [target], *_reshape_options(target.shape)
    )


def _shape(shape: tuple[int, ...], name: str) -> Tensor:
    return Tensor(f"{name}/shape", (len(shape),), "int32", np.array(shape, np.int32))


def _reshape_options(shape: tuple[int, ...]) -> tuple[dict[str, object], str]:
    return {"newShape": list(shape)}, "ReshapeOptions"


def _fold(count: int, outer: int) -> tuple[int, ...] | None:
    """(count,) when it is short enough, else two factors of it, else None."""
    if count <= _LONGEST:
        return (count,)
    if outer != 1:
        return None
    for first in range(math.isqrt(count), 1, -1):
        if count % first == 0 and count // first <= _LONGEST:
            return (count // first, first)
    return None
