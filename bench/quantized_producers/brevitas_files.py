"""Brevitas: QCDQ with int8 and with fewer bits, and QONNX."""

import sys
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerChannelFloat, Int32Bias, Uint8ActPerTensorFloat
from float_models import samples
from torch import nn


class Net(nn.Module):
    """Two convolutions, a residual and a dense layer, all fake-quantized."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        common = {
            "weight_quant": Int8WeightPerChannelFloat,
            "bias_quant": Int32Bias,
            "weight_bit_width": bits,
        }
        self.start = qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)
        self.c1 = qnn.QuantConv2d(3, 8, 3, padding=1, **common)
        self.a1 = qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)
        self.c2 = qnn.QuantConv2d(8, 8, 3, padding=1, **common)
        self.a2 = qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)
        self.pool = nn.MaxPool2d(4)
        self.h = qnn.QuantLinear(8 * 36, 5, **common)

    def forward(self, x: Any) -> Any:
        """Gives five numbers."""
        x = self.a2(self.c2(self.a1(self.c1(self.start(x)))))
        return self.h(torch.flatten(self.pool(x), 1))


folder = Path(sys.argv[1])
data = samples()
for bits in (8, 6, 4):
    torch.manual_seed(bits)
    net = Net(bits)
    with torch.no_grad():
        for x in data:
            net(torch.from_numpy(x))
    net.eval()
    example = torch.from_numpy(data[0])
    export_onnx_qcdq(
        net,
        args=example,
        export_path=str(folder / f"brevitas_qcdq{bits}.onnx"),
        opset_version=17,
        dynamo=False,
        input_names=["x"],
    )
    if bits == 4:
        export_qonnx(
            net,
            args=example,
            export_path=str(folder / "brevitas_qonnx4.onnx"),
            opset_version=17,
            dynamo=False,
            input_names=["x"],
        )
