"""One small op for each row of the lowerings; those of the integer kernels and the ones they have not."""

from __future__ import annotations

import dataclasses

from support.one_op_cases import CASES as QUANTIZED
from support.one_op_models import Case, Fixed, Value, Weights
from tightfit.training.lowering.op_lowerings import OP_LOWERINGS

SAME, VALID = 0, 1
_X = Value((2, 3, 4, 5), 0.25, 2.0)


def _plain(kind: str, low: float = -2.0, high: float = 2.0, table: str | None = None) -> Case:
    return Case(kind, [Value((2, 3, 4), low, high)], [(2, 3, 4)], table)


def _pair(kind: str, table: str | None = None, low: float = 0.25) -> Case:
    return Case(kind, [Value((2, 3, 4), low, 2.0), Value((3, 1), 0.5, 1.5)], [(2, 3, 4)], table)


def _strided(conv: Case, note: str, **options: int) -> Case:
    side = -(-8 // options.get("strideH", 1)) if options.get("padding") == SAME else 3
    shape = (1, side, side, conv.outputs[0][-1])
    operands = [Value((1, 8, 8, 4)), *conv.inputs[1:]]
    return dataclasses.replace(
        conv, inputs=operands, outputs=[shape], options={**conv.options, **options}, note=note
    )


def _products() -> list[Case]:
    conv = next(c for c in QUANTIZED if c.name == "CONV_2D")
    depthwise = next(c for c in QUANTIZED if c.name == "DEPTHWISE_CONV_2D")
    steps = {"strideW": 2, "strideH": 2}
    volume = {
        "padding": SAME, "strideD": 1, "strideW": 1, "strideH": 1, "dilationDFactor": 1, "dilationWFactor": 1,
        "dilationHFactor": 1, "fusedActivationFunction": 0,
    }  # fmt: skip
    return [
        _strided(conv, "stride-same", padding=SAME, **steps),
        _strided(conv, "stride-valid", padding=VALID, **steps),
        _strided(depthwise, "stride-same", padding=SAME, **steps),
        _strided(depthwise, "stride-valid", padding=VALID, **steps),
        dataclasses.replace(
            conv, inputs=[Value((2, 6, 6, 4)), Weights((5, 1, 1, 4)), Weights((5,))], outputs=[(2, 6, 6, 5)],
            note="pointwise",
        ),
        Case(
            "CONV_3D", [Value((1, 4, 4, 4, 2)), Weights((3, 3, 3, 2, 5)), Weights((5,))], [(1, 4, 4, 4, 5)],
            "Conv3DOptions", volume,
        ),
        Case(
            "TRANSPOSE_CONV", [Fixed([1, 9, 9, 6]), Weights((6, 3, 3, 4)), Value((1, 4, 4, 4))],
            [(1, 9, 9, 6)], "TransposeConvOptions", {"padding": VALID, "strideW": 2, "strideH": 2}, "valid",
        ),
        Case(
            "MUL", [Value((2, 3, 4)), Weights((4,))], [(2, 3, 4)], "MulOptions", {}, "per-channel",
        ),
        Case("ADD", [Weights((4,)), Value((2, 3, 4))], [(2, 3, 4)], "AddOptions", {}, "per-channel"),
    ]  # fmt: skip


def _elementwise() -> list[Case]:
    kinds = ("FLOOR", "CEIL", "ROUND", "SIGN", "SIN", "COS", "SQUARE", "NEG", "ZEROS_LIKE")
    return [
        *(_plain(kind) for kind in kinds),
        _pair("POW"), _pair("FLOOR_DIV"), _pair("FLOOR_MOD"), _pair("DIV", "DivOptions"),
        Case(
            "LOGICAL_AND", [Fixed([True, False, True], "bool"), Fixed([True, True, False], "bool")],
            [((3,), "bool")],
        ),
        Case("LOGICAL_OR", [Fixed([True, False], "bool"), Fixed([False, False], "bool")], [((2,), "bool")]),
        Case("LOGICAL_NOT", [Fixed([True, False], "bool")], [((2,), "bool")]),
        Case("CAST", [_X], [((2, 3, 4, 5), "int32")], "CastOptions", {"inDataType": 0, "outDataType": 2}),
        Case("REDUCE_ANY", [Fixed([[True, False], [False, False]], "bool"), Fixed([1])], [((2,), "bool")],
             "ReducerOptions", {"keepDims": False}),
        Case("REDUCE_ALL", [Fixed([[True, False], [True, True]], "bool"), Fixed([1])], [((2,), "bool")],
             "ReducerOptions", {"keepDims": False}),
        Case("CUMSUM", [_X, Fixed(2)], [_X.shape], "CumsumOptions", {"exclusive": False, "reverse": False}),
        Case("CUMSUM", [_X, Fixed(1)], [_X.shape], "CumsumOptions", {"exclusive": True, "reverse": True},
             "reverse"),
    ]  # fmt: skip


def _movements() -> list[Case]:
    return [
        Case("SQUEEZE", [Value((1, 2, 1, 3))], [(2, 3)], "SqueezeOptions", {"squeezeDims": []}, "all"),
        Case("RESHAPE", [_X, Fixed([-1, 10])], [(12, 10)], "ReshapeOptions", {}, "inferred"),
        Case(
            "STRIDED_SLICE", [_X, Fixed([0, 2, 0, 0]), Fixed([0, 0, 9, 9]), Fixed([1, -1, 1, 2])],
            [(2, 2, 4, 3)], "StridedSliceOptions", {"beginMask": 1, "endMask": 1}, "backwards",
        ),
        Case(
            "STRIDED_SLICE", [_X, Fixed([1, 0, 0]), Fixed([2, 0, 3]), Fixed([1, 1, 1])], [(3, 4, 3)],
            "StridedSliceOptions", {"shrinkAxisMask": 1, "ellipsisMask": 2}, "ellipsis",
        ),
        Case(
            "MIRROR_PAD", [Value((1, 4, 4, 2)), Fixed([[0, 0], [2, 1], [0, 2], [0, 0]])], [(1, 7, 6, 2)],
            "MirrorPadOptions", {"mode": 1}, "symmetric",
        ),
        Case("GATHER", [Value((2, 3, 4)), Fixed([[0, 2], [1, 1]])], [(2, 2, 4)], "GatherOptions",
             {"axis": 1, "batchDims": 1}, "batches"),
        Case("ONE_HOT", [Fixed([[1, 0]]), Fixed(3), Weights((), 2.0, 2.0), Weights((), -1.0, -1.0)],
             [(1, 3, 2)], "OneHotOptions", {"axis": 1}, "middle"),
        Case("PACK", [Value((2, 3)), Weights((2, 3))], [(2, 3, 2)], "PackOptions",
             {"valuesCount": 2, "axis": 2}, "constant"),
    ]  # fmt: skip


CASES: dict[str, Case] = {
    case.name: case
    for case in (*QUANTIZED, *_products(), *_elementwise(), *_movements())
    if case.kind in OP_LOWERINGS
}
