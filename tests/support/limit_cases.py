"""For each limit: its numbers, a model that keeps it and one that breaks it (both of one op)."""

from __future__ import annotations

import numpy as np

from support.gpu_limit_cases import GPU_CASES
from support.integer_models import SCALE, binary, conv, feature, fixed, mean, pool, resize, unary
from support.limit_models import (
    Limited,
    added,
    after_pad,
    argmax,
    big_bias,
    comparison,
    conv_input,
    conv_with,
    dense,
    depthwise,
    dilated,
    dynamic,
    float_dense,
    gathered,
    heavy,
    joined,
    lstm,
    many_scales,
    multiplied,
    padded,
    permuted,
    prelu,
    reversed_over,
    scattered,
    sliced,
    softmax,
    split,
    transposed,
    two_types,
    unscaled,
    with_scale,
    with_types,
    with_zero,
)

INT8 = ("int8",)
FUSED = {"known": ("RELU", "RELU6"), "types": INT8}
WINDOW = {"height": 256, "product": 65536}


POWERS = {"half_pixel_most": 2, "most": 8}
BILINEAR = "RESIZE_BILINEAR"

CASES: dict[str, Limited] = GPU_CASES | {
    "argmax_depth": Limited(lambda: argmax(127), lambda: argmax(128), {"most": 127}),
    "axis_is_batch": Limited(lambda: gathered(1, 1), lambda: gathered(1, 0)),
    "batch_one": Limited(lambda: mean((1, 4, 4, 2), [1]), lambda: mean((2, 4, 4, 2), [1])),
    "bias_range": Limited(
        lambda: conv(dtype="int16"), lambda: conv_with(big_bias(), conv(dtype="int16")), {"bits": 40}
    ),
    "bias_shape": Limited(conv, lambda: conv_with(fixed("b", np.zeros((2, 4)), "int32", 0.0005))),
    "bias_types": Limited(
        conv, lambda: conv_with(fixed("b", np.zeros(8), "int16", 0.0005)), {"types": ("int32", "int64")}
    ),
    "broadcasts": Limited(lambda: added((1, 1, 4, 2)), lambda: added((1, 2, 4, 2), (1, 8, 4, 2))),
    "channel_slope": Limited(lambda: prelu((1, 1, 3)), lambda: prelu((4, 4, 3))),
    "constant_bias": Limited(conv, lambda: conv_with(feature("b", (8,)))),
    "constant_parameters": Limited(
        lambda: padded([[0, 0]] * 4), lambda: padded([[0, 0]] * 4, constant=False)
    ),
    "constant_weights": Limited(dense, lambda: dense(runtime=True)),
    "data_type": Limited(lambda: unary("ABS"), lambda: unary("ABS", dtype="int16"), {"types": INT8}),
    "dense_weights": Limited(lambda: dense((5, 1, 6)), lambda: dense((5, 2, 3))),
    "depth_multiplier": Limited(lambda: depthwise(8, 2), lambda: depthwise(8, 1)),
    "dynamic_dense": Limited(
        dense, lambda: dense(runtime=True, x_dtype="int16"), {"types": INT8, "most": 65536}
    ),
    "equal_shapes": Limited(lambda: unary("GELU"), lambda: with_scale(SCALE)),
    "feature_map_types": Limited(lambda: unary("ABS"), lambda: unary("ABS", dtype="int16"), {"types": INT8}),
    "filter_depth": Limited(conv, lambda: conv_input(6)),
    "fused_activation": Limited(lambda: conv(activation=1), lambda: conv(activation=5), FUSED),
    "has_bias": Limited(conv, lambda: conv_with(None)),
    "innermost_permutation": Limited(lambda: permuted((2, 3), [1, 0]), lambda: permuted((2, 3), [1, 0, 2])),
    "inputs_between": Limited(lambda: joined(5), lambda: joined(6), {"least": 2, "most": 5}),
    "int4_one_scale": Limited(
        lambda: dense(weight_dtype="int4"), lambda: dense(weight_dtype="int4", channels=True)
    ),
    "int4_weights": Limited(
        lambda: dense(weight_dtype="int4"),
        lambda: dense(weight_dtype="int4", x_dtype="int16"),
        {"types": INT8},
    ),
    "known_rank": Limited(lambda: unary("ABS", (1,)), lambda: unary("ABS", ())),
    "matmul_depth": Limited(lambda: multiplied(8), lambda: multiplied(9), {"most": 8}),
    "mean_axis": Limited(
        lambda: mean((1, 4096, 2, 1), [1]), lambda: mean((1, 4097, 2, 1), [1]), {"most": 4096}
    ),
    "mean_depth": Limited(lambda: mean((1, 1, 4, 3), [3]), lambda: mean((1, 2, 4, 3), [3])),
    "mean_elements": Limited(
        lambda: mean((1, 256, 256, 1), [1, 2], "int16"),
        lambda: mean((1, 256, 257, 1), [1, 2], "int16"),
        {"int8": 1 << 24, "uint8": 1 << 23, "int16": 1 << 16},
    ),
    "no_bool_interface": Limited(lambda: unary("ABS"), comparison),
    "no_fused_activation": Limited(conv, lambda: conv(activation=1)),
    "no_hybrid": Limited(lambda: float_dense("float32"), lambda: float_dense("int8")),
    "no_int4": Limited(conv, lambda: conv(weight_dtype="int4")),
    "not_over_batch": Limited(lambda: mean((2, 4, 4, 1), [1]), lambda: mean((2, 4, 4, 1), [0])),
    "not_padding_batch": Limited(lambda: padded([[0, 0], [1, 1]] * 2), lambda: padded([[1, 0], [1, 1]] * 2)),
    "one_scale": Limited(lambda: unary("ABS"), many_scales),
    "outputs_at_most": Limited(lambda: split(4), lambda: split(5), {"most": 4}),
    "padded_window": Limited(
        lambda: pool("AVERAGE_POOL_2D", (1, 32, 32, 1), (1, 32, 32, 1), 8),
        lambda: pool("AVERAGE_POOL_2D", (1, 32, 32, 1), (1, 32, 32, 1), 9),
        {"most": 8},
    ),
    "padding_not_negative": Limited(
        lambda: padded([[0, 0], [1, 1]] * 2), lambda: padded([[0, 0], [-1, 1]] * 2)
    ),
    "parameter_types": Limited(
        lambda: padded([[0, 0]] * 4), lambda: padded([[0, 0]] * 4, "int16"), {"types": ("int32", "int64")}
    ),
    "plain_dense": Limited(dense, lambda: dense(format=1)),
    "plain_lstm": Limited(lambda: lstm(8), lambda: lstm(9)),
    "plain_slice": Limited(
        lambda: sliced([1] * 4), lambda: sliced([1] * 4, newAxisMask=1), {"masks": ("newAxisMask",)}
    ),
    "pooling_moves": Limited(
        lambda: pool("MAX_POOL_2D", (1, 4, 4, 1), (1, 2, 2, 1), 2, 2),
        lambda: pool("MAX_POOL_2D", (1, 4, 4, 1), (1, 2, 2, 1), 1, 2),
    ),
    "quantized": Limited(lambda: unary("ABS"), unscaled),
    "rank": Limited(lambda: unary("ABS", (1, 2, 3, 4)), lambda: unary("ABS", (1, 1, 2, 3, 4)), {"most": 4}),
    "resize_integer_powers": Limited(
        lambda: resize((1, 3, 5, 1), (1, 6, 20, 1), BILINEAR),
        lambda: resize((1, 3, 5, 1), (1, 9, 10, 1), BILINEAR),
    ),
    "resize_mode": Limited(
        lambda: resize((1, 3, 3, 1), (1, 6, 6, 1), BILINEAR, alignCorners=True),
        lambda: resize((1, 3, 3, 1), (1, 6, 6, 1), BILINEAR, alignCorners=True, halfPixelCenters=True),
    ),
    "resize_most": Limited(
        lambda: resize((1, 2, 2, 1), (1, 8, 8, 1)),
        lambda: resize((1, 2, 2, 1), (1, 10, 10, 1)),
        {"half_pixel_most": 4, "most": 8},
    ),
    "resize_powers": Limited(
        lambda: resize((1, 3, 5, 1), (1, 12, 20, 1)), lambda: resize((1, 3, 5, 1), (1, 6, 20, 1)), POWERS
    ),
    "reverse_nothing": Limited(lambda: unary("ABS"), lambda: reversed_over([1])),
    "same_dilations": Limited(lambda: dilated(2, 2), lambda: dilated(1, 2)),
    "same_input_types": Limited(lambda: two_types("int8"), lambda: two_types("int16")),
    "same_quantization": Limited(lambda: binary("MAXIMUM"), lambda: binary("MAXIMUM", second=0.1)),
    "same_scale": Limited(lambda: with_scale(SCALE), lambda: with_scale(0.1)),
    "same_types": Limited(lambda: with_types("int8", "int8"), lambda: with_types("int8", "int16")),
    "scale_below": Limited(lambda: unary("ABS"), lambda: with_scale(4.0), {"most": 2.0}),
    "short_bias": Limited(conv, lambda: conv_with(fixed("b", [0] * 8, "int64", 0.0005))),
    "slope_type": Limited(lambda: prelu((1, 1, 3)), lambda: prelu((1, 1, 3), "int16")),
    "softmax_beta": Limited(lambda: softmax((1, 4)), lambda: softmax((1, 4), 2.0), {"beta": 1.0}),
    "softmax_length": Limited(lambda: softmax((1, 16)), lambda: softmax((1, 17)), {"most": 16}),
    "softmax_rows": Limited(lambda: softmax((1, 4, 4, 2)), lambda: softmax((1, 4, 5, 2)), {"most": 16}),
    "static_shapes": Limited(lambda: dynamic((-1, 8, 8, 4)), lambda: dynamic((1, -1, 8, 4))),
    "stride_after_pad": Limited(lambda: after_pad(3, 13), lambda: after_pad(4, 16), {"most": 3}),
    "stride_at_most": Limited(lambda: conv(stride=3), lambda: conv(stride=4), {"most": 3}),
    "three_dimensions": Limited(lambda: unary("ABS", (1, 2, 3, 4)), lambda: unary("ABS", (2, 2, 3, 4))),
    "transpose_16bit": Limited(
        lambda: permuted((2, 3, 4, 5), [3, 2, 1, 0]),
        lambda: permuted((2, 7, 4, 5), [3, 2, 1, 0]),
        {"most": 20},
    ),
    "transpose_32bit": Limited(
        lambda: permuted((1, 3, 4, 5), [0, 2, 1, 3], "int32"),
        lambda: permuted((1, 3, 4, 5), [0, 3, 2, 1], "int32"),
    ),
    "transpose_rank": Limited(
        lambda: permuted((2, 3), [1, 0]), lambda: permuted((2, 3, 4), [1, 0, 2]), {"most": 2}
    ),
    "transposed_shape": Limited(lambda: transposed((8, 8)), lambda: transposed((7, 8))),
    "transposed_stride": Limited(lambda: transposed((8, 8)), lambda: transposed((8, 4), (2, 1))),
    "unique_indices": Limited(lambda: scattered([0, 3]), lambda: scattered([3, 3])),
    "unit_strides": Limited(
        lambda: sliced([1, 2, 2, 1]), lambda: sliced([1, 1, 2, 2]), {"axes_free": (-3, -2)}
    ),
    "unpadded_window": Limited(
        lambda: pool("AVERAGE_POOL_2D", (1, 256, 1, 1), (1, 1, 1, 1), 256, padding=1),
        lambda: pool("AVERAGE_POOL_2D", (1, 257, 1, 1), (1, 1, 1, 1), 257, padding=1),
        WINDOW,
    ),
    "unrolled_stride": Limited(
        lambda: conv((1, 17, 17, 4), (1, 4, 4, 8), 5, stride=4, padding=1),
        lambda: conv((1, 16, 16, 4), (1, 4, 4, 8), 7, stride=4),
        {"most": 3},
    ),
    "weight_sum": Limited(
        lambda: heavy(100), lambda: heavy(127), {"bits8": 127 * 65536, "bits16": 127 * 65536}
    ),
    "weight_types": Limited(conv, lambda: conv(weight_dtype="int4"), {"types": INT8}),
    "window": Limited(
        lambda: pool("MAX_POOL_2D", (1, 256, 1, 1), (1, 1, 1, 1), 256),
        lambda: pool("MAX_POOL_2D", (1, 257, 1, 1), (1, 1, 1, 1), 257),
        WINDOW,
    ),
    "zero_point_range": Limited(
        lambda: with_zero(-128), lambda: with_zero(-129), {"signed": (-128, 127), "unsigned": (0, 255)}
    ),
}
"""Limit → its cases; a test tells when one is missing."""
