"""Which float ops between a DEQUANTIZE and a QUANTIZE the integer kernel replaces, and how exactly.

Measured on LiteRT 2.3 with its default delegate against the formula in float64, rounding half to even, on
random models of each op. A kind without a row is computed in float between its integers, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Promotion:
    """One op kind that becomes an integer op where its scales allow.

    Args:
        kind: builtin operator.
        steps: most integers of the output's scale that the int8 kernel is away from the formula.
        int16: the same of the int16 kernel, None where the float op is taken.
        equal: the kernel needs one scale for input and output, and only equal ones are in the source exact.
        any_output: the int8 kernel is right for every output scale, although the table fixes one.
        zero_point: the kernel honours a zero point of the weights, per tensor.
        reason: why the float op is taken where the scales do not allow the kernel.
    """

    kind: str
    steps: int = 0
    int16: int | None = None
    equal: bool = False
    any_output: bool = False
    zero_point: bool = False
    reason: str = ""


_COPIES: Final = (
    "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE", "DYNAMIC_UPDATE_SLICE",
    "EXPAND_DIMS", "GATHER", "GATHER_ND", "MAXIMUM", "MAX_POOL_2D", "MINIMUM", "MIRROR_PAD", "PACK", "PAD",
    "PADV2", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SLICE",
    "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE",
    "TRANSPOSE", "UNPACK",
)  # fmt: skip
_FIXED: Final = "its kernel fixes the output's scale to another than the source has"
_ROUNDS: Final = "its kernel copies the input's scale; rounding once in float is exact"

_ROWS: Final = (
    Promotion("CONV_2D", int16=1),
    Promotion("DEPTHWISE_CONV_2D", steps=1, int16=1),
    Promotion("TRANSPOSE_CONV", int16=1),
    Promotion("FULLY_CONNECTED", int16=1, zero_point=True),
    Promotion("BATCH_MATMUL", steps=1),
    Promotion("ADD", int16=0),
    Promotion("SUB", int16=0),
    Promotion("MUL", steps=1),
    Promotion("PRELU", steps=1),
    Promotion("RELU", int16=0),
    Promotion("RELU6", int16=0),
    Promotion("LEAKY_RELU", steps=1),
    Promotion("HARD_SWISH"),
    Promotion("ELU"),
    Promotion("GELU"),
    Promotion("TANH", any_output=True),
    Promotion("LOGISTIC", reason=_FIXED),
    Promotion("SOFTMAX", reason=_FIXED),
    Promotion("MEAN"),
    Promotion("AVERAGE_POOL_2D", steps=1, equal=True, reason=_ROUNDS),
    Promotion("RESIZE_BILINEAR", steps=1, equal=True, reason=_ROUNDS),
    *(Promotion(kind, int16=0) for kind in _COPIES),
)

PROMOTIONS: Final[dict[str, Promotion]] = {row.kind: row for row in _ROWS}

MONOTONE: Final = frozenset(_COPIES) | {"RELU", "RELU6"}
"""Ops that select values or clip them: rounding before is the same as rounding after."""

EXACT_IN_FLOAT: Final = "is computed in float between its integers, which is exact"
