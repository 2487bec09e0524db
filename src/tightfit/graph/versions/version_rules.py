"""The version that each builtin op needs by its types, ranks and options; the greatest one counts.

Source: ``tflite/converter/tools/versioning/op_version.cc``, with departures where the source falls through
to a version whose kernel does not support the types (marked "departure").
"""

from __future__ import annotations

from typing import Final

from tightfit.graph.versions.version_conditions import (
    Condition,
    adds_axes,
    all_of,
    both_are,
    broadcasts,
    either_is,
    general_scales,
    has_option,
    input_is,
    int4_to_float,
    is_dilated,
    is_grouped,
    is_hybrid,
    is_quantized,
    kernel_type,
    negation,
    output_is,
    per_channel,
    rank_above,
    rank_not_4,
    rescales_up,
    several_scales,
    two_inputs,
)

Rules = tuple[tuple[int, Condition], ...]

_FLOAT8: Final = ("float8_e4m3fn", "float8_e5m2")
_INT8, _INT16, _FLOAT16 = input_is(0, "int8"), input_is(0, "int16"), input_is(0, "float16")
_EIGHT = input_is(0, "int8", "uint8")
_BROADCAST_5D: Condition = all_of(broadcasts, rank_above(4))
_ASYMMETRIC = has_option("asymmetricQuantizeInputs")
_INT8_THEN_INT16: Rules = ((2, _INT8), (3, _INT16))
_INT8_ONLY: Rules = ((2, _INT8),)
_QUANTIZED_BIAS: Condition = all_of(_INT16, input_is(1, "int8"), has_option("quantizedBiasType"))
_BATCH_SPACE: Rules = ((4, _INT16), (3, rank_not_4), (2, _INT8))
_MIN_MAX: Rules = ((4, both_are("int16")), (3, _BROADCAST_5D), (2, _INT8))
_PAD: Rules = (
    (6, input_is(0, *_FLOAT8)),
    (5, input_is(0, "bool")),
    (4, rank_above(4)),
    (3, _INT16),
    (2, _INT8),
)
_POOL: Rules = ((3, both_are("int16")), (2, _INT8))
_RESIZE: Rules = ((4, _INT16), (3, has_option("halfPixelCenters")), (2, _INT8))
_LOOKUP_8_16: Rules = ((2, input_is(0, "int8", "int16")),)
_RECURRENT: Rules = (
    (2, all_of(input_is(1, "int8"), output_is(0, "float32"))),
    (3, all_of(input_is(1, "int8"), output_is(0, "float32"), _ASYMMETRIC)),
)

VERSION_RULES: Final[dict[str, Rules]] = {
    "CONV_2D": (
        (8, _QUANTIZED_BIAS), (6, is_grouped), (3, both_are("int8")), (7, all_of(_INT8, input_is(1, "int4"))),
        (5, all_of(is_hybrid(1), per_channel(1, 0))), (2, is_hybrid(1)),
        (4, _INT16),  # departure: the source asks for int16 weights too, which no kernel has
        # departure: falls through to 1
        (8, all_of(input_is(0, "float32", "int16"), input_is(1, "int4", "int2"))),
    ),
    "DEPTHWISE_CONV_2D": (
        (6, all_of(is_hybrid(1), per_channel(1, 3))), (4, is_hybrid(1)), (3, both_are("int8")),
        (7, input_is(1, "int4")), (2, is_dilated),
        (5, _INT16),  # departure: as for CONV_2D
    ),
    "EMBEDDING_LOOKUP": (
        (4, input_is(1, "int4")), (5, input_is(1, "int2")),
        (4, all_of(per_channel(1, 0), negation(input_is(1, "float32")))),
        (3, all_of(input_is(1, "int8"), output_is(0, "float32"))),  # departure: falls through to 1
    ),
    "FAKE_QUANT": ((2, has_option("narrowRange")),),
    "FULLY_CONNECTED": (
        (14, input_is(1, "int2")), (13, all_of(_INT16, input_is(1, "int4"))),
        (12, all_of(is_hybrid(1), per_channel(1, 0))),
        (11, _QUANTIZED_BIAS), (6, two_inputs), (5, has_option("keepNumDims")), (4, both_are("int8")),
        (10, all_of(_INT8, input_is(1, "int4"))), (9, all_of(is_hybrid(1), _ASYMMETRIC)), (3, is_hybrid(1)),
        (8, lambda op: op.inputs[1] is not None and op.inputs[1].sparsity is not None),
        (2, has_option("weightsFormat")),
        (7, _INT16),  # departure: the source asks for int16 weights too
        (12, is_hybrid(1, "int4")),  # departure: falls through to 1
    ),
    "GATHER": (
        (8, input_is(0, *_FLOAT8)), (7, input_is(0, "int4")), (6, input_is(1, "int16")),
        (5, has_option("batchDims")),
        (4, _INT16), (3, input_is(0, "bool")), (2, _INT8),
    ),
    "SVDF": ((3, _INT8), (4, all_of(is_hybrid(1), _ASYMMETRIC)), (2, is_hybrid(1))),
    "SIGN": ((2, input_is(0, "int32")),),
    "SIN": ((2, _FLOAT16),),
    "COS": ((2, _FLOAT16),),
    "MUL": (
        (8, _FLOAT16), (7, all_of(_INT16, negation(is_quantized(0)), negation(is_quantized(1)))),
        (7, input_is(0, "uint32")),
        (6, input_is(0, "complex64")), (5, input_is(0, "int64")), (4, _INT16), (3, rescales_up), (2, _INT8),
    ),
    "MAX_POOL_2D": _POOL,
    "AVERAGE_POOL_2D": _POOL,
    "TRANSPOSE": (
        (9, _FLOAT16), (8, input_is(0, "bfloat16")), (8, rank_above(6)), (7, input_is(0, "int4")),
        (6, rank_above(5)),
        (5, _INT16), (4, rank_above(4)), (3, input_is(0, "bool")), (2, _INT8),
    ),
    "TRANSPOSE_CONV": (
        (5, all_of(input_is(2, "int16"), has_option("quantizedBiasType"))),
        (4, has_option("fusedActivationFunction")), (3, lambda op: op.input(3) is not None),
        (2, input_is(1, "int8")),
        (3, input_is(2, "int16")),  # departure: the source looks at the shape's dtype
    ),
    "LSTM": (
        (4, all_of(kernel_type(0), is_hybrid(2), _ASYMMETRIC)), (3, all_of(kernel_type(0), is_hybrid(2))),
        (2, kernel_type(1)),
    ),
    "SPLIT": (
        (5, input_is(1, *_FLOAT8)), (4, input_is(1, "int16")), (3, input_is(1, "int32")),
        (2, input_is(1, "int8")),
    ),
    "SPARSE_TO_DENSE": ((3, input_is(2, "int8", "uint8")), (2, input_is(2, "int64"))),
    "SLICE": (
        (8, _FLOAT16), (7, input_is(0, "int4")), (6, input_is(0, "uint32")), (5, rank_above(4)), (4, _INT16),
        (3, input_is(0, "string")), (2, _INT8),
    ),
    "UNPACK": (
        (6, input_is(0, *_FLOAT8)), (5, input_is(0, "float16", "bfloat16")), (4, both_are("int16")),
        (3, input_is(0, "bool")),
        (2, _EIGHT),
    ),
    "DEQUANTIZE": (
        (9, input_is(0, *_FLOAT8)), (8, input_is(0, "uint4")), (7, input_is(0, "int2")),
        (6, input_is(0, "int4")),
        (3, input_is(0, "int16", "float16")), (5, all_of(_INT8, several_scales)), (2, _INT8),
    ),
    "QUANTIZE": (
        (5, either_is("uint4")), (4, either_is("int4")), (3, several_scales), (2, output_is(0, "int16")),
    ),
    "FLOOR_DIV": ((3, input_is(0, "int16", "int8")), (2, input_is(0, "float32"))),
    "FLOOR_MOD": _LOOKUP_8_16,
    "L2_NORMALIZATION": ((2, output_is(0, "int8")),),
    "ABS": (
        (5, input_is(0, "int32")), (4, all_of(_INT16, negation(is_quantized()))),
        (3, all_of(_INT16, is_quantized())),
        (2, _EIGHT),
    ),
    "RELU": ((3, _INT16), (2, _EIGHT)),
    "STRIDED_SLICE": (
        (8, has_option("offset")), (7, input_is(0, "uint32")), (6, adds_axes), (5, input_is(0, "string")),
        (4, rank_above(4)),
        (3, input_is(0, "bool")), (2, _INT8),
    ),
    "REVERSE_V2": ((4, input_is(0, *_FLOAT8)), (3, _INT8), (2, input_is(0, "bool"))),
    "RESIZE_BILINEAR": _RESIZE,
    "RESIZE_NEAREST_NEIGHBOR": (*_RESIZE, (3, has_option("alignCorners"))),
    "MAXIMUM": _MIN_MAX,
    "MINIMUM": _MIN_MAX,
    "PACK": ((5, input_is(0, *_FLOAT8)), (4, input_is(0, "uint32")), (3, both_are("int16")), (2, _INT8)),
    "TILE": ((3, _INT8), (2, input_is(0, "string"))),
    "SQUEEZE": ((2, input_is(0, "string")),),
    "SPACE_TO_BATCH_ND": _BATCH_SPACE,
    "BATCH_TO_SPACE_ND": _BATCH_SPACE,
    "ADD": (
        (6, _FLOAT16), (5, all_of(_INT16, negation(is_quantized()))), (4, input_is(0, "int64")),
        (3, all_of(both_are("int16"), general_scales)), (2, _INT8),
    ),
    "SUB": (
        (5, all_of(both_are("int16"), general_scales)), (4, input_is(0, "int64")), (3, _BROADCAST_5D),
        (2, _INT8),
    ),
    "GATHER_ND": (
        (6, input_is(0, *_FLOAT8)), (5, input_is(0, "bool")), (4, input_is(1, "int16")), (3, _INT16),
        (2, input_is(0, "string")),
    ),
    "DIV": ((2, _BROADCAST_5D),),
    "TANH": ((3, both_are("int16")), (2, _INT8)),
    "LOGISTIC": ((3, both_are("int16")), (2, _INT8)),
    "FILL": (
        (5, input_is(1, *_FLOAT8)), (4, input_is(1, "float16")), (3, input_is(1, "int8", "int16")),
        (2, input_is(1, "bool", "string")),
    ),
    "EQUAL": ((5, _INT16), (3, input_is(0, "string")), (2, _INT8)),
    "NOT_EQUAL": ((4, _INT16), (3, input_is(0, "string")), (2, _INT8)),
    "LEAKY_RELU": ((2, _INT16),),
    "RANGE": ((2, input_is(0, "int64")),),
    "BATCH_MATMUL": ((3, _INT16), (2, _INT8), (4, all_of(is_hybrid(1), _ASYMMETRIC))),
    "PAD": _PAD,
    "PADV2": _PAD,
    "CONCATENATION": (
        (7, input_is(0, *_FLOAT8)), (6, _FLOAT16), (5, input_is(0, "int4")), (4, input_is(0, "uint32")),
        *_INT8_THEN_INT16,
    ),
    "SOFTMAX": ((4, _FLOAT16), *_INT8_THEN_INT16),
    "MEAN": _INT8_THEN_INT16,
    "MIRROR_PAD": _INT8_THEN_INT16,
    "REDUCE_MAX": _INT8_THEN_INT16,
    "REDUCE_MIN": _INT8_THEN_INT16,
    "RELU6": _INT8_THEN_INT16,
    "RSQRT": _INT8_THEN_INT16,
    "RNN": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_RNN": _RECURRENT,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _RECURRENT,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        (4, has_option("diagonalRecurrentTensors")), (3, all_of(is_hybrid(2), _ASYMMETRIC)),
        (2, is_hybrid(2)),
    ),
    "ARG_MAX": ((3, input_is(0, "bool")), (2, _INT8)),
    "ARG_MIN": ((3, input_is(0, "bool")), (2, _INT8)),
    "SELECT": (
        (4, input_is(1, "uint32")), (3, rank_above(4)),
        (2, input_is(1, "int8")),  # departure: the source looks at the condition's dtype
    ),
    "LESS": _INT8_THEN_INT16,
    "GREATER_EQUAL": _INT8_THEN_INT16,
    "SELECT_V2": ((2, input_is(1, "uint32")),),
    "SPLIT_V": ((3, input_is(0, *_FLOAT8)), (2, _INT8)),
    "SPACE_TO_DEPTH": _INT8_ONLY,
    "SUM": _INT8_ONLY,
    "LOG_SOFTMAX": _INT8_ONLY,
    "GREATER": _INT8_ONLY,
    "LESS_EQUAL": _INT8_ONLY,
    "SQUARED_DIFFERENCE": _INT8_ONLY,
    "DEPTH_TO_SPACE": _INT8_ONLY,
    "TOPK_V2": ((3, _INT16), (3, input_is(1, "int16")), (3, output_is(1, "int16")), (2, _INT8)),
    "EXP": _LOOKUP_8_16,
    "LOG": _LOOKUP_8_16,
    "REDUCE_PROD": _LOOKUP_8_16,
    "SQRT": _LOOKUP_8_16,
    "DYNAMIC_UPDATE_SLICE": (
        (6, input_is(0, "bfloat16")), (5, input_is(0, "int4")), (4, _INT16), (3, _FLOAT16),
        (2, input_is(2, "int64")),
    ),
    "BROADCAST_TO": ((4, input_is(0, *_FLOAT8)), (3, input_is(0, "int8", "int16"))),
    "CAST": (
        (9, either_is(*_FLOAT8)), (8, either_is("int2", "uint4")), (7, either_is("bfloat16")),
        (6, int4_to_float),
        (5, either_is("float64", "float16")), (4, either_is("uint16")), (3, either_is("int8")),
        (2, either_is("uint32")),
    ),
    "WHERE": ((2, negation(input_is(0, "bool"))),),
    "GELU": (
        (3, _FLOAT16), (2, _EIGHT),
        (3, _INT16),  # departure: falls through to 1, whose kernels are float and 8-bit
    ),
}  # fmt: skip
