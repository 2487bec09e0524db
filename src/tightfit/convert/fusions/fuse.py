"""The rewrites after a conversion, in order: what converters wrote out becomes one op again."""

from __future__ import annotations

from typing import Final

from tightfit.convert.fusions.activation_fusions import fuse_scalar_functions
from tightfit.convert.fusions.epilogues import fuse_epilogues
from tightfit.convert.fusions.layout_fusions import (
    centre_normalization,
    fuse_padding,
    keep_reduced_dimensions,
    merge_transposes,
    reduce_before_transpose,
)
from tightfit.convert.fusions.lookups import fuse_lookups, look_up_rows
from tightfit.convert.fusions.reshapes import keep_four_dimensions
from tightfit.convert.fusions.slopes import fuse_slopes
from tightfit.convert.fusions.stride_folding import fold_strides
from tightfit.convert.fusions.twins import merge_twins
from tightfit.convert.fusions.upsampling import resize_repeated
from tightfit.convert.fusions.windows import lower_windows
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import Pass, clean

FUSIONS: Final[tuple[Pass, ...]] = (
    lower_windows,
    fuse_lookups,
    look_up_rows,
    resize_repeated,
    merge_twins,
    fuse_slopes,
    fuse_scalar_functions,
    merge_transposes,
    reduce_before_transpose,
    keep_reduced_dimensions,
    centre_normalization,
    fold_strides,
    keep_four_dimensions,
    fuse_epilogues,
    fuse_padding,
)


def fuse(model: Model) -> list[str]:
    """Applies every fusion in place, then cleans up; gives what was done, in words."""
    return [*(sentence for step in FUSIONS for sentence in step(model)), *clean(model)]
