"""onnxruntime's own quantizer: QDQ and operators on integers, several types; dynamic."""

import sys
from pathlib import Path
from typing import Any

from float_models import prepare, samples
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)


class Reader(CalibrationDataReader):
    """Gives the samples once."""

    def __init__(self) -> None:
        self.rest = iter({"x": x} for x in samples())

    def get_next(self) -> Any:
        """Gives the next sample."""
        return next(self.rest, None)


S8, U8, S16 = QuantType.QInt8, QuantType.QUInt8, QuantType.QInt16
CASES = {
    "ort_qdq_s8": ("cnn", {}),
    "ort_qdq_u8_channels": ("cnn", {"activation_type": U8, "per_channel": True}),
    "ort_qdq_u8u8": ("cnn", {"activation_type": U8, "weight_type": U8}),
    "ort_qdq_mobile": ("mobile", {"activation_type": U8, "per_channel": True}),
    "ort_qdq_s16": (
        "cnn",
        {"activation_type": S16, "per_channel": True, "extra_options": {"ActivationSymmetric": True}},
    ),
    "ort_qdq_pair": ("mobile", {"per_channel": True, "extra_options": {"AddQDQPairToWeight": True}}),
    "ort_qop_cnn": ("cnn", {"quant_format": QuantFormat.QOperator, "activation_type": U8}),
    "ort_qop_mobile": (
        "mobile",
        {"quant_format": QuantFormat.QOperator, "activation_type": U8, "per_channel": True},
    ),
}

folder = Path(sys.argv[1])
floats = prepare(folder)
for name, (model, options) in CASES.items():
    chosen = {"quant_format": QuantFormat.QDQ, "activation_type": S8, "weight_type": S8} | options
    quantize_static(floats[model], folder / f"{name}.onnx", Reader(), **chosen)
quantize_dynamic(floats["mobile"], folder / "ort_dynamic.onnx", weight_type=S8)
