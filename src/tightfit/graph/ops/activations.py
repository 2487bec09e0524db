"""The fused activation function of an op."""

from __future__ import annotations

from typing import Final

from tightfit.graph.ir import Op

Ends = tuple[float | None, float | None]
"""The (least, largest) output value, None for unbounded."""

FUSED: Final = {0: "", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
"""``ActivationFunctionType`` of ``schema.fbs`` → the op that computes it."""

CLIPS: Final[dict[str, Ends]] = {
    "": (None, None), "RELU": (0.0, None), "RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0),
}  # fmt: skip
"""Activation functions that only clip; ``""`` is no activation."""


def fused_activation(op: Op) -> str:
    """Return the op kind of a fused activation, ``""`` for none, ``unknown`` for a new one.

    Example:
        >>> fused_activation(Op("ADD", [], [], {"fusedActivationFunction": 3}))
        'RELU6'
    """
    return FUSED.get(int(op.options.get("fusedActivationFunction", 0) or 0), "unknown")
