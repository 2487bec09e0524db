"""The reasons why ops without a row in ``op_table`` are not quantized, as shown in reports.

The dtypes of these ops do not change. Between quantized ops, their float inputs are dequantized and their
float outputs quantized again.
"""

from __future__ import annotations

from typing import Final

from tightfit.quantization.ops.op_rule import RUNTIME

_NO_KERNEL: Final = f"no integer kernel in {RUNTIME}"
_INTEGERS: Final = "it works on plain integers or booleans, which stand for themselves"
_RAW: Final = "its integer kernel computes with the stored integers and ignores their scales"
_STABLEHLO: Final = f"{RUNTIME} runs StableHLO ops on stored numbers only and ignores their scales"
_NOT_RUN: Final = f"{RUNTIME} does not run this op"
_CONTROL: Final = "it calls other graphs, whose ops are quantized on their own"
_STATE: Final = "it keeps state between calls, and every reader and writer of it would have to share a scale"
_STRINGS: Final = "it handles keys and strings, not numbers"
_RANDOM: Final = "it makes random numbers, and its kernel makes floats only"
_CONVERTS: Final = "it converts dtypes itself"

_GROUPS: Final[tuple[tuple[str, str], ...]] = (
    (
        _NO_KERNEL,
        (
            "FLOOR CEIL ROUND SIGN SIN COS POW ATAN2 SQUARE CUMSUM ADD_N ZEROS_LIKE L2_POOL_2D CONV_3D "
            "LOCAL_RESPONSE_NORMALIZATION CONV_3D_TRANSPOSE SEGMENT_SUM UNSORTED_SEGMENT_PROD "
            "UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM UNSORTED_SEGMENT_MIN RFFT2D IMAG REAL COMPLEX_ABS "
            "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 BUCKETIZE MULTINOMIAL EMBEDDING_LOOKUP_SPARSE"
        ),
    ),
    (
        _INTEGERS,
        (
            "LOGICAL_OR LOGICAL_AND LOGICAL_NOT REDUCE_ANY REDUCE_ALL RANGE BROADCAST_ARGS BITWISE_XOR "
            "RIGHT_SHIFT"
        ),
    ),
    (_RAW, "FLOOR_DIV FLOOR_MOD REDUCE_WINDOW BITCAST WHERE"),
    (_CONTROL, "IF WHILE CALL_ONCE CALL"),
    (_STATE, "VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE"),
    (
        _STRINGS,
        "HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE HASHTABLE_LOOKUP LSH_PROJECTION SKIP_GRAM",
    ),
    (_RANDOM, "RANDOM_STANDARD_NORMAL RANDOM_UNIFORM"),
    (_CONVERTS, "CAST QUANTIZE DEQUANTIZE FAKE_QUANT DENSIFY"),
    (_NOT_RUN, "CONCAT_EMBEDDINGS DELEGATE PLACEHOLDER_FOR_GREATER_OP_CODES"),
    (
        _STABLEHLO,
        (
            "STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM "
            "STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM "
            "STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS "
            "STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG "
            "STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER "
            "STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER "
            "STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE "
            "STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT "
            "STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE STABLEHLO_RNG_BIT_GENERATOR "
            "STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE"
        ),
    ),
)

FLOAT_ONLY: Final[dict[str, str]] = {kind: reason for reason, kinds in _GROUPS for kind in kinds.split()} | {
    "NEG": f"{RUNTIME} negates the stored integers, so a zero point or a stored -32768 comes out wrong",
    "SCATTER_ND": "its int8 kernel fills with the stored integer 0, not with the zero point",
    "UNIQUE": "how many values differ would depend on the rounding",
    "BIDIRECTIONAL_SEQUENCE_RNN": (
        "its dynamic-range kernel runs a time-major sequence once for each of its steps"
    ),
    "STABLEHLO_COMPOSITE": "it stands for a graph of ops, which is quantized on its own",
    "CUSTOM": "nothing is known about the integer kernels of a custom op",
}
"""Op kind → the reason why it is not quantized."""


def reason(kind: str) -> str:
    """Return the reason why an op without a row is not quantized.

    Example:
        >>> reason("COS")
        'no integer kernel in LiteRT 2.3'
    """
    return FLOAT_ONLY.get(kind, f"tightfit does not know the op {kind}")
