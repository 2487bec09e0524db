"""The ONNX ops that are translated: one row an op, in the file of its family."""

from __future__ import annotations

from typing import Final

from tightfit.conversion.onnx.attention_ops import ATTENTION
from tightfit.conversion.onnx.layer_ops import LAYERS
from tightfit.conversion.onnx.math_ops import MATH
from tightfit.conversion.onnx.movement_ops import MOVES
from tightfit.conversion.onnx.onnx_values import OnnxOp
from tightfit.conversion.onnx.recurrent_ops import RECURRENT
from tightfit.conversion.onnx.resize_ops import RESIZES
from tightfit.conversion.onnx.scatter_ops import SCATTERS
from tightfit.conversion.onnx.spectrum_ops import SPECTRA
from tightfit.conversion.qdq.rows import ROUNDINGS

_FAMILIES: Final = (MATH, MOVES, SCATTERS, LAYERS, ATTENTION, RESIZES, RECURRENT, SPECTRA, ROUNDINGS)
ONNX_OPS: Final[dict[str, OnnxOp]] = {kind: row for family in _FAMILIES for kind, row in family.items()}

OLDEST_OPSET, NEWEST_OPSET = 7, 23
"""The opsets whose documents the rows follow; loops are written out, If where its condition is known."""
