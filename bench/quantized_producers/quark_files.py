"""AMD Quark: scales that are powers of two (XINT8), and int8 of ordinary scales."""

import sys
from pathlib import Path
from typing import Any

from float_models import prepare, samples
from onnxruntime.quantization.calibrate import CalibrationDataReader
from quark.onnx import ModelQuantizer
from quark.onnx.quantization.config import Config, get_default_config


class Reader(CalibrationDataReader):
    """Gives the samples once."""

    def __init__(self) -> None:
        self.rest = iter({"x": x} for x in samples())

    def get_next(self) -> Any:
        """Gives the next sample."""
        return next(self.rest, None)


folder = Path(sys.argv[1])
for name, path in prepare(folder).items():
    for kind in ("XINT8", "INT8_CNN_DEFAULT"):
        quantizer = ModelQuantizer(Config(global_quant_config=get_default_config(kind)))
        target = folder / f"quark_{name}_{kind.split('_')[0].lower()}.onnx"
        quantizer.quantize_model(str(path), str(target), Reader())
