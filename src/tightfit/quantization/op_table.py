"""The rows: one for each builtin op that LiteRT computes on integers, checked by running every row.

Versions follow ``graph.versions``; the test of the contract runs each row on the real runtime, as int8, as
int16, per channel and as dynamic range, and compares within a bound that follows from the scales.
"""

from __future__ import annotations

from typing import Final

from tightfit.quantization.op_rules import ALL, OpRule

_PROBABILITY: Final = {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}
_SLOPE: Final = "alpha is int8 in both cases, per tensor"
_RESOLUTION: Final = "int8 values are compared in units of 1/256: finer differences count as equal"
_LSTM_WEIGHTS: Final = (*range(1, 12), 16)

_PRODUCTS: Final = (
    OpRule(
        "CONV_2D", "conv.cc", int8=3, int16=4, int4=7, weight=1, weight_axis=0, bias=2, needs_bias=True,
        short_bias=True, hybrid=2, hybrid_per_channel=5, hybrid_int4=8,
    ),
    OpRule(
        "DEPTHWISE_CONV_2D", "depthwise_conv.cc", int8=3, int16=5, int4=7, weight=1, weight_axis=3, bias=2,
        hybrid_per_channel=6,
    ),
    OpRule(
        "TRANSPOSE_CONV", "transpose_conv.cc", int8=2, int16=3, weight=1, weight_axis=0, bias=3, activation=2,
        short_bias=True, keep_inputs=(0,), hybrid=2, hybrid_per_channel=2,
    ),
    OpRule(
        "FULLY_CONNECTED", "fully_connected.cc", int8=4, int16=7, int4=10, int16_int4=13, weight=1,
        weight_axis=0, bias=2, short_bias=True, hybrid=3, hybrid_per_channel=12, hybrid_int4=12,
    ),
    OpRule("BATCH_MATMUL", "batch_matmul.cc", int8=2, int16=3, weight=1, hybrid=1),
    OpRule(
        "EMBEDDING_LOOKUP", "embedding_lookup.cc", weight=1, weight_axis=0, keep_inputs=(0,), hybrid=3,
        hybrid_per_channel=4, hybrid_int4=4,
    ),
)  # fmt: skip

_RECURRENT: Final = (
    OpRule("RNN", "basic_rnn.cc", hybrid=2, hybrid_weights=(1, 2)),
    OpRule("UNIDIRECTIONAL_SEQUENCE_RNN", "unidirectional_sequence_rnn.cc", hybrid=2, hybrid_weights=(1, 2)),
    OpRule(
        "BIDIRECTIONAL_SEQUENCE_RNN", "bidirectional_sequence_rnn.cc", hybrid=2,
        hybrid_weights=(1, 2, 5, 6, 10, 11),
    ),
    OpRule("LSTM", "lstm.cc", hybrid=3, hybrid_weights=_LSTM_WEIGHTS),
    OpRule(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", "unidirectional_sequence_lstm.cc", hybrid=2,
        hybrid_weights=_LSTM_WEIGHTS,
    ),
    OpRule(
        "BIDIRECTIONAL_SEQUENCE_LSTM", "bidirectional_sequence_lstm.cc", hybrid=2,
        hybrid_weights=(*_LSTM_WEIGHTS, *range(18, 29), 33, *range(40, 48)),
    ),
    OpRule("SVDF", "svdf.cc", hybrid=2, hybrid_weights=(1, 2)),
)  # fmt: skip

_ELEMENTWISE: Final = (
    OpRule("ADD", "add.cc", int8=2, int16=3, limits=("sum_scale",)),
    OpRule("SUB", "sub.cc", int8=2, int16=5),
    OpRule("MUL", "mul.cc", int8=2, int16=4),
    OpRule("DIV", "div.cc", int8=1, int16=1),
    OpRule("SQUARED_DIFFERENCE", "squared_difference.cc", int8=2),
    OpRule("MAXIMUM", "maximum_minimum.cc", int8=2, int16=4, same_scale=ALL),
    OpRule("MINIMUM", "maximum_minimum.cc", int8=2, int16=4, same_scale=ALL),
    OpRule("PRELU", "activations.cc", int8=1, int16=1, weight=1, unless=_SLOPE),
    OpRule("EQUAL", "comparisons.cc", int8=2, int16=5, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
    OpRule("NOT_EQUAL", "comparisons.cc", int8=2, int16=4, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
    OpRule("LESS", "comparisons.cc", int8=2, int16=3, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
    OpRule("LESS_EQUAL", "comparisons.cc", int8=2, int16=1, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
    OpRule("GREATER", "comparisons.cc", int8=2, int16=1, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
    OpRule("GREATER_EQUAL", "comparisons.cc", int8=2, int16=3, keep_outputs=(0,), same_inputs=(0, 1), unless=_RESOLUTION),
)  # fmt: skip

_ACTIVATIONS: Final = (
    OpRule("RELU", "activations.cc", int8=2, int16=3),
    OpRule("RELU6", "activations.cc", int8=2, int16=3),
    OpRule("RELU_N1_TO_1", "activations.cc", int8=1),
    OpRule("RELU_0_TO_1", "activations.cc", int8=1),
    OpRule("LEAKY_RELU", "activations.cc", int8=1, int16=2),
    OpRule("ELU", "activations.cc", int8=1),
    OpRule("HARD_SWISH", "activations.cc", int8=1),
    OpRule("GELU", "activations.cc", int8=2, int16=3),
    OpRule("LOGISTIC", "activations.cc", int8=2, int16=3, fixed_output=_PROBABILITY),
    OpRule("TANH", "activations.cc", int8=2, int16=3, fixed_output={"int8": (1 / 128, 0), "int16": (1 / 32768, 0)}),
    OpRule("SOFTMAX", "activations.cc", int8=2, int16=3, fixed_output=_PROBABILITY),
    OpRule("LOG_SOFTMAX", "activations.cc", int8=2, fixed_output={"int8": (16 / 256, 127)}),
    OpRule("L2_NORMALIZATION", "l2norm.cc", int8=2, fixed_output={"int8": (1 / 128, 0)}),
    OpRule("EXP", "exp.cc", int8=2, int16=2),
    OpRule("LOG", "elementwise.cc", int8=2, int16=2),
    OpRule("SQRT", "elementwise.cc", int8=2, int16=2),
    OpRule("RSQRT", "elementwise.cc", int8=2, int16=3),
    OpRule("ABS", "elementwise.cc", int8=2, int16=3),
    OpRule("NEG", "neg.cc", int8=1, int16=1, same_scale=(0,)),
)  # fmt: skip

_REDUCTIONS: Final = (
    OpRule("MEAN", "reduce.cc", int8=2, int16=3, keep_inputs=(1,)),
    OpRule("SUM", "reduce.cc", int8=2, int16=1, keep_inputs=(1,)),
    OpRule("REDUCE_PROD", "reduce.cc", int8=2, int16=2, keep_inputs=(1,)),
    OpRule("REDUCE_MAX", "reduce.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("REDUCE_MIN", "reduce.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("MAX_POOL_2D", "pooling.cc", int8=2, int16=3, same_scale=(0,)),
    OpRule("AVERAGE_POOL_2D", "pooling.cc", int8=2, int16=3, same_scale=(0,)),
    OpRule("ARG_MAX", "arg_min_max.cc", int8=2, int16=1, keep_inputs=(1,), keep_outputs=(0,)),
    OpRule("ARG_MIN", "arg_min_max.cc", int8=2, int16=1, keep_inputs=(1,), keep_outputs=(0,)),
    OpRule("TOPK_V2", "topk_v2.cc", int8=2, int16=3, keep_inputs=(1,), keep_outputs=(1,), same_scale=(0,)),
)  # fmt: skip

_MOVEMENTS: Final = (
    OpRule("RESHAPE", "reshape.cc", int8=1, int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("SQUEEZE", "squeeze.cc", int8=1, int16=1, same_scale=(0,)),
    OpRule("EXPAND_DIMS", "expand_dims.cc", int8=1, int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("TRANSPOSE", "transpose.cc", int8=2, int16=5, keep_inputs=(1,), same_scale=(0,)),
    OpRule("SLICE", "slice.cc", int8=2, int16=4, keep_inputs=(1, 2), same_scale=(0,)),
    OpRule("STRIDED_SLICE", "strided_slice.cc", int8=2, int16=1, keep_inputs=(1, 2, 3), same_scale=(0,)),
    OpRule("SPLIT", "split.cc", int8=2, int16=4, keep_inputs=(0,), same_scale=(1,)),
    OpRule("SPLIT_V", "split_v.cc", int8=2, int16=1, keep_inputs=(1, 2), same_scale=(0,)),
    OpRule("UNPACK", "unpack.cc", int8=2, int16=4, same_scale=(0,)),
    OpRule("PACK", "pack.cc", int8=2, int16=3, same_scale=ALL),
    OpRule("CONCATENATION", "concatenation.cc", int8=2, int16=3, same_scale=ALL),
    OpRule("GATHER", "gather.cc", int8=2, int16=4, keep_inputs=(1,), same_scale=(0,)),
    OpRule("GATHER_ND", "gather_nd.cc", int8=1, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("PAD", "pad.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("PADV2", "pad.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0, 2)),
    OpRule("MIRROR_PAD", "mirror_pad.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("TILE", "tile.cc", int8=3, int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("BROADCAST_TO", "broadcast_to.cc", int8=3, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("SPACE_TO_DEPTH", "space_to_depth.cc", int8=2, same_scale=(0,)),
    OpRule("DEPTH_TO_SPACE", "depth_to_space.cc", int8=2, same_scale=(0,)),
    OpRule("SPACE_TO_BATCH_ND", "space_to_batch_nd.cc", int8=2, int16=4, keep_inputs=(1, 2), same_scale=(0,)),
    OpRule("BATCH_TO_SPACE_ND", "batch_to_space_nd.cc", int8=2, int16=4, keep_inputs=(1, 2), same_scale=(0,)),
    OpRule("REVERSE_V2", "reverse.cc", int8=3, int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("REVERSE_SEQUENCE", "reverse_sequence.cc", int8=1, int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("SELECT", "select.cc", int8=2, int16=1, keep_inputs=(0,), same_scale=(1, 2)),
    OpRule("SELECT_V2", "select.cc", int8=1, int16=1, keep_inputs=(0,), same_scale=(1, 2)),
    OpRule("DYNAMIC_UPDATE_SLICE", "dynamic_update_slice.cc", int8=1, int16=4, keep_inputs=(2,), same_scale=(0, 1)),
    OpRule("FILL", "fill.cc", int8=3, int16=3, keep_inputs=(0,), same_scale=(1,)),
    OpRule("DILATE", "dilate.cc", int8=1, int16=1, keep_inputs=(1,), same_scale=(0, 2)),
    OpRule("SPARSE_TO_DENSE", "sparse_to_dense.cc", int8=3, int16=1, keep_inputs=(0, 1), same_scale=(2, 3)),
    OpRule("SCATTER_ND", "scatter_nd.cc", int8=1, int16=1, keep_inputs=(0, 2), same_scale=(1,)),
    OpRule("ONE_HOT", "one_hot.cc", int8=1, int16=1, keep_inputs=(0, 1), same_scale=(2, 3)),
    OpRule("RESIZE_BILINEAR", "resize_bilinear.cc", int8=2, int16=4, keep_inputs=(1,), same_scale=(0,)),
    OpRule("RESIZE_NEAREST_NEIGHBOR", "resize_nearest_neighbor.cc", int8=2, int16=4, keep_inputs=(1,), same_scale=(0,)),
)  # fmt: skip

OP_RULES: Final[dict[str, OpRule]] = {
    rule.kind: rule
    for rule in (*_PRODUCTS, *_RECURRENT, *_ELEMENTWISE, *_ACTIVATIONS, *_REDUCTIONS, *_MOVEMENTS)
}
