"""The ONNX ops that are translated: one row an op, in the file of its family."""

from __future__ import annotations

from typing import Final

from tightfit.convert.onnx_layers import LAYERS
from tightfit.convert.onnx_math import MATH
from tightfit.convert.onnx_moves import MOVES
from tightfit.convert.onnx_recurrent import RECURRENT
from tightfit.convert.onnx_resize import RESIZES
from tightfit.convert.onnx_values import OnnxOp

ONNX_OPS: Final[dict[str, OnnxOp]] = MATH | MOVES | LAYERS | RESIZES | RECURRENT

OLDEST_OPSET, NEWEST_OPSET = 7, 23
"""The opsets whose documents the rows follow; If is taken where its condition is known beforehand."""
