"""Turns fallbacks into acceleration by rewriting ops of a quantized model.

Each row of ``FIXES`` names what it does, for which ops, and whether results stay the same to the bit. A
rewrite is kept only when the target takes every op that it put in; ``check`` judges them as it judges the
model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tightfit.errors import ModelError
from tightfit.graph.copying import copy_model
from tightfit.graph.ir import Graph, Model, Op
from tightfit.targets.fixes.fix_arithmetic import (
    divide_by_constant,
    leaky_as_prelu,
    requantize_inputs,
    widen_int4,
)
from tightfit.targets.fixes.fix_batches import (
    argmax_of_width,
    forward_sum,
    four_dimensions,
    pad_in_four,
    reversed_width,
    softmax_row,
)
from tightfit.targets.fixes.fix_broadcasts import (
    added_in_turn,
    clipped,
    gathered_rows,
    one_hot_of_reals,
    repeated,
    repeated_choices,
    smallest_as_largest,
    top_of_padded,
)
from tightfit.targets.fixes.fix_chains import join_reshapes
from tightfit.targets.fixes.fix_interface import integer_interface
from tightfit.targets.fixes.fix_layout import depth_to_space, gather_slices, repeat_pixels, space_to_depth
from tightfit.targets.fixes.fix_products import (
    bias_as_add,
    dense_rows,
    equal_batches,
    repeated_slope,
    reshaped,
    slice_before_stride,
    slice_then_reshape,
    split_groups,
    whole_transposed,
)
from tightfit.targets.fixes.fix_reduction import reshape_mean
from tightfit.targets.fixes.fix_shapes import fixed_shapes
from tightfit.targets.placement import check, judge
from tightfit.targets.profile import Target

Replacement = list[Op]
"""Ops that compute what one op computed; the last writes its output."""


@dataclass(frozen=True)
class Fix:
    """One rewrite.

    Args:
        ops: builtin operators that it rewrites.
        make: gives the replacement of an op, or None where it does not apply.
        exact: the results stay the same to the bit; else within one quantization step.
    """

    name: str
    ops: frozenset[str]
    make: Callable[[Op], Replacement | None]
    exact: bool
    effect: str


@dataclass(frozen=True)
class Applied:
    """What was rewritten: how often, where, and what it does."""

    name: str
    effect: str
    ops: tuple[str, ...]


def _fix(
    name: str, ops: str, make: Callable[[Op], Replacement | None], effect: str, *, exact: bool = True
) -> Fix:
    return Fix(name, frozenset(ops.split()), make, exact, effect)


_BINARY: Final = (
    "ADD ATAN2 DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LESS LESS_EQUAL MAXIMUM MINIMUM MUL "
    "NOT_EQUAL POW SQUARED_DIFFERENCE SUB"
)

FIXES: Final[tuple[Fix, ...]] = (
    _fix("reshape-mean", "MEAN", reshape_mean, "a MEAN is reshaped to one over height and width"),
    _fix(
        "requantize-inputs", "MAXIMUM MINIMUM", requantize_inputs,
        "a QUANTIZE gives both inputs the output's scale", exact=False,
    ),
    _fix("repeat-pixels", "RESIZE_NEAREST_NEIGHBOR", repeat_pixels, "pixels are repeated with TILE"),
    _fix("depth-to-space", "DEPTH_TO_SPACE", depth_to_space, "DEPTH_TO_SPACE as RESHAPE, TRANSPOSE, RESHAPE"),
    _fix("space-to-depth", "SPACE_TO_DEPTH", space_to_depth, "SPACE_TO_DEPTH as RESHAPE, TRANSPOSE, RESHAPE"),
    _fix("gather-slices", "GATHER", gather_slices, "a GATHER with constant indices as slices"),
    _fix(
        "leaky-as-prelu", "LEAKY_RELU", leaky_as_prelu, "LEAKY_RELU as PRELU of one slope", exact=False
    ),
    _fix("reshape", "SQUEEZE EXPAND_DIMS", reshaped, "an op that only reshapes as RESHAPE"),
    _fix("repeat-slope", "PRELU", repeated_slope, "one slope is repeated for every channel"),
    _fix("keep-axes", "STRIDED_SLICE", slice_then_reshape, "a slice keeps its axes, a RESHAPE drops them"),
    _fix("slice-before-stride", "CONV_2D", slice_before_stride, "a slice before a 1×1 convolution"),
    _fix("split-groups", "CONV_2D", split_groups, "a convolution for each group of channels"),
    _fix("dense-rows", "FULLY_CONNECTED", dense_rows, "a dense layer on reshaped rows"),
    _fix("bias-as-add", "FULLY_CONNECTED", bias_as_add, "an ADD of the bias after a dense layer"),
    _fix("four-dimensions", _BINARY, four_dimensions, "both operands reshaped to four dimensions"),
    _fix("equal-batches", "BATCH_MATMUL", equal_batches, "operands repeated to the same batch"),
    _fix("softmax-row", "SOFTMAX", softmax_row, "SOFTMAX of a row"),
    _fix("pad-in-four", "PAD PADV2 MIRROR_PAD", pad_in_four, "a padding of four dimensions"),
    _fix("argmax-of-width", "ARG_MAX", argmax_of_width, "the largest value is looked for along the width"),
    _fix("reverse-width", "REVERSE_V2", reversed_width, "the width is reversed instead of the channels"),
    _fix("top-of-padded", "TOPK_V2", top_of_padded, "low values fill up what the largest are looked for in"),
    _fix("tile", "BROADCAST_TO", repeated, "a BROADCAST_TO as TILE"),
    _fix("tile-choices", "SELECT SELECT_V2", repeated_choices, "what is chosen from is repeated with TILE"),
    _fix("gather-rows", "EMBEDDING_LOOKUP", gathered_rows, "an embedding of integers as GATHER"),
    _fix("one-hot-of-reals", "ONE_HOT", one_hot_of_reals, "a ONE_HOT of reals, quantized after it"),
    _fix("add-in-turn", "ADD_N", added_in_turn, "a sum of several as one ADD after the other"),
    _fix("clip", "RELU_0_TO_1", clipped, "RELU_0_TO_1 as RELU and MINIMUM"),
    _fix("negative-argmax", "ARG_MIN", smallest_as_largest, "ARG_MIN as ARG_MAX of the negative values"),
    _fix("forward-sum", "CUMSUM", forward_sum, "a running sum from the start, turned and shifted"),
    _fix("whole-transposed", "TRANSPOSE_CONV", whole_transposed, "a slice of the whole transposed output"),
    _fix("multiply-reciprocal", "DIV", divide_by_constant, "DIV by a constant as MUL", exact=False),
)  # fmt: skip
"""The rewrites of single ops; those of models are ``fixed-shapes``, ``integer-interface``, ``widen-int4`` and
``join-reshapes``."""


def fix(model: Model, target: Target, *, ends: bool = True) -> tuple[Model, list[Applied]]:
    """Return a copy of a model with fewer fallbacks on the target, and what was rewritten.

    Args:
        model: the model to rewrite; it stays as it is.
        target: the device that the rewrites serve.
        ends: float inputs and outputs may become integers.

    Raises:
        ModelError: nothing could be rewritten.
    """
    fixed = copy_model(model)
    done: list[Applied] = []
    if check(fixed, target).refused and (folded := fixed_shapes(fixed)):
        done.append(Applied("fixed-shapes", "free sizes are those of the file", tuple(folded)))
    if widened := widen_int4(fixed):
        done.append(Applied("widen-int4", "int4 weights are stored as int8", tuple(widened)))
    if ends and target.family.interface == "int8" and (changed := integer_interface(fixed)):
        done.append(Applied("integer-interface", "the model takes and gives integers", tuple(changed)))
    found: dict[str, list[str]] = {}
    if joined := [n for g in fixed.graphs for n in join_reshapes(g, lambda op: judge(op, target) is None)]:
        done.append(
            Applied("join-reshapes", "ops that reshape one after the other as one RESHAPE", tuple(joined))
        )
    for graph in fixed.graphs:
        for op in list(graph.ops):
            _rewrite(graph, op, target, found)
    done += [Applied(f.name, f.effect, tuple(found[f.name])) for f in FIXES if f.name in found]
    if not done:
        raise ModelError(_nothing(model, target))
    fixed.validate()
    return fixed, done


def _rewrite(graph: Graph, op: Op, target: Target, found: dict[str, list[str]]) -> None:
    names: list[str] = []
    made = _expanded(op, target, (), names)
    if made is not None and names:
        for name in names:
            found.setdefault(name, []).append(op.name)
        _replace(graph, op, made)


def _expanded(op: Op, target: Target, used: tuple[str, ...], names: list[str]) -> Replacement | None:
    """The ops that compute what one op does and that the target takes, the op itself when it takes it.

    Args:
        op: the op to replace.
        target: the device.
        used: rewrites that led here, none of which is used twice.
        names: gets the rewrites that are used.
    """
    if judge(op, target) is None:
        return [op]
    rows = [row for row in FIXES if op.kind in row.ops and row.name not in used]
    options = [(row, made) for row in rows if (made := row.make(op)) is not None]
    for row, made in options:  # one rewrite, before several
        with _linked(made):
            if all(judge(new, target) is None for new in made):
                names.append(row.name)
                return made
    for row, made in options:
        tried = [row.name]
        with _linked(made):
            parts = [_expanded(new, target, (*used, row.name), tried) for new in made]
        if all(part is not None for part in parts):
            names += tried
            return [new for part in parts for new in part or ()]
    return None


@contextmanager
def _linked(made: Replacement) -> Iterator[None]:
    """Let the tensors of new ops know their producers, as limits ask for them."""
    new = [(t, op) for op in made for t in op.outputs if t.producer is None]
    for tensor, op in new:
        tensor.producer = op
    try:
        yield
    finally:
        for tensor, _ in new:
            tensor.producer = None


def _replace(graph: Graph, op: Op, made: Replacement) -> None:
    position = graph.ops.index(op)
    graph.remove(op)
    for offset, new in enumerate(made):
        graph.insert(position + offset, new)


def _nothing(model: Model, target: Target) -> str:
    left = check(model, target).fallbacks
    if not left:
        return f"There is nothing to fix: every op is accelerated on '{target.name}'."
    return (
        f"No rewrite applies to what falls back on '{target.name}': {left[0].kind} '{left[0].name}' "
        f"({left[0].reason}). {left[0].fix}"
    )
