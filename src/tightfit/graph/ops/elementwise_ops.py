"""The ops whose output has the shape of their input and that act on each entry, or on the last axis."""

from __future__ import annotations

from typing import Final

UNARY: Final = frozenset(
    [
        "ABS",
        "CEIL",
        "COS",
        "ELU",
        "EXP",
        "FLOOR",
        "GELU",
        "HARD_SWISH",
        "L2_NORMALIZATION",
        "LEAKY_RELU",
        "LOG",
        "LOGISTIC",
        "LOG_SOFTMAX",
        "NEG",
        "RELU",
        "RELU6",
        "RELU_0_TO_1",
        "RELU_N1_TO_1",
        "ROUND",
        "RSQRT",
        "SIN",
        "SOFTMAX",
        "SQRT",
        "SQUARE",
        "TANH",
    ]
)
"""One operand: activations and mathematical functions."""

BINARY: Final = frozenset(["ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "POW", "SQUARED_DIFFERENCE", "SUB"])
"""Two operands, the smaller one broadcast."""
