"""The rewrites after a conversion, in order: what converters wrote out becomes one op again."""

from __future__ import annotations

from typing import Final

from tightfit.conversion.fusions.activation_fusions import fuse_scalar_functions
from tightfit.conversion.fusions.composites import write_composites
from tightfit.conversion.fusions.crops import fuse_crops
from tightfit.conversion.fusions.epilogues import fuse_epilogues
from tightfit.conversion.fusions.layout_fusions import (
    centre_normalization,
    fuse_padding,
    keep_reduced_dimensions,
    merge_transposes,
    reduce_before_transpose,
)
from tightfit.conversion.fusions.lookups import fuse_lookups, look_up_rows
from tightfit.conversion.fusions.recurrent_loops import write_loops
from tightfit.conversion.fusions.reshapes import keep_four_dimensions
from tightfit.conversion.fusions.scatter_regions import name_scatter_regions
from tightfit.conversion.fusions.slopes import fuse_slopes
from tightfit.conversion.fusions.sorted_values import write_top_k
from tightfit.conversion.fusions.twins import merge_twins
from tightfit.conversion.fusions.upsampling import resize_repeated
from tightfit.conversion.windows.stride_folding import fold_strides
from tightfit.conversion.windows.windows import lower_windows
from tightfit.graph.ir import Model
from tightfit.graph.passes.clean import Pass, clean

FUSIONS: Final[tuple[Pass, ...]] = (
    write_composites,
    write_loops,
    name_scatter_regions,
    lower_windows,
    fuse_lookups,
    look_up_rows,
    resize_repeated,
    merge_twins,
    write_top_k,
    fuse_slopes,
    fuse_scalar_functions,
    merge_transposes,
    reduce_before_transpose,
    keep_reduced_dimensions,
    centre_normalization,
    fold_strides,
    fuse_crops,
    keep_four_dimensions,
    fuse_crops,
    fuse_epilogues,
    fuse_padding,
)


def fuse(model: Model) -> list[str]:
    """Applies every fusion in place, then cleans up; gives what was done, in words."""
    return [*(sentence for step in FUSIONS for sentence in step(model)), *clean(model)]
