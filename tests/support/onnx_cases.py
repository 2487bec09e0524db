"""Uses of every ONNX op in the table, joined to a few models so that few conversions test them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

RNG = np.random.default_rng(7)


@dataclass
class Case:
    """A node: inputs are shapes of random reals (tuples), constants (arrays) or absent (None)."""

    kind: str
    inputs: list[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1


def real(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray:
    return np.asarray(values, np.int64)


SPOTS = (2, 3, 4)
IMAGE = (1, 4, 6, 8)

UNARY = [
    Case(kind, [SPOTS])
    for kind in (
        "Abs", "Atan", "Ceil", "Cos", "Cosh", "Exp", "Floor", "HardSwish", "Mish", "Neg", "Relu", "Round",
        "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh", "Erf", "Asinh", "Identity",
        "Celu", "Elu", "Selu", "LeakyRelu", "HardSigmoid", "ThresholdedRelu", "IsNaN", "Hardmax",
        "Softmax", "LogSoftmax", "Acos", "Asin", "Atanh", "Dropout", "Size", "Shape",
    )
]  # fmt: skip
OTHER_ELEMENTS = [
    Case("Shrink", [SPOTS], {"lambd": 0.3, "bias": 0.1}),
    Case("MeanVarianceNormalization", [IMAGE]),
    Case("DFT", [(1, 32, 1), None, ints(1).reshape(())], {"onesided": 1}),
    Case("DFT", [(1, 24, 1), ints(16).reshape(())]),
    Case("STFT", [(1, 96, 1), ints(16).reshape(()), np.hanning(32).astype(np.float32)]),
    Case("Gelu", [SPOTS]),
    Case("Gelu", [SPOTS], {"approximate": "tanh"}),
    Case("Clip", [SPOTS, np.float32(-0.25), np.float32(0.5)]),
    Case("Clip", [SPOTS, None, np.float32(0.5)]),
    Case("Add", [SPOTS, (4,)]),
    Case("Sub", [SPOTS, (3, 1)]),
    Case("Mul", [SPOTS, SPOTS]),
    Case("Div", [SPOTS, np.abs(real(3, 4)) + 1]),
    Case("Mod", [SPOTS, np.abs(real(4)) + 1], {"fmod": 1}),
    Case("Pow", [SPOTS, np.float32(2)]),
    Case("Max", [SPOTS, (4,), SPOTS]),
    Case("Min", [SPOTS, (4,)]),
    Case("Mean", [SPOTS, (4,)]),
    Case("Sum", [SPOTS, SPOTS, (4,)]),
    Case("PRelu", [IMAGE, real(4, 1, 1)]),
    Case("Cast", [SPOTS], {"to": 6}),
    Case("CastLike", [SPOTS, ints(1)]),
    Case("Greater", [SPOTS, SPOTS]),
    Case("GreaterOrEqual", [SPOTS, SPOTS]),
    Case("Less", [SPOTS, SPOTS]),
    Case("LessOrEqual", [SPOTS, SPOTS]),
    Case("Equal", [SPOTS, np.zeros(4, np.float32)]),
    Case("Where", [RNG.random((3, 4)) > 0.5, SPOTS, (4,)]),
]
OTHER_ELEMENTS += [
    Case("IsInf", [SPOTS]),
]
ATTENTION = [
    Case("Attention", [(1, 4, 3, 8), (1, 2, 5, 8), (1, 2, 5, 8), real(3, 5)], {"is_causal": 1}),
    Case("Attention", [(1, 3, 8), (1, 3, 8), (1, 3, 8)], {"q_num_heads": 2, "kv_num_heads": 2}),
    Case("RotaryEmbedding", [(1, 2, 3, 8), real(1, 3, 4), real(1, 3, 4)]),
    Case("RotaryEmbedding", [(1, 2, 3, 8), real(1, 3, 2), real(1, 3, 2)],
         {"interleaved": 1, "rotary_embedding_dim": 4}),
]  # fmt: skip
KNOWN = [  # ops on constants are computed beforehand
    Case("Sqrt", [np.abs(real(3))]), Case("Log", [np.abs(real(3)) + 1]), Case("Acosh", [np.abs(real(3)) + 1]),
    Case("Reciprocal", [real(3) + 3]), Case("Not", [np.array([True, False])]),
    Case("And", [np.array([True, False]), np.array([True, True])]),
    Case("Or", [np.array([True, False]), np.array([True, True])]),
    Case("Xor", [np.array([True, False]), np.array([True, True])]),
    Case("BitwiseAnd", [ints(6, 3), ints(3, 3)]), Case("BitwiseOr", [ints(6, 3), ints(3, 3)]),
    Case("BitwiseXor", [ints(6, 3), ints(3, 3)]), Case("BitwiseNot", [ints(6, 3)]),
    Case("ConstantOfShape", [ints(2, 3)]), Case("Range", [np.int64(1), np.int64(9), np.int64(3)]),
    Case("Constant", [], {"value_floats": [1.0, 2.0]}), Case("Swish", [real(3)], {"alpha": 2.0}),
]  # fmt: skip
REDUCTIONS = [
    *[Case(f"Reduce{k}", [SPOTS, ints(1)]) for k in ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod")],
    Case("ReduceSum", [SPOTS, ints(0, 2)], {"keepdims": 0}),
    Case("ReduceSumSquare", [SPOTS, ints(-1)], {"keepdims": 0}),
    Case("ReduceLogSum", [np.abs(real(2, 3)) + 1, ints(1)]),
    Case("ReduceSum", [SPOTS], {"noop_with_empty_axes": 1}),
    Case("ArgMax", [SPOTS], {"axis": 1}),
    Case("LpPool", [IMAGE], {"kernel_shape": [2, 2]}),
    Case("GlobalLpPool", [IMAGE], {"p": 1}),
    Case("ArgMin", [SPOTS], {"axis": -1, "keepdims": 0}),
    Case("ArgMax", [(2, 3)], {"axis": 1, "select_last_index": 1}),
    Case("CumSum", [SPOTS, np.int64(1)]),
    Case("CumSum", [SPOTS, np.int64(2)], {"exclusive": 1, "reverse": 1}),
]
MOVES = [
    Case("Reshape", [SPOTS, ints(0, -1)]),
    Case("Flatten", [SPOTS], {"axis": 2}),
    Case("Squeeze", [(1, 3, 1), ints(0)]),
    Case("Unsqueeze", [SPOTS, ints(0, -1)]),
    Case("Transpose", [SPOTS], {"perm": [2, 0, 1]}),
    Case("Concat", [SPOTS, (2, 5, 4)], {"axis": 1}),
    Case("Split", [SPOTS, ints(1, 2)], {"axis": 1}, 2),
    Case("Split", [SPOTS], {"axis": 2, "num_outputs": 3}, 3),
    Case("Slice", [SPOTS, ints(-1, 2**62), ints(-(2**62), 0), ints(1, 2), ints(-1, -2)]),
    Case("Slice", [SPOTS, ints(1), ints(2**62), ints(-1)]),
    Case("Gather", [SPOTS, ints(2, 0)], {"axis": 1}),
    Case("Gather", [SPOTS, np.int64(-1)], {"axis": 2}),
    Case("GatherElements", [SPOTS, RNG.integers(0, 3, (2, 2, 4))], {"axis": 1}),
    Case("GatherND", [SPOTS, ints([0, 1], [1, 2])]),
    Case("GatherND", [SPOTS, ints([[1]], [[-1]])], {"batch_dims": 1}),
    Case("ScatterND", [(4, 3), ints([1], [3]), real(2, 3)]),
    Case("ScatterND", [(4, 3), ints([1], [3]), (2, 3)], {"reduction": "max"}),
    Case("ScatterND", [(4, 3), ints([1, 2], [1, 2]), (2,)], {"reduction": "add"}),
    Case("ScatterND", [(4, 3), ints([1], [1]), (2, 3)], {"reduction": "mul"}),
    Case("ScatterElements", [(4, 3), ints([3, -2, 0], [1, 1, 1]), (2, 3)]),
    Case("Col2Im", [(1, 12, 9), ints(4, 4), ints(2, 2)]),
    Case("Compress", [SPOTS, np.array([True, False, True])], {"axis": 1}),
    Case("ReverseSequence", [(4, 2, 3), ints(3, 4)]),
    Case("EyeLike", [(3, 4)], {"k": 1}),
    Case("CenterCropPad", [SPOTS, ints(1, 6)], {"axes": [1, 2]}),
    Case("AffineGrid", [(1, 2, 3), ints(1, 3, 4, 5)]),
    Case("Expand", [(3, 1), ints(2, 1, 4)]),
    Case("Tile", [SPOTS, ints(1, 2, 1)]),
    Case("Pad", [SPOTS, ints(0, 1, 0, 0, 0, 2), np.float32(1.5)]),
    Case("Pad", [SPOTS, ints(1, 1), None, ints(2)], {"mode": "reflect"}),
    Case("Pad", [SPOTS, ints(0, -1, 0, 0, 1, 0)]),
    Case("OneHot", [RNG.integers(0, 4, (3,)), np.int64(4), np.array([0, 2], np.float32)]),
    Case("TopK", [SPOTS, ints(2)], {}, 2),
    Case("TopK", [SPOTS, ints(2)], {"largest": 0, "axis": 1}, 2),
    Case("Trilu", [SPOTS]),
    Case("Trilu", [SPOTS, np.int64(-1)], {"upper": 0}),
    Case("DepthToSpace", [(1, 8, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", [(1, 2, 4, 6)], {"blocksize": 2}),
]
LAYERS = [
    Case("Conv", [IMAGE, real(5, 4, 3, 3), real(5)], {"pads": [1, 1, 1, 1]}),
    Case("Conv", [IMAGE, real(6, 2, 3, 2)], {"group": 2, "strides": [2, 1], "pads": [0, 1, 1, 0]}),
    Case(
        "Conv", [IMAGE, real(4, 1, 3, 3), real(4)], {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}
    ),
    Case("Conv", [IMAGE, real(2, 4, 2, 2)], {"dilations": [2, 2]}),
    Case("Conv", [(1, 4, 9), real(3, 4, 3)], {"pads": [1, 1]}),
    Case("ConvTranspose", [IMAGE, real(4, 3, 3, 3), real(3)], {"strides": [2, 2]}),
    Case("ConvTranspose", [IMAGE, real(4, 2, 4, 4)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("ConvTranspose", [IMAGE, real(4, 2, 2, 2)], {"strides": [2, 2], "group": 2}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("MaxPool", [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", [(1, 4, 9)], {"kernel_shape": [2], "strides": [2]}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", [IMAGE], {"kernel_shape": [3, 2], "dilations": [2, 3], "strides": [2, 1]}),
    Case("GridSample", [IMAGE, (1, 3, 2, 2)]),
    Case("GridSample", [IMAGE, (1, 3, 2, 2)],
         {"align_corners": 1, "mode": "nearest", "padding_mode": "border"}),
    Case("GlobalAveragePool", [IMAGE]),
    Case("GlobalMaxPool", [IMAGE]),
    Case("BatchNormalization", [IMAGE, real(4), real(4), real(4), np.abs(real(4)) + 0.1]),
    Case("InstanceNormalization", [IMAGE, real(4), real(4)]),
    Case("GroupNormalization", [IMAGE, real(4), real(4)], {"num_groups": 2}),
    Case("LayerNormalization", [SPOTS, real(4), real(4)]),
    Case("RMSNormalization", [SPOTS, real(4)]),
    Case("LpNormalization", [SPOTS]),
    Case("LRN", [IMAGE], {"size": 3}),
    Case("Gemm", [(2, 3), real(4, 3), real(4)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("MatMul", [SPOTS, real(4, 5)]),
    Case("MatMul", [SPOTS, (2, 4, 3)]),
    Case("Einsum", [SPOTS, (2, 4, 5)], {"equation": "bij,bjk->bik"}),
    Case("Einsum", [(3, 3, 2)], {"equation": "iij->ij"}),
]  # fmt: skip
RESIZES = [
    Case("Resize", [IMAGE, None, np.array([1, 1, 2, 2], np.float32)], {"mode": mode, **rest})
    for mode, rest in (
        ("nearest", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
        ("linear", {}),
        ("linear", {"coordinate_transformation_mode": "align_corners"}),
        ("linear", {"coordinate_transformation_mode": "asymmetric"}),
    )
] + [
    Case("Resize", [IMAGE, None, None, ints(1, 4, 9, 5)], {"mode": "nearest"}),
    Case("Resize", [IMAGE, None, None, ints(1, 4, 3, 5)], {"mode": "linear", "antialias": 1}),
    Case("Resize", [IMAGE, None, None, ints(1, 4, 9, 5)], {"mode": "cubic", "exclude_outside": 1}),
    Case("Resize", [IMAGE, None, None, ints(12, 20)],
         {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}),
    Case("Resize", [IMAGE, np.array([0, 0, 0.1, -0.2, 1, 1, 0.8, 0.9], np.float32), None, ints(1, 4, 5, 6)],
         {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}),
]  # fmt: skip
RECURRENT = [
    Case("LSTM", [(3, 1, 4), real(2, 20, 4), real(2, 20, 5), real(2, 40)],
         {"hidden_size": 5, "direction": "bidirectional"}, 3),
    Case("GRU", [(3, 1, 4), real(1, 15, 4), real(1, 15, 5), real(1, 30)], {"hidden_size": 5}, 2),
    Case("GRU", [(3, 1, 4), real(1, 15, 4), real(1, 15, 5), real(1, 30)],
         {"hidden_size": 5, "linear_before_reset": 1, "direction": "reverse"}, 2),
    Case("RNN", [(3, 1, 4), real(1, 5, 4), real(1, 5, 5)], {"hidden_size": 5}, 2),
    Case("RNN", [(3, 1, 4), real(1, 5, 4), real(1, 5, 5)], {"hidden_size": 5, "activations": ["Relu"]}, 2),
]  # fmt: skip

FAMILIES = {
    "one input": UNARY, "elements": OTHER_ELEMENTS, "constants": KNOWN, "reductions": REDUCTIONS,
    "moves": MOVES, "layers": LAYERS, "attention": ATTENTION, "resizes": RESIZES, "recurrent": RECURRENT,
}  # fmt: skip
