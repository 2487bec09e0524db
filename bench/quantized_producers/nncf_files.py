"""NNCF on ONNX: mixed signedness, float biases, scales per channel before depthwise convolutions."""

import sys
from pathlib import Path

import nncf
import onnx
from float_models import prepare, samples

folder = Path(sys.argv[1])
for name, path in prepare(folder).items():
    data = nncf.Dataset([{"x": x} for x in samples()])
    for preset in (nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED):
        made = nncf.quantize(onnx.load(path), data, preset=preset, subset_size=16)
        onnx.save(made, folder / f"nncf_{name}_{preset.value}.onnx")
