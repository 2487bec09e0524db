"""For each fix that GPUs need: an op that it rewrites."""

from __future__ import annotations

from support.one_op_models import Case, Fixed, Flags, Typed, Value, Weights

STRIDE2 = {
    "padding": 0, "strideW": 2, "strideH": 2, "dilationWFactor": 1, "dilationHFactor": 1,
    "fusedActivationFunction": 1,
}  # fmt: skip
UNIT = STRIDE2 | {"strideW": 1, "strideH": 1}
X = Value((1, 7, 7, 4))
CASES = {
    "four-dimensions": Case("SUB", [Value((4, 6)), Weights((4, 6))], [(4, 6)], "SubOptions"),
    "equal-batches": Case(
        "BATCH_MATMUL", [Value((2, 3, 8)), Value((8, 6))], [(2, 3, 6)], "BatchMatMulOptions",
        {"adjX": False, "adjY": False},
    ),
    "softmax-row": Case("SOFTMAX", [Value((5,))], [(5,)], "SoftmaxOptions", {"beta": 1.0}),
    "pad-in-four": Case(
        "PAD", [Value((2, 3, 4)), Fixed([[0, 0], [1, 1], [0, 2]])], [(2, 5, 6)], "PadOptions"
    ),
    "reverse-width": Case(
        "REVERSE_V2", [Value((2, 3, 5)), Fixed([2])], [(2, 3, 5)], "ReverseV2Options"
    ),
    "argmax-of-width": Case(
        "ARG_MAX", [Value((2, 3, 5), -2.0, -0.5), Fixed(2)], [((2, 3), "int32")],
        "ArgMaxOptions", {"outputType": 2},
    ),
    "forward-sum": Case(
        "CUMSUM", [Value((3, 4)), Fixed(0)], [(3, 4)], "CumsumOptions", {"exclusive": True, "reverse": True}
    ),
    "whole-transposed": Case(
        "TRANSPOSE_CONV", [Fixed([1, 7, 7, 6]), Weights((6, 3, 3, 4), axis=0), Value((1, 4, 4, 4))],
        [(1, 7, 7, 6)], "TransposeConvOptions", {"padding": 0, "strideW": 2, "strideH": 2},
    ),
    "bias-as-add": Case(
        "FULLY_CONNECTED", [Value((3, 8)), Value((6, 8)), Weights((6,))], [(3, 6)], "FullyConnectedOptions",
        {"fusedActivationFunction": 1},
    ),
    "dense-rows": Case(
        "FULLY_CONNECTED", [Value((8,)), Weights((6, 8)), Weights((6,))], [(1, 6)], "FullyConnectedOptions"
    ),
    "reshape": Case("SQUEEZE", [Value((2, 1, 3))], [(2, 3)], "SqueezeOptions", {"squeezeDims": [1]}),
    "keep-axes": Case(
        "STRIDED_SLICE", [Value((3, 4, 5)), Fixed([1, 0, 0]), Fixed([2, 4, 5]), Fixed([1, 2, 1])], [(2, 5)],
        "StridedSliceOptions", {"shrinkAxisMask": 1},
    ),
    "tile": Case("BROADCAST_TO", [Value((3, 1)), Fixed([2, 3, 4])], [(2, 3, 4)], None),
    "tile-choices": Case(
        "SELECT_V2", [Flags((2, 3, 4)), Value((2, 3, 1)), Weights((3, 4), 2, 3)], [(2, 3, 4)],
        "SelectV2Options",
    ),
    "add-in-turn": Case("ADD_N", [Value((1, 3, 4))] * 3, [(1, 3, 4)], "AddNOptions"),
    "clip": Case("RELU_0_TO_1", [Value((1, 3, 4), -2, 2)], [(1, 3, 4)]),
    "negative-argmax": Case(
        "ARG_MIN", [Value((1, 2, 3, 8)), Fixed(3)], [((1, 2, 3), "int32")], "ArgMinOptions",
        {"outputType": 2},
    ),
    "top-of-padded": Case(
        "TOPK_V2", [Value((2, 5)), Fixed(2)], [(2, 2), ((2, 2), "int32")], "TopKV2Options"
    ),
    "repeat-slope": Case("PRELU", [X, Weights((1,), 0.2, 0.2)], [(1, 7, 7, 4)]),
}  # fmt: skip
INTEGER = {
    "slice-before-stride": Case(
        "CONV_2D", [X, Weights((6, 1, 1, 4), axis=0), Weights((6,))], [(1, 4, 4, 6)], "Conv2DOptions", STRIDE2
    ),
    "four-dimensions of computed operands": Case(
        "ADD", [Value((2, 4, 6)), Value((4, 1))], [(2, 4, 6)], "AddOptions"
    ),
    "one-hot-of-reals": Case(
        "ONE_HOT",
        [Typed((3,)), Fixed(4), Weights((), 1, 1), Weights((), 0, 0)],
        [(3, 4)],
        "OneHotOptions",
        {"axis": -1},
    ),
    "gather-rows": Case("EMBEDDING_LOOKUP", [Typed((3,), "int32", 0, 4), Weights((5, 8))], [(3, 8)], None),
    "dense-rows of integers": Case(
        "FULLY_CONNECTED",
        [Value((2, 3, 8)), Weights((6, 8), axis=0), Weights((6,))],
        [(6, 6)],
        "FullyConnectedOptions",
    ),
    "split-groups": Case(
        "CONV_2D", [X, Weights((6, 3, 3, 2), axis=0), Weights((6,))], [(1, 7, 7, 6)], "Conv2DOptions", UNIT
    ),
}
