"""One-op models over ranks, axes, broadcasts, types and limits: what an accelerator's rules are held against.

``cases()`` gives float models by name; ``accelerators.py`` makes the other schemes of them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.one_op_cases import CASES
from support.one_op_models import Case, Fixed, Flags, Operand, Typed, Value, Weights

SHAPES = ((), (5,), (3, 4), (2, 3, 4), (1, 3, 4), (2, 3, 4, 5), (1, 3, 4, 5), (1, 2, 3, 4, 5))
SAME, VALID = 0, 1


def cases() -> Iterator[Case]:
    """Yield every case, those of the project's tests first; names are unique.

    Left out: cases of the tests whose indices are constants, which no converter writes for an accelerator.
    """
    groups = (
        CASES, _unary(), _binary(), _typed(), _reductions(), _pads(), _slices(), _gathers(), _selects(),
        _convolutions(), _depthwise(), _dense(), _transposed(), _products(), _joins(), _moves(), _images(),
        _others(),
    )  # fmt: skip
    seen: set[str] = set()
    for case in itertools.chain.from_iterable(groups):
        if case.name not in seen and case.name not in ("ONE_HOT", "EMBEDDING_LOOKUP"):
            seen.add(case.name)
            yield case


def _note(*parts: Any) -> str:
    return "-".join("x".join(map(str, p)) if isinstance(p, tuple | list) else str(p) for p in parts)


_UNARY = {
    "ABS": "AbsOptions", "CEIL": None, "COS": "CosOptions", "ELU": None, "EXP": "ExpOptions", "FLOOR": None,
    "GELU": "GeluOptions", "HARD_SWISH": "HardSwishOptions", "LEAKY_RELU": "LeakyReluOptions", "LOG": None,
    "LOGISTIC": None, "NEG": "NegOptions", "RELU": None, "RELU6": None, "RELU_0_TO_1": None,
    "RELU_N1_TO_1": None, "ROUND": None, "RSQRT": None, "SIGN": "SignOptions", "SIN": None, "SQRT": None,
    "SQUARE": "SquareOptions", "TANH": None, "SOFTMAX": "SoftmaxOptions", "LOG_SOFTMAX": "LogSoftmaxOptions",
    "L2_NORMALIZATION": "L2NormOptions", "ZEROS_LIKE": "ZerosLikeOptions",
}  # fmt: skip


def _unary() -> Iterator[Case]:
    for kind, table in _UNARY.items():
        options = {"SOFTMAX": {"beta": 1.0}, "LEAKY_RELU": {"alpha": 0.1}}.get(kind, {})
        for shape in SHAPES:
            if kind in ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION") and not shape:
                continue
            yield Case(kind, [Value(shape, 0.25, 2.0)], [shape], table, options, _note("rank", shape))
    yield Case("SOFTMAX", [Value((2, 5))], [(2, 5)], "SoftmaxOptions", {"beta": 2.0}, "beta2")


_BINARY = {
    "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions", "POW": "PowOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions", "FLOOR_DIV": "FloorDivOptions",
    "FLOOR_MOD": "FloorModOptions", "ATAN2": None,
}  # fmt: skip
_COMPARISONS = {
    "EQUAL": "EqualOptions", "NOT_EQUAL": "NotEqualOptions", "LESS": "LessOptions",
    "LESS_EQUAL": "LessEqualOptions", "GREATER": "GreaterOptions", "GREATER_EQUAL": "GreaterEqualOptions",
}  # fmt: skip
_PAIRS = (
    ((), ()), ((5,), ()), ((5,), (5,)), ((5,), (1,)), ((4, 6), (4, 6)), ((4, 6), (6,)), ((4, 6), (4, 1)),
    ((4, 6), (1, 6)), ((4, 6), ()), ((1, 6), (6,)), ((2, 4, 6), (2, 4, 6)), ((2, 4, 6), (4, 6)),
    ((2, 4, 6), (6,)), ((2, 4, 6), (2, 1, 1)), ((2, 4, 6), (1, 4, 1)), ((1, 4, 6), (4, 6)),
    ((1, 4, 6), (1, 4, 6)), ((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (5,)), ((2, 3, 4, 5), (4, 5)),
    ((2, 3, 4, 5), (3, 4, 5)), ((2, 3, 4, 5), (2, 1, 1, 1)), ((2, 3, 4, 5), (1, 3, 1, 5)),
    ((2, 3, 4, 5), ()), ((2, 3, 4, 5), (1,)), ((1, 3, 4, 5), (5,)), ((1, 3, 4, 5), (3, 1, 1)),
    ((1, 3, 4, 5), (3, 4, 5)), ((1, 3, 4, 5), (1, 1, 1, 5)), ((1, 3, 4, 5), (2, 3, 4, 5)),
    ((1, 3, 4, 5), (1, 3, 4, 1)), ((1, 3, 4, 5), (4, 1)), ((6,), (4, 6)), ((1, 2, 3, 4, 5), (5,)),
)  # fmt: skip


def _binary() -> Iterator[Case]:
    for kind in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "POW", "SQUARED_DIFFERENCE"):
        for (a, b), constant in itertools.product(_PAIRS, (False, True)):
            if kind in ("POW", "SQUARED_DIFFERENCE") and (len(a) < 3 or not constant):
                continue
            yield _pair(kind, _BINARY[kind], a, b, constant=constant)
    for kind, table in _BINARY.items():
        for a, b in (((4, 6), (4, 6)), ((1, 3, 4, 5), (1, 3, 4, 5)), ((2, 3, 4), (2, 3, 4))):
            yield _pair(kind, table, a, b, constant=False)
    yield from _compared()
    yield from _activated()


def _compared() -> Iterator[Case]:
    for kind, table in _COMPARISONS.items():
        for a, b in (((40,), (40,)), ((4, 6), (4, 6)), ((4, 6), (6,)), ((2, 3, 4, 5), (2, 3, 4, 5))):
            x, values = Typed(a, "int32", 0, 2), np.arange(np.prod(b)).reshape(b) % 3
            for second, word in ((Typed(b, "int32", 0, 2), "computed"), (Fixed(values), "constant")):
                yield Case(kind, [x, second], [(a, "bool")], table, {}, _note(word, a, b))


def _activated() -> Iterator[Case]:
    for activation, kind in itertools.product((1, 2, 3, 4), ("ADD", "MUL", "SUB", "DIV")):
        options, note = {"fusedActivationFunction": activation}, _note("activation", activation)
        pair = [Value((1, 3, 4, 5), -2, 2), Value((1, 3, 4, 5), 0.5, 2)]
        yield Case(kind, pair, [(1, 3, 4, 5)], _BINARY[kind], options, note)
    for count in (2, 3):
        yield Case("ADD_N", [Value((1, 3, 4))] * count, [(1, 3, 4)], "AddNOptions", {}, _note(count))


def _pair(
    kind: str, table: str | None, a: Sequence[int], b: Sequence[int], *, constant: bool, dtype: str = ""
) -> Case:
    left, right = Value(tuple(a), 0.25, 2.0), Value(tuple(b), 0.5, 2.0)
    second: Operand = Weights(tuple(b), 0.5, 2.0) if constant else right
    shape = np.broadcast_shapes(tuple(a), tuple(b))
    note = _note("constant" if constant else "computed", a or "scalar", b or "scalar")
    return Case(kind, [left, second], [(shape, dtype) if dtype else shape], table, {}, note)


def _typed() -> Iterator[Case]:
    shape = (1, 3, 4, 5)
    for dtype in ("int32", "int64", "int16", "uint8", "int8"):
        made = [(shape, dtype)]
        one, two = Typed(shape, dtype, 1, 9), Typed(shape, dtype, 1, 4)
        yield from _typed_moves(one, dtype)
        if dtype in ("int16", "uint8", "int8"):
            continue  # without a scale, LiteRT's own kernels do not compute with them
        for kind in ("ADD", "SUB", "MUL", "MAXIMUM", "FLOOR_DIV", "FLOOR_MOD"):
            yield Case(kind, [one, two], made, _BINARY[kind], {}, dtype)
        for kind in ("ABS", "NEG"):
            yield Case(kind, [one], made, _UNARY[kind], {}, dtype)
        for kind, table in _COMPARISONS.items():
            yield Case(kind, [one, two], [(shape, "bool")], table, {}, dtype)
        yield Case("SUM", [one, Fixed([3])], [((1, 3, 4), dtype)], "ReducerOptions", {}, dtype)
    yield from _typed_moves(Flags(shape), "bool")
    for kind, table in {"LOGICAL_AND": "LogicalAndOptions", "LOGICAL_OR": "LogicalOrOptions"}.items():
        yield Case(kind, [Flags(shape), Flags(shape)], [(shape, "bool")], table)
    yield Case("LOGICAL_NOT", [Flags(shape)], [(shape, "bool")], "LogicalNotOptions")
    for kind in ("REDUCE_ANY", "REDUCE_ALL"):
        yield Case(kind, [Flags(shape), Fixed([3])], [((1, 3, 4), "bool")], "ReducerOptions")
    integers = [Typed(shape, "int32", 1, 90), Typed(shape, "int32", 0, 3)]
    yield Case("RIGHT_SHIFT", integers, [(shape, "int32")], "RightShiftOptions")
    yield Case("BITWISE_XOR", integers, [(shape, "int32")], "BitwiseXorOptions")
    codes = {"float32": 0, "int32": 2, "int64": 4, "bool": 6, "uint8": 3, "int8": 9, "int16": 7}
    for source, target in itertools.permutations(codes, 2):
        options = {"inDataType": codes[source], "outDataType": codes[target]}
        x: Operand = Value(shape, 0.0, 9.0) if source == "float32" else Typed(shape, source, 0, 9)
        x = Flags(shape) if source == "bool" else x
        yield Case("CAST", [x], [(shape, target)], "CastOptions", options, _note(source, target))


def _typed_moves(x: Operand, dtype: str) -> Iterator[Case]:
    yield Case("RESHAPE", [x, Fixed([3, 20])], [((3, 20), dtype)], "ReshapeOptions", {}, dtype)
    yield Case("TRANSPOSE", [x, Fixed([0, 2, 3, 1])], [((1, 4, 5, 3), dtype)], "TransposeOptions", {}, dtype)
    yield Case(
        "SLICE", [x, Fixed([0, 1, 0, 0]), Fixed([1, 2, 4, 5])], [((1, 2, 4, 5), dtype)], "SliceOptions", {},
        dtype,
    )  # fmt: skip
    yield Case("TILE", [x, Fixed([1, 2, 1, 1])], [((1, 6, 4, 5), dtype)], "TileOptions", {}, dtype)
    yield Case("CONCATENATION", [x, x], [((1, 3, 4, 10), dtype)], "ConcatenationOptions", {"axis": 3}, dtype)
    yield Case("ARG_MAX", [x, Fixed(2)], [((1, 3, 5), "int32")], "ArgMaxOptions", {"outputType": 2}, dtype)
    yield Case("GATHER", [x, Fixed([2, 0])], [((1, 2, 4, 5), dtype)], "GatherOptions", {"axis": 1}, dtype)


def _reductions() -> Iterator[Case]:
    kinds = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 3, 4, 5), (1, 2, 3, 4, 5)):
        ranks = range(len(shape))
        every = itertools.chain.from_iterable(itertools.combinations(ranks, n) for n in (1, 2, 3, 4))
        for axes, keep in itertools.product(every, (False, True)):
            for kind in kinds[: 5 if len(axes) == 1 else 1]:
                kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
                yield Case(
                    kind, [Value(shape, 0.5, 1.5), Fixed(list(axes))], [kept], "ReducerOptions",
                    {"keepDims": keep}, _note(shape, "over", axes, "keep" if keep else "drop"),
                )  # fmt: skip
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5)):
        for axis in range(len(shape)):
            kept = tuple(d for i, d in enumerate(shape) if i != axis)
            for kind in ("ARG_MAX", "ARG_MIN"):
                table = "ArgMaxOptions" if kind == "ARG_MAX" else "ArgMinOptions"
                yield Case(
                    kind, [Value(shape, -2.0, -0.25), Fixed(axis)], [(kept, "int32")], table,
                    {"outputType": 2}, _note(shape, axis),
                )  # fmt: skip
            yield Case("REVERSE_V2", [Value(shape), Fixed([axis])], [shape], None, {}, _note(shape, axis))
            for exclusive, reverse in itertools.product((False, True), repeat=2):
                yield Case(
                    "CUMSUM", [Value(shape), Fixed(axis)], [shape], "CumsumOptions",
                    {"exclusive": exclusive, "reverse": reverse}, _note(shape, axis, exclusive, reverse),
                )  # fmt: skip
        top = (*shape[:-1], 2)
        yield Case(
            "TOPK_V2", [Value(shape), Fixed(2)], [top, (top, "int32")], "TopKV2Options", {}, _note(shape)
        )


def _pads() -> Iterator[Case]:
    for shape in ((5,), (3, 4), (2, 3, 4), (1, 3, 4), (2, 3, 4, 5), (1, 3, 4, 5)):
        for axis in range(len(shape)):
            amounts = [[1, 2] if i == axis else [0, 0] for i in range(len(shape))]
            made = tuple(d + sum(a) for d, a in zip(shape, amounts, strict=True))
            note = _note(shape, axis)
            yield Case("PAD", [Value(shape), Fixed(amounts)], [made], "PadOptions", {}, note)
            operands = [Value(shape), Fixed(amounts), Weights((), -3.0, -3.0)]
            yield Case("PADV2", operands, [made], "PadV2Options", {}, note)
            if shape[axis] > 2:
                for mode in (0, 1):
                    yield Case(
                        "MIRROR_PAD", [Value(shape), Fixed(amounts)], [made], "MirrorPadOptions",
                        {"mode": mode}, _note(note, mode),
                    )  # fmt: skip


def _slices() -> Iterator[Case]:
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 3, 4, 5), (1, 2, 3, 4, 5)):
        begin, size = [0] * (len(shape) - 1) + [1], [*shape[:-1], 2]
        yield Case(
            "SLICE",
            [Value(shape), Fixed(begin), Fixed(size)],
            [tuple(size)],
            "SliceOptions",
            {},
            _note(shape),
        )
        for step in (1, 2, -1):
            start, end = ([0], [shape[-1]]) if step > 0 else ([shape[-1] - 1], [-shape[-1] - 1])
            made = (*shape[:-1], len(range(shape[-1])[::step]))
            ends = [Fixed([0] * (len(shape) - 1) + start), Fixed([*shape[:-1], *end])]
            yield Case(
                "STRIDED_SLICE", [Value(shape), *ends, Fixed([1] * (len(shape) - 1) + [step])], [made],
                "StridedSliceOptions", {}, _note(shape, step),
            )  # fmt: skip
        whole = [Fixed([0] * len(shape)), Fixed(list(shape)), Fixed([1] * len(shape))]
        yield Case(
            "STRIDED_SLICE", [Value(shape), *whole], [shape[1:]], "StridedSliceOptions",
            {"shrinkAxisMask": 1}, _note(shape, "shrink"),
        )  # fmt: skip
    x, ones = Value((1, 3, 4)), Fixed([1, 1, 1])
    yield Case(
        "STRIDED_SLICE", [x, Fixed([0, 0, 0]), Fixed([1, 3, 4]), ones], [(1, 1, 3, 4)], "StridedSliceOptions",
        {"newAxisMask": 2}, "new-axis",
    )  # fmt: skip
    yield Case(
        "STRIDED_SLICE", [x, Fixed([0, 1]), Fixed([0, 3]), Fixed([1, 1])], [(1, 3, 2)], "StridedSliceOptions",
        {"ellipsisMask": 1}, "ellipsis",
    )  # fmt: skip


def _gathers() -> Iterator[Case]:
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5)):
        for axis, indices in itertools.product(range(len(shape)), (1, [1, 0], [[1, 0], [0, 1]])):
            made = (*shape[:axis], *np.shape(indices), *shape[axis + 1 :])
            note = _note(shape, axis, "indices", np.ndim(indices))
            options = {"axis": axis}
            yield Case("GATHER", [Value(shape), Fixed(indices)], [made], "GatherOptions", options, note)
            if np.ndim(indices) == 1:
                run = [Value(shape), Typed((2,), "int32", 0, 1)]
                yield Case("GATHER", run, [made], "GatherOptions", options, note + "-computed")
                table = [Weights(shape), Typed((2,), "int32", 0, 1)]
                yield Case("GATHER", table, [made], "GatherOptions", options, note + "-table")
    batched = [Value((2, 3, 4)), Fixed([[1, 0], [0, 1]])]
    yield Case("GATHER", batched, [(2, 2, 4)], "GatherOptions", {"axis": 1, "batchDims": 1}, "batch-dims")
    yield Case(
        "EMBEDDING_LOOKUP", [Typed((3,), "int32", 0, 4), Weights((5, 8))], [(3, 8)], None, {}, "computed"
    )
    for shape, part in (
        ((6,), (3,)), ((4, 6), (2, 3)), ((1, 6), (1, 3)), ((2, 4, 6), (1, 2, 3)), ((1, 4, 6), (1, 2, 6)),
        ((2, 4, 4, 6), (1, 2, 2, 3)), ((1, 4, 4, 6), (1, 2, 2, 6)), ((1, 4, 4, 6), (1, 2, 2, 3)),
    ):  # fmt: skip
        start = [int(n > m) for n, m in zip(shape, part, strict=True)]
        for begin in (Typed((len(shape),), "int32", 1, 1), Fixed(start)):
            if isinstance(begin, Typed) and 1 in shape:
                continue
            word = "computed" if isinstance(begin, Typed) else "constant"
            yield Case(
                "DYNAMIC_UPDATE_SLICE", [Value(shape), Value(part), begin], [shape],
                "DynamicUpdateSliceOptions", {}, _note(word, shape, part),
            )  # fmt: skip
    for depth, shape in itertools.product((4,), ((3,), (2, 3), (1, 2, 3))):
        operands = [Typed(shape), Fixed(depth), Weights((), 1, 1), Weights((), 0, 0)]
        yield Case("ONE_HOT", operands, [(*shape, depth)], "OneHotOptions", {"axis": -1}, _note(shape))


def _selects() -> Iterator[Case]:
    for kind, table in {"SELECT": "SelectOptions", "SELECT_V2": "SelectV2Options"}.items():
        for shape in ((5,), (2, 3), (2, 3, 4), (1, 3, 4, 5), (2, 3, 4, 5)):
            pair = [Value(shape), Value(shape, 2, 3)]
            yield Case(kind, [Flags(shape), *pair], [shape], table, {}, _note(shape))
            fixed = [Value(shape), Weights(shape, 2, 3)]
            yield Case(kind, [Flags(shape), *fixed], [shape], table, {}, _note(shape, "constant"))
            if kind == "SELECT_V2":
                narrow = Flags((*shape[:-1], 1))
                yield Case(kind, [narrow, *pair], [shape], table, {}, _note(shape, "narrow"))
                one = [Value(shape), Value((1,), 2, 3)]
                yield Case(kind, [Flags(shape), *one], [shape], table, {}, _note(shape, "one"))
                scalar = [Value(shape), Weights((), 2, 3)]
                yield Case(kind, [Flags(shape), *scalar], [shape], table, {}, _note(shape, "scalar"))


def _conv(note: str, shape: Sequence[int] = (1, 9, 9, 4), **other: Any) -> Case:
    n, h, w, c = shape
    units, kernel, stride = other.get("units", 6), other.get("kernel", 3), other.get("stride", 1)
    padding, dilation, groups = other.get("padding", SAME), other.get("dilation", 1), other.get("groups", 1)
    reach = (kernel - 1) * dilation if padding == VALID else 0
    made = (n, -(-(h - reach) // stride), -(-(w - reach) // stride), units)
    filters: Operand = Weights((units, kernel, kernel, c // groups), axis=0)
    bias: Operand = None if other.get("bias") is None and "bias" in other else Weights((units,))
    if other.get("computed"):
        filters = Value((units, kernel, kernel, c // groups))
    if other.get("bias") == "computed":
        bias = Value((units,))
    options = {
        "padding": padding, "strideW": stride, "strideH": stride, "dilationWFactor": dilation,
        "dilationHFactor": dilation, "fusedActivationFunction": other.get("activation", 0),
    }  # fmt: skip
    return Case("CONV_2D", [Value(tuple(shape)), filters, bias], [made], "Conv2DOptions", options, note)


def _convolutions() -> Iterator[Case]:
    for kernel, stride, padding in itertools.product((1, 2, 3, 5), (1, 2, 3), (SAME, VALID)):
        note = _note("kernel", kernel, "stride", stride, "valid" if padding else "same")
        yield _conv(note, kernel=kernel, stride=stride, padding=padding)
    for activation in (1, 2, 3, 4, 5):
        yield _conv(_note("activation", activation), activation=activation)
    for channels, groups in ((4, 2), (8, 2), (8, 4), (16, 2), (12, 3), (6, 6), (8, 8), (6, 3)):
        yield _conv(_note("groups", channels, groups), (1, 6, 6, channels), units=2 * channels, groups=groups)
    for channels in (4, 6, 8):
        yield _conv(_note("depthwise", channels), (1, 6, 6, channels), units=channels, groups=channels)
    yield _conv("batch2", (2, 9, 9, 4))
    yield _conv("batch2-1x1", (2, 9, 9, 4), kernel=1)
    yield _conv("batch2-1x1-stride2", (2, 9, 9, 4), kernel=1, stride=2)
    yield _conv("1x1-stride2-even", (1, 8, 8, 4), kernel=1, stride=2)
    yield _conv("1x1-stride2-column", (1, 8, 1, 4), kernel=1, stride=2)
    yield _conv("1x1-one-pixel", (1, 1, 1, 4), kernel=1)
    yield _conv("computed-weights", computed=True)
    yield _conv("computed-1x1", computed=True, kernel=1)
    yield _conv("dilated-stride", dilation=2, padding=VALID, stride=2)


def _depthwise() -> Iterator[Case]:
    for channels, multiplier, stride, dilation in (
        (4, 1, 1, 1), (4, 1, 2, 1), (4, 1, 3, 1), (4, 2, 1, 1), (4, 3, 2, 1), (1, 4, 1, 1), (1, 8, 2, 1),
        (4, 1, 1, 2), (6, 1, 1, 3), (4, 2, 1, 2), (5, 1, 1, 1), (1, 1, 1, 1),
    ):  # fmt: skip
        for padding, batch in itertools.product((SAME, VALID), (1, 2)):
            reach = 2 * dilation if padding == VALID else 0
            side = -(-(9 - reach) // stride)
            units = channels * multiplier
            yield Case(
                "DEPTHWISE_CONV_2D",
                [Value((batch, 9, 9, channels)), Weights((1, 3, 3, units), axis=3), Weights((units,))],
                [(batch, side, side, units)], "DepthwiseConv2DOptions",
                {
                    "padding": padding, "strideW": stride, "strideH": stride, "depthMultiplier": multiplier,
                    "dilationWFactor": dilation, "dilationHFactor": dilation, "fusedActivationFunction": 0,
                }, _note(channels, multiplier, stride, dilation, padding, batch),
            )  # fmt: skip


def _dense() -> Iterator[Case]:
    for shape in ((8,), (1, 8), (3, 8), (2, 3, 8), (1, 3, 8), (1, 2, 3, 8), (2, 2, 3, 8), (1, 2, 2, 2)):
        for keep, bias, computed in itertools.product((False, True), (True, False), (False, True)):
            depth = 8
            if keep and shape[-1] != depth:
                continue
            made = (*shape[:-1], 6) if keep else (int(np.prod(shape)) // depth, 6)
            w: Operand = Value((6, depth)) if computed else Weights((6, depth), axis=0)
            operands = [Value(shape), w, Weights((6,)) if bias else None]
            words = (
                "keep" if keep else "flat",
                "bias" if bias else "none",
                "computed" if computed else "fixed",
            )
            yield Case(
                "FULLY_CONNECTED", operands, [made], "FullyConnectedOptions", {"keepNumDims": keep},
                _note(shape, *words),
            )  # fmt: skip
    for activation in (1, 2, 3):
        operands = [Value((3, 8)), Weights((6, 8), axis=0), Weights((6,))]
        options = {"fusedActivationFunction": activation}
        yield Case("FULLY_CONNECTED", operands, [(3, 6)], "FullyConnectedOptions", options, _note(activation))


def _transposed() -> Iterator[Case]:
    for side, stride, kernel, padding, batch in itertools.product(
        (4, 5), (1, 2, 3, 4), (1, 2, 3, 4, 5), (SAME, VALID), (1, 2)
    ):
        if batch == 2 and (side, kernel) != (4, 3):
            continue
        most = side * stride if padding == SAME else (side - 1) * stride + kernel
        least = (side - 1) * stride + (1 if padding == SAME else kernel)
        for size in sorted({least, most}):
            yield Case(
                "TRANSPOSE_CONV",
                [
                    Fixed([batch, size, size, 6]), Weights((6, kernel, kernel, 4), axis=0),
                    Value((batch, side, side, 4)), Weights((6,)),
                ],
                [(batch, size, size, 6)], "TransposeConvOptions",
                {"padding": padding, "strideW": stride, "strideH": stride},
                _note(side, size, "stride", stride, "kernel", kernel, "valid" if padding else "same", batch),
            )  # fmt: skip


def _products() -> Iterator[Case]:
    pairs = (
        ((3, 8), (8, 6)), ((2, 3, 8), (2, 8, 6)), ((1, 3, 8), (1, 8, 6)), ((2, 3, 8), (1, 8, 6)),
        ((1, 3, 8), (2, 8, 6)), ((2, 3, 8), (8, 6)), ((2, 2, 3, 8), (2, 2, 8, 6)),
        ((1, 2, 3, 8), (1, 2, 8, 6)), ((2, 2, 3, 8), (1, 2, 8, 6)), ((2, 2, 3, 8), (2, 1, 8, 6)),
        ((2, 2, 3, 8), (2, 8, 6)), ((1, 2, 3, 8), (8, 6)), ((1, 2, 3, 8), (2, 8, 6)),
    )  # fmt: skip
    for (a, b), constant, adjoint in itertools.product(pairs, (False, True), (False, True)):
        right = (*b[:-2], b[-1], b[-2]) if adjoint else b
        operand: Operand = Weights(right) if constant else Value(right)
        made = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
        yield Case(
            "BATCH_MATMUL", [Value(a), operand], [made], "BatchMatMulOptions",
            {"adjX": False, "adjY": adjoint},
            _note(a, right, "constant" if constant else "computed", "adjoint" if adjoint else "plain"),
        )  # fmt: skip


def _joins() -> Iterator[Case]:
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 6), (1, 3, 4, 6), (1, 2, 3, 4, 4)):
        for axis in range(len(shape)):
            made = tuple(2 * d if i == axis else d for i, d in enumerate(shape))
            note, options = _note(shape, axis), {"axis": axis}
            pair: list[Operand] = [Value(shape), Value(shape, 1, 2)]
            yield Case("CONCATENATION", pair, [made], "ConcatenationOptions", options, note)
            fixed: list[Operand] = [Value(shape), Weights(shape, 1, 2)]
            yield Case("CONCATENATION", fixed, [made], "ConcatenationOptions", options, note + "-constant")
            if len(shape) < 5:
                stacked = (*shape[:axis], 2, *shape[axis:])
                options = {"valuesCount": 2, "axis": axis}
                yield Case("PACK", pair, [stacked], "PackOptions", options, note)
            apart = [tuple(d for i, d in enumerate(shape) if i != axis)] * shape[axis]
            options = {"num": shape[axis], "axis": axis}
            yield Case("UNPACK", [Value(shape)], apart, "UnpackOptions", options, note)
            if shape[axis] % 2 == 0:
                half = tuple(d // 2 if i == axis else d for i, d in enumerate(shape))
                operands = [Fixed(axis), Value(shape)]
                yield Case("SPLIT", operands, [half, half], "SplitOptions", {"numSplits": 2}, note)
            if shape[axis] > 2:
                parts = [1, shape[axis] - 1]
                pieces = [tuple(p if i == axis else d for i, d in enumerate(shape)) for p in parts]
                operands = [Value(shape), Fixed(parts), Fixed(axis)]
                yield Case("SPLIT_V", operands, pieces, "SplitVOptions", {"numSplits": 2}, note)


def _moves() -> Iterator[Case]:
    for a, b in itertools.permutations(
        ((24,), (4, 6), (2, 3, 4), (1, 2, 3, 4), (2, 1, 3, 4), (1, 2, 1, 3, 4)), 2
    ):
        options = {"newShape": list(b)}
        yield Case("RESHAPE", [Value(a), Fixed(list(b))], [b], "ReshapeOptions", options, _note(a, b))
    for shape in ((3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 3, 4, 5)):
        for order in itertools.permutations(range(len(shape))):
            made = tuple(shape[i] for i in order)
            operands = [Value(shape), Fixed(list(order))]
            yield Case("TRANSPOSE", operands, [made], "TransposeOptions", {}, _note(shape, order))
    for shape in ((5,), (3, 4), (2, 3, 4), (2, 3, 4, 5)):
        for axis in range(len(shape)):
            times = [2 if i == axis else 1 for i in range(len(shape))]
            made = tuple(d * t for d, t in zip(shape, times, strict=True))
            yield Case("TILE", [Value(shape), Fixed(times)], [made], "TileOptions", {}, _note(shape, axis))
    for batch, block in itertools.product((1, 2), (2, 3)):
        side, deep = 2 * block, 2 * block * block
        yield Case(
            "SPACE_TO_DEPTH", [Value((batch, side, side, 2))], [(batch, 2, 2, deep)], "SpaceToDepthOptions",
            {"blockSize": block}, _note(batch, block),
        )  # fmt: skip
        yield Case(
            "DEPTH_TO_SPACE", [Value((batch, 2, 2, deep))], [(batch, side, side, 2)], "DepthToSpaceOptions",
            {"blockSize": block}, _note(batch, block),
        )  # fmt: skip


def _images() -> Iterator[Case]:
    for kind, batch in itertools.product(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), (1, 2)):
        table = "ResizeBilinearOptions" if "BILINEAR" in kind else "ResizeNearestNeighborOptions"
        for aligned, half in ((0, 0), (1, 0), (0, 1)):
            for size in ((8, 8), (7, 9), (2, 2), (1, 1)):
                operands = [Value((batch, 4, 4, 3)), Fixed(list(size))]
                options = {"alignCorners": bool(aligned), "halfPixelCenters": bool(half)}
                note = _note(batch, aligned, half, size)
                yield Case(kind, operands, [(batch, *size, 3)], table, options, note)
    for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"):
        for size, stride, padding, batch in itertools.product((2, 3), (1, 2, 3), (SAME, VALID), (1, 2)):
            side = -(-(8 - (size - 1 if padding else 0)) // stride)
            options = {
                "padding": padding, "strideW": stride, "strideH": stride, "filterWidth": size,
                "filterHeight": size, "fusedActivationFunction": 0,
            }  # fmt: skip
            note, x = _note(size, stride, padding, batch), Value((batch, 8, 8, 4))
            yield Case(kind, [x], [(batch, side, side, 4)], "Pool2DOptions", options, note)
        for activation in (1, 3, 4):
            options = {
                "padding": 0, "strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2,
                "fusedActivationFunction": activation,
            }  # fmt: skip
            note = _note("activation", activation)
            yield Case(kind, [Value((1, 8, 8, 4), -2, 2)], [(1, 4, 4, 4)], "Pool2DOptions", options, note)


def _others() -> Iterator[Case]:
    x = Value((1, 4, 4, 3))
    for slope in ((3,), (1, 1, 3), (4, 4, 3), (1,), (1, 1, 1), (1, 1, 1, 3), (4, 1, 3)):
        yield Case("PRELU", [x, Weights(slope, 0.1, 0.4)], [(1, 4, 4, 3)], None, {}, _note(slope))
        yield Case("PRELU", [x, Value(slope, 0.1, 0.4)], [(1, 4, 4, 3)], None, {}, _note(slope, "computed"))
    for shape in ((3, 4), (2, 3, 4)):
        slope = (1,) * (len(shape) - 2) + shape[-1:]
        yield Case("PRELU", [Value(shape), Weights(slope, 0.1, 0.4)], [shape], None, {}, _note(shape))
    yield Case("SHAPE", [Value((3, 8))], [((2,), "int32")], "ShapeOptions", {"outType": 2}, "plain")
    yield Case("BROADCAST_ARGS", [Fixed([1, 3]), Fixed([2, 1])], [((2,), "int32")], None)
    yield Case("FILL", [Fixed([3, 4]), Weights((), 1, 1)], [(3, 4)], "FillOptions", {}, "constant")
    yield Case("EXPAND_DIMS", [Value((2, 3)), Fixed(0)], [(1, 2, 3)], "ExpandDimsOptions", {}, "front")
    yield Case("SQUEEZE", [Value((1, 2, 3))], [(2, 3)], "SqueezeOptions", {"squeezeDims": [0]}, "front")
    yield Case("LOCAL_RESPONSE_NORMALIZATION", [x], [(1, 4, 4, 3)], "LocalResponseNormalizationOptions",
               {"radius": 2, "bias": 1.0, "alpha": 1.0, "beta": 0.5})  # fmt: skip
