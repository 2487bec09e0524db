"""Ops on stored integers that are no arithmetic: they move reals as well, or are computed on constants."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper

from tightfit.types import Array

MOVES: Final[dict[str, tuple[int, ...]]] = {
    "Clip": (1, 2), "Concat": (), "DepthToSpace": (), "Expand": (), "Flatten": (), "Gather": (),
    "Identity": (), "Max": (), "MaxPool": (), "Min": (), "Pad": (2,), "ReduceMax": (), "ReduceMin": (),
    "Reshape": (), "Resize": (), "Slice": (), "SpaceToDepth": (), "Split": (), "Squeeze": (),
    "Transpose": (), "Unsqueeze": (),
}  # fmt: skip
"""Ops that act on stored integers → the constant inputs that are integers of the same scale."""
ROUNDED_AGAIN: Final = ("Resize",)
"""Of these, those whose results are rounded: onnxruntime floors them."""


def computed(node: onnx.NodeProto, values: list[Array | None]) -> Array | None:
    """Return what a node makes of stored integers, None for an op that is not covered.

    Args:
        node: whose inputs are constants.
        values: of its inputs.
    """
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    x = values[0]
    assert x is not None  # noqa: S101 - the caller saw it
    if node.op_type == "Clip":
        low, high = (values[i] if i < len(values) else None for i in (1, 2))
        return np.clip(x, low, high)
    if node.op_type == "Transpose":
        return np.transpose(x, attributes.get("perm"))
    if node.op_type == "Reshape" and values[1] is not None:
        return x.reshape([int(v) for v in values[1]])
    return x if node.op_type == "Identity" else None


def interpolates(node: onnx.NodeProto) -> bool:
    """Return True for a Resize that computes values between others.

    Args:
        node: a Resize.
    """
    modes = [a.s for a in node.attribute if a.name == "mode"]
    return bool(modes) and modes[0] != b"nearest"
