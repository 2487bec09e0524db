"""Ops with constant inputs, for every row of the folding tables: what LiteRT computes is the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tightfit.graph.ir import Op, Tensor

_RANDOM = np.random.default_rng(5)


@dataclass(frozen=True)
class Case:
    """An op with constant inputs and what it writes."""

    kind: str
    inputs: list[Any]
    shapes: list[list[int]]
    dtype: str = "float32"
    table: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def op(self, number: int) -> Op:
        """A new op with new tensors, the first output named by kind and number."""
        sources = []
        for i, values in enumerate(self.inputs):
            array = np.asarray(values)
            sources.append(Tensor(f"{self.kind}_{number}/in{i}", array.shape, array.dtype.name, array))
        named = [f"{self.kind}_{number}" + (f"/{i}" if i else "") for i in range(len(self.shapes))]
        outputs = [Tensor(n, s, self.dtype) for n, s in zip(named, self.shapes, strict=True)]
        return Op(self.kind, sources, outputs, dict(self.options), self.table)


def f32(*shape: int) -> np.ndarray:
    return _RANDOM.standard_normal(shape).astype(np.float32)


def i32(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)


X, Y = f32(2, 3, 4), f32(2, 3, 4)
N, M = i32([[7, -7, 8], [0, 5, -9]]), i32([[2, 2, -3], [4, -5, 4]])
FLAGS = np.array([[True, False, True], [False, False, True]])


def _elementwise() -> list[Case]:
    same: list[Case] = []
    for kind, table in (
        ("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"), ("DIV", "DivOptions"),
        ("MAXIMUM", "MaximumMinimumOptions"), ("MINIMUM", "MaximumMinimumOptions"),
        ("FLOOR_DIV", "FloorDivOptions"), ("FLOOR_MOD", "FloorModOptions"),
        ("SQUARED_DIFFERENCE", "SquaredDifferenceOptions"),
    ):  # fmt: skip
        same.append(Case(kind, [X, Y], [[2, 3, 4]], table=table))
        same.append(Case(kind, [X, f32(3, 1)], [[2, 3, 4]], table=table))
        same.append(Case(kind, [N, M], [[2, 3]], "int32", table))
    for activation in (1, 2, 3):
        options = {"fusedActivationFunction": activation}
        same.append(Case("ADD", [4 * X, Y], [[2, 3, 4]], table="AddOptions", options=options))
    for kind, table in (
        ("LESS", "LessOptions"), ("LESS_EQUAL", "LessEqualOptions"), ("GREATER", "GreaterOptions"),
        ("GREATER_EQUAL", "GreaterEqualOptions"), ("EQUAL", "EqualOptions"), ("NOT_EQUAL", "NotEqualOptions"),
    ):  # fmt: skip
        same.append(Case(kind, [N, i32(5)], [[2, 3]], "bool", table))
        same.append(Case(kind, [X, Y], [[2, 3, 4]], "bool", table))
    return same


def _unary() -> list[Case]:
    halves = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 3.7], np.float32)
    return [
        Case("NEG", [X], [[2, 3, 4]], table="NegOptions"),
        Case("NEG", [N], [[2, 3]], "int32", "NegOptions"),
        Case("ABS", [X], [[2, 3, 4]], table="AbsOptions"),
        Case("SQRT", [np.abs(X)], [[2, 3, 4]]),
        Case("RSQRT", [np.abs(X)], [[2, 3, 4]]),
        Case("SQUARE", [X], [[2, 3, 4]], table="SquareOptions"),
        Case("FLOOR", [halves], [[7]]),
        Case("CEIL", [halves], [[7]]),
        Case("ROUND", [halves], [[7]]),
        Case("LOGICAL_NOT", [FLAGS], [[2, 3]], "bool", "LogicalNotOptions"),
        Case("LOGICAL_AND", [FLAGS, FLAGS[:1]], [[2, 3]], "bool", "LogicalAndOptions"),
        Case("LOGICAL_OR", [FLAGS, FLAGS[:1]], [[2, 3]], "bool", "LogicalOrOptions"),
        Case("CAST", [X * 9], [[2, 3, 4]], "int32", "CastOptions", {"inDataType": 0, "outDataType": 2}),
        Case("CAST", [N], [[2, 3]], "float32", "CastOptions", {"inDataType": 2, "outDataType": 0}),
        Case("CAST", [N], [[2, 3]], "bool", "CastOptions", {"inDataType": 2, "outDataType": 6}),
        Case("CAST", [FLAGS], [[2, 3]], "float32", "CastOptions", {"inDataType": 6, "outDataType": 0}),
        Case("CAST", [i32(2**24 + 1)], [[]], "float32", "CastOptions", {"inDataType": 2, "outDataType": 0}),
    ]


def _reductions() -> list[Case]:
    table = "ReducerOptions"
    return [
        Case("SUM", [N, i32([1])], [[2]], "int32", table),
        Case("SUM", [N, i32([-1, 0])], [[1, 1]], "int32", table, {"keepDims": True}),
        Case("REDUCE_PROD", [N, i32([0])], [[3]], "int32", table),
        Case("REDUCE_MAX", [X, i32([0, 2])], [[3]], table=table),
        Case("REDUCE_MIN", [X, i32([1])], [[2, 1, 4]], table=table, options={"keepDims": True}),
    ]


def _choices() -> list[Case]:
    return [
        Case("SELECT", [FLAGS, f32(2, 3), f32(2, 3)], [[2, 3]], table="SelectOptions"),
        Case("SELECT", [np.array([True, False]), f32(2, 3), f32(2, 3)], [[2, 3]], table="SelectOptions"),
        Case("SELECT_V2", [FLAGS[:1], f32(2, 3), f32(2, 1)], [[2, 3]], table="SelectV2Options"),
    ]


def _ranges() -> list[Case]:
    start, limit, delta = (np.float32(v) for v in (0.1, 2.0, 0.3))
    return [
        Case("RANGE", [start, limit, delta], [[7]], table="RangeOptions"),
        Case("RANGE", [i32(10), i32(-1), i32(-3)], [[4]], "int32", "RangeOptions"),
        Case("FILL", [i32([2, 3]), np.float32(1.5)], [[2, 3]], table="FillOptions"),
        Case("BROADCAST_TO", [f32(3, 1), i32([2, 3, 4])], [[2, 3, 4]], table="BroadcastToOptions"),
        Case("BROADCAST_ARGS", [i32([3, 1]), i32([2, 1, 4])], [[3]], "int32"),
        Case("TILE", [X, i32([1, 2, 3])], [[2, 6, 12]], table="TileOptions"),
    ]


def _shapes() -> list[Case]:
    return [
        Case("RESHAPE", [X, i32([4, -1])], [[4, 6]], table="ReshapeOptions"),
        Case("RESHAPE", [X], [[24]], table="ReshapeOptions", options={"newShape": np.array([24])}),
        Case("TRANSPOSE", [X, i32([2, 0, 1])], [[4, 2, 3]], table="TransposeOptions"),
        Case("EXPAND_DIMS", [X, i32(-1)], [[2, 3, 4, 1]], table="ExpandDimsOptions"),
        Case("SQUEEZE", [f32(1, 3, 1)], [[3]], table="SqueezeOptions"),
        Case("SQUEEZE", [f32(1, 3, 1)], [[1, 3]], table="SqueezeOptions", options={"squeezeDims": [-1]}),
        Case("PACK", [f32(3), f32(3)], [[3, 2]], table="PackOptions", options={"valuesCount": 2, "axis": -1}),
        Case("UNPACK", [X], [[2, 4]] * 3, table="UnpackOptions", options={"num": 3, "axis": 1}),
        Case("SPLIT", [i32(2), X], [[2, 3, 2]] * 2, table="SplitOptions", options={"numSplits": 2}),
        Case("CONCATENATION", [X, f32(2, 1, 4)], [[2, 4, 4]], "float32",
             "ConcatenationOptions", {"axis": -2}),
        Case("REVERSE_V2", [X, i32([1])], [[2, 3, 4]], table="ReverseV2Options"),
        Case("PAD", [f32(2, 2), i32([[1, 0], [0, 2]])], [[3, 4]], table="PadOptions"),
        Case("PADV2", [f32(2, 2), i32([[1, 0], [0, 2]]), np.float32(7)], [[3, 4]], table="PadV2Options"),
        Case("MIRROR_PAD", [f32(3, 3), i32([[2, 1], [0, 2]])], [[6, 5]], table="MirrorPadOptions"),
        Case("MIRROR_PAD", [f32(3, 3), i32([[2, 1], [0, 3]])], [[6, 6]], "float32",
             "MirrorPadOptions", {"mode": 1}),
        Case("GATHER", [X, i32([[2, 0], [1, 1]])], [[2, 2, 2, 4]], "float32", "GatherOptions", {"axis": 1}),
        Case("SLICE", [X, i32([0, 1, 0]), i32([2, -1, 3])], [[2, 2, 3]], table="SliceOptions"),
    ]  # fmt: skip


def _strided() -> list[Case]:
    rows: list[tuple[list[int], list[int], list[int], list[int], dict[str, Any]]] = [
        ([0, 0, 0], [2, 3, 4], [1, 2, 3], [2, 2, 2], {}),
        ([1, -2, 0], [0, 9, -1], [1, 1, 1], [2, 3], {"shrinkAxisMask": 1}),
        ([-1, 2, 3], [-9, -9, -9], [-1, -1, -2], [2, 3, 2], {}),
        ([1, 1, 1], [1, 2, 3], [1, 1, 1], [2, 3, 2], {"beginMask": 3, "endMask": 3}),
        ([0, 1], [0, 3], [1, 1], [2, 3, 2], {"ellipsisMask": 1}),
        ([0, 0, 0, 0], [0, 2, 2, 3], [1, 1, 1, 1], [1, 2, 2, 3], {"newAxisMask": 1}),
        ([1, 0], [2, 0], [1, 1], [3, 4], {"shrinkAxisMask": 1, "ellipsisMask": 2}),
        ([0, 0, 1], [1, 2, 2], [1, 1, 1], [1, 2, 2], {"offset": True}),
    ]
    return [
        Case(
            "STRIDED_SLICE",
            [X, i32(b), i32(e), i32(s)],
            [shape],
            table="StridedSliceOptions",
            options=options,
        )
        for b, e, s, shape, options in rows
    ]


CASES = [
    *_elementwise(), *_unary(), *_reductions(), *_choices(), *_ranges(), *_shapes(), *_strided(),
    Case("FLOOR_MOD", [np.array([5, -5, 5]), np.array([3, 3, -3])], [[3]], "int64", "FloorModOptions"),
]  # fmt: skip
