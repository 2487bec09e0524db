"""One small float model for each op of the table: shapes, options, constants, ranges of the inputs.

``CASES`` lists them; several cases of a kind differ in a way that the integer kernels care about
(broadcasting, padding, constant operand …). ``build`` gives the model, ``draw`` inputs inside the ranges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tightfit.graph.ir import Graph, Model, Op, Signature, Tensor

SAME, VALID = 0, 1
RELU, RELU6 = 1, 3


@dataclass(frozen=True)
class Value:
    """A float input of the model, uniform in [low, high]."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class Weights:
    """A float constant, uniform in [low, high]; its channels (along ``axis``) differ in magnitude."""

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    axis: int | None = None


@dataclass(frozen=True)
class Fixed:
    """A constant that stays as it is: shapes, axes, indices, conditions."""

    values: Any
    dtype: str = "int32"


@dataclass(frozen=True)
class Flags:
    """A bool input of the model."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class State:
    """A float variable that the op updates, zero at the start."""

    shape: tuple[int, ...]


Operand = Value | Weights | Fixed | Flags | State | None


@dataclass(frozen=True)
class Case:
    """An op with its operands.

    Args:
        kind: the builtin operator.
        inputs: operands by input position.
        outputs: shapes of the outputs; an ``(shape, dtype)`` pair where the dtype is not float32.
        table: the name of the options table, None for none.
        options: its fields, named as in the schema's object API.
        note: tells cases of one kind apart.
    """

    kind: str
    inputs: Sequence[Operand]
    outputs: Sequence[Any]
    table: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.note}" if self.note else self.kind


def build(case: Case, seed: int = 0) -> Model:
    """Gives the float model of a case; constants depend on the seed only."""
    rng = np.random.default_rng(seed)
    graph = Graph(case.name)
    inputs = [_operand(graph, spec, f"in{i}", rng) for i, spec in enumerate(case.inputs)]
    outputs = [_output(spec, f"out{i}") for i, spec in enumerate(case.outputs)]
    graph.append(Op(case.kind, inputs, outputs, dict(case.options), case.table))
    graph.outputs = outputs
    signature = Signature(
        "serving_default", {t.name: t for t in graph.inputs}, {t.name: t for t in graph.outputs}
    )
    return Model([graph], [signature])


def draw(case: Case, seed: int = 1) -> dict[str, np.ndarray]:
    """Gives one value for each input of the model, inside the case's ranges and touching both ends."""
    rng = np.random.default_rng(seed)
    values: dict[str, np.ndarray] = {}
    for i, spec in enumerate(case.inputs):
        if isinstance(spec, Value):
            data = rng.uniform(spec.low, spec.high, spec.shape).astype(np.float32)
            if data.size > 1:
                data.reshape(-1)[:2] = rng.permutation([spec.low, spec.high])
            values[f"in{i}"] = data
        elif isinstance(spec, Flags):
            values[f"in{i}"] = rng.random(spec.shape) > 0.5
    return values


def _operand(graph: Graph, spec: Operand, name: str, rng: np.random.Generator) -> Tensor | None:
    if spec is None:
        return None
    if isinstance(spec, Value | Flags):
        tensor = Tensor(name, spec.shape, "bool" if isinstance(spec, Flags) else "float32")
        graph.inputs.append(tensor)
        return tensor
    if isinstance(spec, State):
        return Tensor(name, spec.shape, is_variable=True)
    if isinstance(spec, Fixed):
        data = np.asarray(spec.values, np.bool_ if spec.dtype == "bool" else spec.dtype)
        return Tensor(name, data.shape, spec.dtype, data)
    return Tensor(name, spec.shape, data=_weights(spec, rng))


def _weights(spec: Weights, rng: np.random.Generator) -> np.ndarray:
    data = rng.uniform(spec.low, spec.high, spec.shape)
    if spec.axis is not None:
        shape = [1] * len(spec.shape)
        shape[spec.axis] = -1
        data = data * np.geomspace(0.25, 1.0, spec.shape[spec.axis]).reshape(shape)
    return data.astype(np.float32)


def _output(spec: Any, name: str) -> Tensor:
    if spec and isinstance(spec[-1], str):
        return Tensor(name, spec[0], spec[1])
    return Tensor(name, spec)


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
            Value((1, 8, 8, 4), -1.0, 2.0),
            Weights((1, 3, 3, 4 * multiplier), axis=3),
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
    return Case(kind, [Value(shape, low, 1.5), Fixed(list(axes))], [kept], "ReducerOptions", {"keepDims": keep}, note)


def _pool(kind: str, padding: int = SAME, note: str = "") -> Case:
    side = 4 if padding == SAME else 3
    return Case(
        kind, [Value((1, 8, 8, 4), -1.0, 3.0)], [(1, side, side, 4)], "Pool2DOptions",
        {"padding": padding, "strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 3},
        note,
    )  # fmt: skip


def _resize(kind: str, table: str, note: str = "", **options: bool) -> Case:
    return Case(kind, [Value((1, 4, 4, 3)), Fixed([7, 9])], [(1, 7, 9, 3)], table, options, note)


def _recurrent_weights(units: int, depth: int, count: int) -> list[Operand]:
    return [Weights((units, depth), -0.5, 0.5) for _ in range(count)]


def _lstm(kind: str, table: str) -> Case:
    shape = (2, 4) if kind == "LSTM" else (3, 2, 4)
    operands: list[Operand] = [Value(shape)]
    operands += _recurrent_weights(5, 4, 4) + _recurrent_weights(5, 5, 4)
    operands += [None, None, None] + [Weights((5,)) for _ in range(4)] + [None, None]
    operands += [State((2, 5)), State((2, 5)), None, None, None, None]
    options = {"fusedActivationFunction": 4} | ({} if kind == "LSTM" else {"timeMajor": True})
    return Case(kind, operands, [(*shape[:-1], 5)], table, options)


def _bidirectional_lstm() -> Case:
    one: list[Operand] = _recurrent_weights(5, 4, 4) + _recurrent_weights(5, 5, 4)
    one += [None, None, None] + [Weights((5,)) for _ in range(4)] + [None, None]
    operands: list[Operand] = [Value((3, 2, 4)), *one, *one]
    operands += [State((2, 5)) for _ in range(4)] + [None] * 9
    return Case(
        "BIDIRECTIONAL_SEQUENCE_LSTM", operands, [(3, 2, 5), (3, 2, 5)], "BidirectionalSequenceLSTMOptions",
        {"fusedActivationFunction": 4, "timeMajor": True},
    )  # fmt: skip


def _recurrent_cases() -> list[Case]:
    cell: list[Operand] = [Weights((5, 4), -0.5, 0.5), Weights((5, 5), -0.5, 0.5), Weights((5,))]
    tanh = {"fusedActivationFunction": 4}
    return [
        Case("RNN", [Value((2, 4)), *cell, State((2, 5))], [(2, 5)], "RNNOptions", tanh),
        Case(
            "UNIDIRECTIONAL_SEQUENCE_RNN", [Value((3, 2, 4)), *cell, State((2, 5))], [(3, 2, 5)],
            "SequenceRNNOptions", {"timeMajor": True, **tanh},
        ),
        Case(
            "BIDIRECTIONAL_SEQUENCE_RNN",
            [Value((3, 2, 4)), *cell, State((2, 5)), *cell, State((2, 5)), None, None, None],
            [(3, 2, 5), (3, 2, 5)], "BidirectionalSequenceRNNOptions", {"timeMajor": True, **tanh},
        ),
        Case(
            "SVDF",
            [Value((2, 4)), Weights((6, 4)), Weights((6, 3)), Weights((6,)), State((2, 18))],
            [(2, 6)], "SVDFOptions", {"rank": 1},
        ),
        _lstm("LSTM", "LSTMOptions"),
        _lstm("UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTMOptions"),
        _bidirectional_lstm(),
    ]  # fmt: skip


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
        _unary("ABS", -1.0, 0.5, "AbsOptions"), _unary("NEG", -1.0, 0.5, "NegOptions"),
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
    ]  # fmt: skip


def _movement_cases() -> list[Case]:
    x = Value((2, 3, 4, 5), -1.0, 2.0)
    image = Value((1, 4, 4, 8), -1.0, 2.0)
    bilinear, nearest = "ResizeBilinearOptions", "ResizeNearestNeighborOptions"
    return [
        Case("RESHAPE", [x, Fixed([6, 20])], [(6, 20)], "ReshapeOptions", {"newShape": [6, 20]}),
        Case("SQUEEZE", [Value((2, 1, 3))], [(2, 3)], "SqueezeOptions", {"squeezeDims": [1]}),
        Case("EXPAND_DIMS", [Value((2, 3)), Fixed(1)], [(2, 1, 3)], "ExpandDimsOptions"),
        Case("TRANSPOSE", [x, Fixed([0, 2, 3, 1])], [(2, 4, 5, 3)], "TransposeOptions"),
        Case("SLICE", [x, Fixed([0, 1, 0, 2]), Fixed([2, 2, 4, 3])], [(2, 2, 4, 3)], "SliceOptions"),
        Case(
            "STRIDED_SLICE", [x, Fixed([0, 0, 0, 0]), Fixed([2, 3, 4, 5]), Fixed([1, 2, 1, 2])], [(2, 2, 4, 3)],
            "StridedSliceOptions",
        ),
        Case("SPLIT", [Fixed(3), Value((2, 3, 4, 6))], [(2, 3, 4, 2)] * 3, "SplitOptions", {"numSplits": 3}),
        Case("SPLIT_V", [x, Fixed([2, 3]), Fixed(3)], [(2, 3, 4, 2), (2, 3, 4, 3)], "SplitVOptions", {"numSplits": 2}),
        Case("UNPACK", [Value((2, 3))], [(3,), (3,)], "UnpackOptions", {"num": 2, "axis": 0}),
        Case("PACK", [Value((2, 3)), Value((2, 3), -0.5, 2.0)], [(2, 2, 3)], "PackOptions", {"valuesCount": 2, "axis": 0}),
        Case(
            "CONCATENATION", [Value((2, 3)), Value((2, 3), -0.5, 2.0), Weights((2, 2), -3.0, 3.0)], [(2, 8)],
            "ConcatenationOptions", {"axis": 1},
        ),
        Case("GATHER", [x, Fixed([2, 0])], [(2, 2, 4, 5)], "GatherOptions", {"axis": 1}),
        Case("GATHER_ND", [x, Fixed([[1, 0], [0, 2]])], [(2, 4, 5)], "GatherNdOptions"),
        Case("PAD", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]])], [(1, 6, 6, 8)], "PadOptions"),
        Case(
            "PADV2", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]]), Weights((), -3.0, -3.0)], [(1, 6, 6, 8)],
            "PadV2Options",
        ),
        Case("MIRROR_PAD", [image, Fixed([[0, 0], [1, 1], [1, 1], [0, 0]])], [(1, 6, 6, 8)], "MirrorPadOptions", {"mode": 0}),
        Case("TILE", [Value((2, 3)), Fixed([2, 1])], [(4, 3)], "TileOptions"),
        Case("BROADCAST_TO", [Value((1, 3)), Fixed([4, 3])], [(4, 3)], "BroadcastToOptions"),
        Case("SPACE_TO_DEPTH", [image], [(1, 2, 2, 32)], "SpaceToDepthOptions", {"blockSize": 2}),
        Case("DEPTH_TO_SPACE", [image], [(1, 8, 8, 2)], "DepthToSpaceOptions", {"blockSize": 2}),
        Case(
            "SPACE_TO_BATCH_ND", [image, Fixed([2, 2]), Fixed([[0, 0], [2, 0]])], [(4, 2, 3, 8)],
            "SpaceToBatchNDOptions",
        ),
        Case(
            "BATCH_TO_SPACE_ND", [Value((4, 2, 3, 8)), Fixed([2, 2]), Fixed([[0, 0], [1, 0]])], [(1, 4, 5, 8)],
            "BatchToSpaceNDOptions",
        ),
        Case("REVERSE_V2", [Value((2, 3, 4)), Fixed([1])], [(2, 3, 4)], "ReverseV2Options"),
        Case("SELECT", [Flags((2, 3)), Value((2, 3)), Value((2, 3), -0.5, 2.0)], [(2, 3)], "SelectOptions"),
        Case("SELECT_V2", [Flags((2, 1)), Value((2, 3)), Value((1, 3), -0.5, 2.0)], [(2, 3)], "SelectV2Options"),
        Case(
            "DYNAMIC_UPDATE_SLICE", [Value((4, 6)), Value((2, 3), -0.5, 2.0), Fixed([1, 2])], [(4, 6)],
            "DynamicUpdateSliceOptions",
        ),
        Case("FILL", [Fixed([3, 4]), Value((), 0.5, 0.5)], [(3, 4)], "FillOptions"),
        Case("DILATE", [Value((3, 4)), Fixed([2, 2]), Weights((), -3.0, -3.0)], [(5, 7)]),
        Case(
            "SPARSE_TO_DENSE", [Fixed([[1], [3]]), Fixed([5]), Value((2,)), Weights((), -3.0, -3.0)], [(5,)],
            "SparseToDenseOptions",
        ),
        Case("SCATTER_ND", [Fixed([[1], [3]]), Value((2, 4), -1.0, 2.0), Fixed([5, 4])], [(5, 4)], "ScatterNdOptions"),
        Case("REVERSE_SEQUENCE", [Value((2, 5)), Fixed([3, 4])], [(2, 5)], "ReverseSequenceOptions", {"seqDim": 1, "batchDim": 0}),
        Case("ONE_HOT", [Fixed([1, 0]), Fixed(3), Weights((), 2.0, 2.0), Weights((), -1.0, -1.0)], [(2, 3)], "OneHotOptions", {"axis": -1}),
        _resize("RESIZE_BILINEAR", bilinear), _resize("RESIZE_BILINEAR", bilinear, "half-pixel", halfPixelCenters=True),
        _resize("RESIZE_BILINEAR", bilinear, "corners", alignCorners=True),
        _resize("RESIZE_NEAREST_NEIGHBOR", nearest), _resize("RESIZE_NEAREST_NEIGHBOR", nearest, "half-pixel", halfPixelCenters=True),
    ]  # fmt: skip


CASES: list[Case] = [
    *_product_cases(),
    *_elementwise_cases(),
    *_activation_cases(),
    *_reduction_cases(),
    *_movement_cases(),
    *_recurrent_cases(),
]
