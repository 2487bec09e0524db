"""The rewrites after a conversion, in order: what converters wrote out becomes one op again."""

from __future__ import annotations

from typing import Final

from tightfit.convert.fusions.activation_fusions import fuse_scalar_functions
from tightfit.convert.fusions.layout_fusions import (
    centre_normalization,
    fuse_padding,
    keep_reduced_dimensions,
    merge_transposes,
    reduce_before_transpose,
)
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import Pass, clean

FUSIONS: Final[tuple[Pass, ...]] = (
    fuse_scalar_functions,
    merge_transposes,
    reduce_before_transpose,
    keep_reduced_dimensions,
    centre_normalization,
    fuse_padding,
)


def fuse(model: Model) -> list[str]:
    """Applies every fusion in place, then cleans up; gives what was done, in words."""
    return [*(sentence for step in FUSIONS for sentence in step(model)), *clean(model)]
