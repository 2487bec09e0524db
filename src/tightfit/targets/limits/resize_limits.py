"""Limits on the factors of a resize. See ``tensor_limits``."""

from __future__ import annotations

import math

from tightfit.graph.ir import Op
from tightfit.targets.limits.operand_roles import data, option, shape4


def resize_powers(op: Op, *, half_pixel_most: int, most: int) -> str | None:
    """A resize is by 2, 4 … {most} both ways; by {half_pixel_most} if bilinear with half-pixel centres.

    Fix: --fix repeats pixels with TILE for nearest neighbours; change the factor for bilinear.
    """
    source, target = shape4(data(op)), shape4(op.outputs[0])
    half = bool(option(op, "halfPixelCenters")) and op.kind == "RESIZE_BILINEAR"
    if source[1:3] == (1, 1):
        return None
    if source[1:3] == target[1:3]:
        return "it has half-pixel centres and nothing to resize" if half else None
    h, w = resize_factors(op)
    words = f"it is by {h:g}×{w:g}" + (" with half-pixel centres" if half else "")
    one_sided = (target[1] == 1 and h == 1) or (target[2] == 1 and w == 1)
    if h != w and (not one_sided or half):
        return words
    limit, factor = (half_pixel_most if half else most), max(h, w)
    return None if factor in {2**k for k in range(1, 12)} and factor <= limit else words


def resize_factors(op: Op) -> tuple[float, float]:
    """Return the factors of a resize over height and width; with aligned corners (out − 1) / (in − 1)."""
    pairs = zip(shape4(op.outputs[0])[1:3], shape4(data(op))[1:3], strict=True)
    if option(op, "alignCorners"):
        found = [1.0 if o == 1 else (o - 1) / (i - 1) if i > 1 else math.inf for o, i in pairs]
    else:
        found = [o / i for o, i in pairs]
    return found[0], found[1]


def resize_integer_powers(op: Op) -> str | None:
    """A bilinear resize is by a power of two in each direction.

    Fix: change the factor.
    """
    source, target = shape4(data(op))[1:3], shape4(op.outputs[0])[1:3]
    if source == (1, 1):
        return None
    aligned = bool(option(op, "alignCorners"))
    for o, i in zip(target, source, strict=True):
        n, d = (o - 1, i - 1) if aligned and i > 1 else (o, i)
        if n % d or (n // d) & (n // d - 1) or not n:
            return f"it is by {o}/{i}"
    return None


def resize_mode(op: Op) -> str | None:
    """Corners are not aligned while centres are half-pixel.

    Fix: convert with one of the two.
    """
    both = option(op, "alignCorners") and option(op, "halfPixelCenters")
    return "both are set" if both else None


def resize_most(op: Op, *, half_pixel_most: int, most: int) -> str | None:
    """A resize is by at most {most}, {half_pixel_most} with half-pixel centres.

    Fix: resize in two steps.
    """
    nearest = op.kind == "RESIZE_NEAREST_NEIGHBOR" and not option(op, "alignCorners")
    limit = half_pixel_most if nearest or option(op, "halfPixelCenters") else most
    factors = [math.floor(f) if math.isfinite(f) else 0 for f in resize_factors(op)]
    return None if max(factors) <= limit else f"it is by {max(factors)}"
