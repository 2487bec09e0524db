"""The rows: one for each builtin op that LiteRT computes on integers.

Each was read in its kernel and run: ``tests/quantization/test_op_contract.py`` builds a model of the op,
quantizes it as its row says for every dtype it names and compares with the float op within a bound that
follows from the scales. Versions agree with ``graph.versions.op_version``. ``float_only`` has the other ops.
"""

from __future__ import annotations

from typing import Final

from tightfit.quantization.ops.op_rule import ALL, OpRule

_PROBABILITY: Final = {"int8": (1 / 256, -128), "int16": (1 / 32768, 0)}
_TANH: Final = {"int8": (1 / 128, 0), "int16": (1 / 32768, 0)}
_PRODUCT: Final = {"int8": 1.0, "int16": 1.0}
_MATMUL: Final = {"int8": 64.0, "int16": 1 / 32}
_GENERAL_SCALES: Final = {"potScaleInt16": False}
_LSTM_WEIGHTS: Final = (*range(1, 12), 16)
_RESOLUTION: Final = "int8 values are compared in units of 1/256"
_TABLE: Final = "int16 reads a table of 513 entries between which it interpolates"
_COARSE: Final = {"int16": "its int16 kernel compares in units of 1/256, coarser than int16 itself"}

_PRODUCTS: Final = (
    OpRule(
        "CONV_2D", "conv.cc", int8=3, int16=4, int4=7, int16_int4=8, weight=1, weight_axis=0, bias=2,
        needs_bias=True, short_bias=True, accumulator="product", hybrid=2, hybrid_per_channel=5,
        hybrid_int4=8, hybrid_int2=8,
        unless="grouped and hybrid it needs a scale for each channel",
    ),
    OpRule(
        "DEPTHWISE_CONV_2D", "depthwise_conv.cc", int8=3, int16=5, int4=7, weight=1, weight_axis=3, bias=2,
        needs_bias=True, accumulator="product", hybrid_per_channel=6,
        unless="hybrid with one scale gives garbage; without a bias it is refused",
        why_not={"float32": "its dynamic-range kernel takes int8 weights only"},
    ),
    OpRule(
        "TRANSPOSE_CONV", "transpose_conv.cc", int8=2, int16=3, weight=1, weight_axis=0, bias=3, activation=2,
        short_bias=True, keep_inputs=(0,), accumulator="product", hybrid=2, hybrid_per_channel=2,
    ),
    OpRule(
        "FULLY_CONNECTED", "fully_connected.cc", int8=4, int16=7, int4=10, int16_int4=13, weight=1,
        weight_axis=0, bias=2, short_bias=True, accumulator="product", hybrid=3, hybrid_per_channel=12,
        hybrid_int4=12, hybrid_int2=14, unless="runtimes before 2.12 read only the first of several scales",
    ),
    OpRule(
        "BATCH_MATMUL", "batch_matmul.cc", int8=2, int16=3, weight=1, runtime_weight=True,
        accumulator="product", gain=_MATMUL, hybrid=1,
    ),
    OpRule(
        "EMBEDDING_LOOKUP", "embedding_lookup.cc", int8=1, keep_inputs=(0,), same_scale=(1,), hybrid=3,
        hybrid_per_channel=4, hybrid_int4=4, hybrid_weights=(1,), hybrid_axis=0,
        why_not={"int16": "its table would take 16 bits; int8 rows with a float output take half"},
    ),
)  # fmt: skip

_RECURRENT: Final = (
    OpRule("RNN", "basic_rnn.cc", hybrid=2, hybrid_weights=(1, 2)),
    OpRule("UNIDIRECTIONAL_SEQUENCE_RNN", "unidirectional_sequence_rnn.cc", hybrid=2, hybrid_weights=(1, 2)),
    OpRule("LSTM", "lstm.cc", hybrid=3, hybrid_weights=_LSTM_WEIGHTS),
    OpRule(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", "unidirectional_sequence_lstm.cc", int8=1, same_scale=(18,), cell=19,
        gates=((1, 12), (2, 13), (3, 14), (4, 15), (5, None), (6, None), (7, None), (8, None)), hybrid=2,
        hybrid_weights=_LSTM_WEIGHTS,
        unless="in int8 its cell state is int16, up to ±64; peepholes and projections stay float",
    ),
    OpRule(
        "BIDIRECTIONAL_SEQUENCE_LSTM", "bidirectional_sequence_lstm.cc", hybrid=2,
        hybrid_weights=(*_LSTM_WEIGHTS, *range(18, 29), 33, *range(40, 48)),
    ),
    OpRule(
        "SVDF", "svdf.cc", hybrid=2, hybrid_weights=(1, 2),
        why_not={"int8": "its integer kernel needs the range of its state, which no model gives out"},
    ),
)  # fmt: skip

_ARITHMETIC: Final = (
    OpRule("ADD", "add.cc", int8=2, int16=3, accumulator="largest", int16_options=_GENERAL_SCALES),
    OpRule("SUB", "sub.cc", int8=2, int16=5, accumulator="largest", int16_options=_GENERAL_SCALES),
    OpRule("MUL", "mul.cc", int8=2, int16=4, accumulator="product", gain=_PRODUCT),
    OpRule("DIV", "div.cc", int8=1, int16=1, nonzero=1),
    OpRule("SQUARED_DIFFERENCE", "squared_difference.cc", int8=2, accumulator="square"),
    OpRule("MAXIMUM", "maximum_minimum.cc", int8=2, int16=4, same_scale=ALL),
    OpRule("MINIMUM", "maximum_minimum.cc", int8=2, int16=4, same_scale=ALL),
    OpRule("PRELU", "activations.cc", int8=1, int16=1, weight=1, accumulator="input"),
    OpRule("ABS", "elementwise.cc", int8=2, int16=3, accumulator="input"),
    OpRule("EXP", "exp.cc", int8=2, int16=2, unless=_TABLE),
    OpRule("LOG", "elementwise.cc", int8=2, int16=2, relative=0, unless=_TABLE + ": poor near zero"),
    OpRule("SQRT", "elementwise.cc", int8=2, int16=2, unless="rounds down; a negative input fails the call"),
    OpRule(
        "RSQRT", "elementwise.cc", int8=2, int16=3, relative=0,
        unless=_TABLE + "; a negative input fails the call",
    ),
)  # fmt: skip

_COMPARISONS: Final = (
    *(
        OpRule(
            kind, "comparisons.cc", int8=2, keep_outputs=(0,), same_inputs=(0, 1),
            least_input_scale=1 / 256, unless=_RESOLUTION, why_not=_COARSE,
        )
        for kind in ("EQUAL", "NOT_EQUAL")
    ),
    *(
        OpRule(
            kind, "comparisons.cc", int8=2, int16=int16, keep_outputs=(0,), same_inputs=(0, 1),
            least_input_scale=1 / 256, unless=_RESOLUTION + "; int16 compares stored integers",
        )
        for kind, int16 in (("LESS", 3), ("LESS_EQUAL", 1), ("GREATER", 1), ("GREATER_EQUAL", 3))
    ),
)  # fmt: skip

_ACTIVATIONS: Final = (
    OpRule("RELU", "activations.cc", int8=2, int16=3, accumulator="input"),
    OpRule("RELU6", "activations.cc", int8=2, int16=3, accumulator="input"),
    OpRule("RELU_N1_TO_1", "activations.cc", int8=1, accumulator="input"),
    OpRule("RELU_0_TO_1", "activations.cc", int8=1, accumulator="input"),
    OpRule("LEAKY_RELU", "activations.cc", int8=1, int16=2, accumulator="input"),
    OpRule("ELU", "activations.cc", int8=1),
    OpRule("HARD_SWISH", "activations.cc", int8=1, accumulator="input"),
    OpRule("GELU", "activations.cc", int8=2, int16=3, unless=_TABLE),
    OpRule("LOGISTIC", "activations.cc", int8=2, int16=3, fixed_output=_PROBABILITY),
    OpRule("TANH", "activations.cc", int8=2, int16=3, fixed_output=_TANH),
    OpRule("SOFTMAX", "activations.cc", int8=2, int16=3, fixed_output=_PROBABILITY),
    OpRule("LOG_SOFTMAX", "activations.cc", int8=2, fixed_output={"int8": (16 / 256, 127)}),
    OpRule("L2_NORMALIZATION", "l2norm.cc", int8=2, fixed_output={"int8": (1 / 128, 0)}),
)  # fmt: skip

_REDUCTIONS: Final = (
    OpRule("MEAN", "reduce.cc", int8=2, int16=3, keep_inputs=(1,), accumulator="input"),
    OpRule("SUM", "reduce.cc", int8=2, int16=1, keep_inputs=(1,), accumulator="input"),
    OpRule("REDUCE_PROD", "reduce.cc", int8=2, int16=2, keep_inputs=(1,), unless="rounds after each factor"),
    OpRule("REDUCE_MAX", "reduce.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("REDUCE_MIN", "reduce.cc", int8=2, int16=3, keep_inputs=(1,), same_scale=(0,)),
    OpRule("MAX_POOL_2D", "pooling.cc", int8=2, int16=3, same_scale=(0,)),
    OpRule("AVERAGE_POOL_2D", "pooling.cc", int8=2, int16=3, same_scale=(0,)),
    OpRule("ARG_MAX", "arg_min_max.cc", int8=2, keep_inputs=(1,), keep_outputs=(0,)),
    OpRule("ARG_MIN", "arg_min_max.cc", int8=2, keep_inputs=(1,), keep_outputs=(0,)),
    OpRule("TOPK_V2", "topk_v2.cc", int8=2, int16=3, keep_inputs=(1,), keep_outputs=(1,), same_scale=(0,)),
    OpRule("SHAPE", "shape.cc", int8=1, int16=1, keep_outputs=(0,)),
    OpRule("RANK", "rank.cc", int8=1, int16=1, keep_outputs=(0,)),
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
    OpRule("REVERSE_SEQUENCE", "reverse_sequence.cc", int16=1, keep_inputs=(1,), same_scale=(0,)),
    OpRule("SELECT", "select.cc", int8=2, int16=1, keep_inputs=(0,), same_scale=(1, 2)),
    OpRule("SELECT_V2", "select.cc", int8=1, int16=1, keep_inputs=(0,), same_scale=(1, 2)),
    OpRule(
        "DYNAMIC_UPDATE_SLICE", "dynamic_update_slice.cc", int8=1, int16=4, keep_inputs=(2,),
        same_scale=(0, 1),
    ),
    OpRule("FILL", "fill.cc", int8=3, int16=3, keep_inputs=(0,), same_scale=(1,)),
    OpRule("DILATE", "dilate.cc", int8=1, int16=1, keep_inputs=(1,), same_scale=(0, 2)),
    OpRule("SPARSE_TO_DENSE", "sparse_to_dense.cc", int8=3, keep_inputs=(0, 1), same_scale=(2, 3)),
    OpRule("ONE_HOT", "one_hot.cc", int8=1, keep_inputs=(0, 1), same_scale=(2, 3)),
    OpRule(
        "MATRIX_DIAG", "matrix_diag.cc", int16=1, same_scale=(0,),
        why_not={"int8": "its kernel fills with the stored integer 0, not with the zero point"},
    ),
    OpRule("MATRIX_SET_DIAG", "matrix_set_diag.cc", int8=1, int16=1, same_scale=(0, 1)),
    OpRule(
        "RESIZE_BILINEAR", "resize_bilinear.cc", int8=2, int16=4, keep_inputs=(1,), same_scale=(0,),
        unless="int16 rounds positions to 1/1024 of a pixel",
    ),
    OpRule(
        "RESIZE_NEAREST_NEIGHBOR", "resize_nearest_neighbor.cc", int8=2, int16=4, keep_inputs=(1,),
        same_scale=(0,),
    ),
)  # fmt: skip

OP_RULES: Final[dict[str, OpRule]] = {
    rule.kind: rule
    for rule in (
        *_PRODUCTS, *_RECURRENT, *_ARITHMETIC, *_COMPARISONS, *_ACTIVATIONS, *_REDUCTIONS, *_MOVEMENTS,
    )
}  # fmt: skip
"""Builtin operator → its row."""
