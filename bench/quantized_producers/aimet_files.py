"""AIMET (Qualcomm): fake quantizers, exported as QuantizeLinear on float constants."""

import sys
from pathlib import Path

import onnx
from aimet_onnx.quantsim import QuantizationSimModel
from float_models import prepare, samples

folder = Path(sys.argv[1])
for name, path in prepare(folder).items():
    sim = QuantizationSimModel(onnx.load(path), param_type="int8", activation_type="int8")
    sim.compute_encodings([{"x": x} for x in samples()])
    onnx.save(sim.to_onnx_qdq(), folder / f"aimet_{name}.onnx")
