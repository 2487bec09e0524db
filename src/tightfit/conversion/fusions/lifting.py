"""How ops read a tensor that keeps dimensions of size 1 which they had lost; one row an op.

An alignment names, for each dimension of the shorter shape, its place in the longer one; the places that no
dimension has are of size 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, Final

from tightfit.graph.ir import Op, Tensor
from tightfit.graph.passes.edits import constant, integers

Alignment = tuple[int, ...]
Inputs = list[Tensor | None]
Lift = Callable[[Op, Inputs, Alignment, int], tuple[Inputs, dict[str, Any]] | None]
"""(op, inputs with the long tensors in place, alignment, long rank) → inputs and changed options, or None."""


def alignments(long: Sequence[int], short: Sequence[int]) -> list[Alignment]:
    """Return every way to put a shape into a longer one with sizes of 1 in between.

    Example:
        >>> alignments((1, 30, 1, 8), (1, 30, 8))
        [(0, 1, 3)]
    """
    found = []
    for places in combinations(range(len(long)), len(short)):
        rest = [size for i, size in enumerate(long) if i not in places]
        if all(long[p] == s for p, s in zip(places, short, strict=True)) and all(s == 1 for s in rest):
            found.append(places)
    return found


def spread(values: Sequence[int], alignment: Alignment, rank: int, fill: int) -> list[int]:
    """Return one value a dimension of the long shape, ``fill`` where the short one has none.

    Example:
        >>> spread([1, 30, 8], (0, 1, 3), 4, fill=1)
        [1, 30, 1, 8]
    """
    result = [fill] * rank
    for place, value in zip(alignment, values, strict=True):
        result[place] = value
    return result


def _elementwise(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    del op
    lifted: Inputs = []
    for tensor in inputs:
        if tensor is not None and tensor.is_constant and tensor.size > 1 and tensor.data is not None:
            shape = [1] * (len(alignment) - len(tensor.shape)) + list(tensor.shape)
            if len(shape) != len(alignment):
                return None
            wide = tensor.data.reshape(spread(shape, alignment, rank, 1))
            tensor = Tensor(tensor.name, wide.shape, tensor.dtype, wide)  # noqa: PLW2901 - the wide one
        lifted.append(tensor)
    return lifted, {}


def _pad(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    widths = integers(op.input(1))
    if widths is None:
        return None
    pairs = list(zip(widths[::2], widths[1::2], strict=True))
    low, high = (spread([p[i] for p in pairs], alignment, rank, 0) for i in (0, 1))
    table = constant(f"{op.name}/widths", list(zip(low, high, strict=True)))
    return [inputs[0], table, *inputs[2:]], {}


def _reduce(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    axes = integers(op.input(1))
    if axes is None:
        return None
    places = {alignment[a % len(alignment)] for a in axes}
    if not op.options.get("keepDims", False):
        places |= set(range(rank)) - set(alignment)  # of size 1, so that the result has the shape it had
    return [inputs[0], constant(f"{op.name}/axes", sorted(places))], {}


def _concatenate(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    del rank
    return inputs, {"axis": alignment[op.options.get("axis", 0) % len(alignment)]}


def _along_last(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    del op
    return (inputs, {}) if alignment[-1] == rank - 1 else None


def _dense(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    kept = op.options.get("keepNumDims", False)
    return (inputs, {}) if kept and alignment[-1] == rank - 1 else None


def _slice(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    begin, sizes = integers(op.input(1)), integers(op.input(2))
    if begin is None or sizes is None:
        return None
    places = spread(begin, alignment, rank, 0), spread(sizes, alignment, rank, 1)
    return [
        inputs[0],
        *(constant(f"{op.name}/{n}", v) for n, v in zip(("begin", "sizes"), places, strict=True)),
    ], {}


def _strided_slice(op: Op, inputs: Inputs, alignment: Alignment, rank: int) -> Any:
    lists = [integers(op.input(i)) for i in (1, 2, 3)]
    options = op.options
    if any(options.get(f"{n}Mask", 0) for n in ("ellipsis", "newAxis", "shrinkAxis")) or options.get(
        "offset"
    ):
        return None
    if any(v is None or len(v) != len(alignment) for v in lists):
        return None
    spreads = [spread(v or [], alignment, rank, f) for v, f in zip(lists, (0, 1, 1), strict=True)]
    names = ("begin", "end", "strides")
    masks = {
        name: sum(1 << place for i, place in enumerate(alignment) if options.get(name, 0) >> i & 1)
        for name in ("beginMask", "endMask")
    }
    return [inputs[0], *(constant(f"{op.name}/{n}", v) for n, v in zip(names, spreads, strict=True))], masks


_ELEMENTWISE: Final = (
    "ABS ADD CAST CEIL COS DIV ELU EQUAL EXP FLOOR FLOOR_DIV GELU GREATER GREATER_EQUAL HARD_SWISH "
    "LEAKY_RELU LESS LESS_EQUAL LOG LOGISTIC MAXIMUM MINIMUM MUL NEG NOT_EQUAL POW PRELU RELU RELU6 "
    "RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SELECT_V2 SIGN SIN SQRT SQUARE SQUARED_DIFFERENCE SUB TANH"
)
_REDUCTIONS: Final = "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD"

LIFTS: Final[dict[str, Lift]] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX"), _along_last),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "CONCATENATION": _concatenate,
    "FULLY_CONNECTED": _dense,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
}
"""Builtin operator → how it reads tensors with more dimensions of size 1."""

ACTIVATIONS: Final[dict[str, tuple[int, ...]]] = {
    **dict.fromkeys(_REDUCTIONS.split(), (0,)),
    **dict.fromkeys(("SOFTMAX", "LOG_SOFTMAX", "PAD", "PADV2", "MIRROR_PAD"), (0,)),
    "FULLY_CONNECTED": (0,), "SLICE": (0,), "STRIDED_SLICE": (0,),
}  # fmt: skip
"""Positions of the inputs that have the dimensions of the output; every input where there is no row."""
