"""One small op for each row of the table; several of a kind where kernels tell them apart.

Ranges differ between the inputs of an op, so that a missing rescale shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.one_op_models import Case, Fixed, Operand, Value, Weights
from support.one_op_movements import movement_cases, recurrent_cases

SAME, VALID = 0, 1
RELU, RELU6 = 1, 3


def _conv(note: str = "", activation: int = 0, dilation: int = 1, groups: int = 1) -> Case:
    size = 6 if dilation == 1 else 8
    return Case(
        "CONV_2D",
        [Value((1, size, size, 4)), Weights((6, 3, 3, 4 // groups), axis=0), Weights((6,))],
        [(1, size, size, 6)],
        "Conv2DOptions",
        {
            "padding": SAME, "strideW": 1, "strideH": 1, "dilationWFactor": dilation,
            "dilationHFactor": dilation, "fusedActivationFunction": activation,
        },
        note,
    )  # fmt: skip


def _depthwise(note: str = "", multiplier: int = 1, dilation: int = 1) -> Case:
    return Case(
        "DEPTHWISE_CONV_2D",
        [
            Value((1, 8, 8, 4), -1.0, 2.0), Weights((1, 3, 3, 4 * multiplier), axis=3),
            Weights((4 * multiplier,)),
        ],
        [(1, 8, 8, 4 * multiplier)],
        "DepthwiseConv2DOptions",
        {
            "padding": SAME, "strideW": 1, "strideH": 1, "depthMultiplier": multiplier,
            "dilationWFactor": dilation, "dilationHFactor": dilation, "fusedActivationFunction": RELU6,
        },
        note,
    )  # fmt: skip


def _dense(note: str = "", *, bias: bool = True, keep: bool = False) -> Case:
    shape = (1, 3, 8) if keep else (3, 8)
    operands: list[Operand] = [Value(shape, -1.0, 3.0), Weights((6, 8), axis=0)]
    operands.append(Weights((6,)) if bias else None)
    return Case(
        "FULLY_CONNECTED", operands, [(*shape[:-1], 6)], "FullyConnectedOptions",
        {"keepNumDims": keep, "fusedActivationFunction": 0}, note,
    )  # fmt: skip


def _transpose_conv(note: str = "", *, bias: bool = True) -> Case:
    return Case(
        "TRANSPOSE_CONV",
        [
            Fixed([1, 8, 8, 6]), Weights((6, 3, 3, 4), axis=0), Value((1, 4, 4, 4)),
            *([Weights((6,))] if bias else []),
        ],
        [(1, 8, 8, 6)],
        "TransposeConvOptions",
        {"padding": SAME, "strideW": 2, "strideH": 2},
        note,
    )  # fmt: skip


def _matmul(note: str = "", *, constant: bool = False, adjoint: bool = False) -> Case:
    shape = (2, 8, 6) if not adjoint else (2, 6, 8)
    right: Operand = Weights(shape) if constant else Value(shape, -2.0, 1.0)
    return Case(
        "BATCH_MATMUL", [Value((2, 3, 8)), right], [(2, 3, 6)], "BatchMatMulOptions",
        {"adjX": False, "adjY": adjoint}, note,
    )  # fmt: skip


def _unary(kind: str, low: float = -1.0, high: float = 1.0, table: str | None = None, **options: Any) -> Case:
    return Case(kind, [Value((2, 3, 4, 5), low, high)], [(2, 3, 4, 5)], table, options)


def _binary(kind: str, table: str | None, note: str = "", **options: Any) -> Case:
    """Two inputs of different ranges, so that a missing rescale shows."""
    return Case(
        kind, [Value((2, 3, 4), -1.0, 1.0), Value((2, 3, 4), -0.5, 2.0)], [(2, 3, 4)], table, options, note
    )


def _broadcast(kind: str, table: str | None, rank: int = 4, **options: Any) -> Case:
    shape = (2, 3, 2, 2, 2, 2)[:rank]
    short = tuple(1 if i % 2 else d for i, d in enumerate(shape))
    return Case(kind, [Value(shape), Value(short, -0.5, 2.0)], [shape], table, options, f"broadcast{rank}d")


def _comparison(kind: str, table: str | None) -> Case:
    return Case(kind, [Value((4, 8), -4.0, 4.0), Value((4, 8), -2.0, 4.0)], [((4, 8), "bool")], table)


def _reduce(kind: str, axes: Sequence[int] = (1, 2), *, keep: bool = False, note: str = "") -> Case:
    shape = (2, 3, 4, 5)
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    low = 0.5 if kind == "REDUCE_PROD" else -1.0
    operands = [Value(shape, low, 1.5), Fixed(list(axes))]
    return Case(kind, operands, [kept], "ReducerOptions", {"keepDims": keep}, note)


def _pool(kind: str, padding: int = SAME, note: str = "") -> Case:
    side = 4 if padding == SAME else 3
    return Case(
        kind, [Value((1, 8, 8, 4), -1.0, 3.0)], [(1, side, side, 4)], "Pool2DOptions",
        {"padding": padding, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3},
        note,
    )  # fmt: skip


def _product_cases() -> list[Case]:
    return [
        _conv(), _conv("relu", RELU), _conv("dilated", dilation=2), _conv("grouped", groups=2),
        _depthwise(), _depthwise("multiplier2", 2), _depthwise("dilated", dilation=2),
        _dense(), _dense("no-bias", bias=False), _dense("keep-dims", keep=True),
        _transpose_conv(), _transpose_conv("no-bias", bias=False),
        _matmul(), _matmul("constant", constant=True), _matmul("adjoint", adjoint=True),
        Case("EMBEDDING_LOOKUP", [Fixed([3, 0, 3]), Weights((5, 8), axis=0)], [(3, 8)]),
    ]  # fmt: skip


def _elementwise_cases() -> list[Case]:
    cases = [
        _binary("ADD", "AddOptions"), _binary("ADD", "AddOptions", "relu", fusedActivationFunction=RELU),
        _broadcast("ADD", "AddOptions"), _broadcast("ADD", "AddOptions", 5),
        _binary("SUB", "SubOptions"), _broadcast("SUB", "SubOptions"), _broadcast("SUB", "SubOptions", 5),
        _binary("MUL", "MulOptions"), _binary("MUL", "MulOptions", "relu6", fusedActivationFunction=RELU6),
        _broadcast("MUL", "MulOptions"), _broadcast("MUL", "MulOptions", 5),
        _binary("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
        _broadcast("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
        _binary("MAXIMUM", "MaximumMinimumOptions"), _broadcast("MAXIMUM", "MaximumMinimumOptions"),
        _binary("MINIMUM", "MaximumMinimumOptions"), _broadcast("MINIMUM", "MaximumMinimumOptions", 5),
        Case("DIV", [Value((2, 3, 4)), Value((2, 3, 4), 0.5, 2.0)], [(2, 3, 4)], "DivOptions"),
        Case("PRELU", [Value((1, 4, 4, 3)), Weights((1, 1, 3), 0.1, 0.4)], [(1, 4, 4, 3)]),
    ]  # fmt: skip
    comparisons = {
        "EQUAL": "EqualOptions", "NOT_EQUAL": "NotEqualOptions", "LESS": "LessOptions",
        "LESS_EQUAL": "LessEqualOptions", "GREATER": "GreaterOptions", "GREATER_EQUAL": "GreaterEqualOptions",
    }  # fmt: skip
    return cases + [_comparison(kind, table) for kind, table in comparisons.items()]


def _activation_cases() -> list[Case]:
    return [
        _unary("RELU", -1.0, 3.0), _unary("RELU6", -4.0, 9.0), _unary("RELU_N1_TO_1", -3.0, 3.0),
        _unary("RELU_0_TO_1", -3.0, 3.0), _unary("LEAKY_RELU", table="LeakyReluOptions", alpha=0.2),
        _unary("ELU", -3.0, 2.0), _unary("HARD_SWISH", -4.0, 4.0, "HardSwishOptions"),
        _unary("GELU", -3.0, 3.0, "GeluOptions", approximate=False), _unary("LOGISTIC", -6.0, 6.0),
        _unary("TANH", -3.0, 3.0), _unary("SOFTMAX", -4.0, 4.0, "SoftmaxOptions", beta=1.0),
        _unary("LOG_SOFTMAX", -4.0, 4.0, "LogSoftmaxOptions"), _unary("EXP", -2.0, 1.0, "ExpOptions"),
        _unary("LOG", 0.25, 4.0), _unary("SQRT", 0.0, 4.0), _unary("RSQRT", 0.25, 4.0),
        _unary("ABS", -1.0, 0.5, "AbsOptions"),
        _unary("L2_NORMALIZATION", table="L2NormOptions"),
    ]  # fmt: skip


def _reduction_cases() -> list[Case]:
    return [
        _reduce("MEAN"), _reduce("MEAN", keep=True, note="keep"), _reduce("MEAN", (3,), note="last"),
        _reduce("SUM"), _reduce("SUM", (3,), keep=True, note="last"),
        _reduce("REDUCE_MAX"), _reduce("REDUCE_MIN"), _reduce("REDUCE_PROD", (3,)),
        _pool("MAX_POOL_2D"), _pool("MAX_POOL_2D", VALID, "valid"),
        _pool("AVERAGE_POOL_2D"), _pool("AVERAGE_POOL_2D", VALID, "valid"),
        Case("ARG_MAX", [Value((3, 8)), Fixed(1)], [((3,), "int32")], "ArgMaxOptions", {"outputType": 2}),
        Case("ARG_MIN", [Value((3, 8)), Fixed(1)], [((3,), "int32")], "ArgMinOptions", {"outputType": 2}),
        Case("TOPK_V2", [Value((3, 8)), Fixed(2)], [(3, 2), ((3, 2), "int32")], "TopKV2Options"),
        Case("SHAPE", [Value((3, 8))], [((2,), "int32")], "ShapeOptions", {"outType": 2}),
        Case("RANK", [Value((3, 8))], [((), "int32")], "RankOptions"),
    ]  # fmt: skip


CASES: list[Case] = [
    *_product_cases(),
    *_elementwise_cases(),
    *_activation_cases(),
    *_reduction_cases(),
    *movement_cases(),
    *recurrent_cases(),
]
