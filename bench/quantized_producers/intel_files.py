"""Intel's onnx-neural-compressor."""

import sys
from pathlib import Path
from typing import Any

from float_models import prepare, samples
from onnx_neural_compressor import data_reader
from onnx_neural_compressor.quantization import QuantFormat, config, quantize


class Reader(data_reader.CalibrationDataReader):
    """Gives the samples, again after a rewind."""

    def __init__(self) -> None:
        self.rewind()

    def rewind(self) -> None:
        """Starts anew."""
        self.rest = iter({"x": x} for x in samples())

    def get_next(self) -> Any:
        """Gives the next sample."""
        return next(self.rest, None)


folder = Path(sys.argv[1])
for name, path in prepare(folder).items():
    options = config.StaticQuantConfig(calibration_data_reader=Reader(), quant_format=QuantFormat.QDQ)
    quantize(str(path), str(folder / f"intel_{name}.onnx"), options)
