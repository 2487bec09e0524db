"""torchao's PT2E flow with the X86 quantizer, exported to ONNX."""

import sys
from pathlib import Path

import torch
from float_models import samples
from torch_models import Block, settled
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

folder = Path(sys.argv[1])
data = samples()
for name, act in (("relu", torch.nn.ReLU), ("hardswish", torch.nn.Hardswish)):
    net = settled(Block(act), data)
    example = (torch.from_numpy(data[0]),)
    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(net, example).module(), quantizer)
    for x in data:
        prepared(torch.from_numpy(x))
    made = convert_pt2e(prepared)
    torch.onnx.export(
        made,
        example,
        str(folder / f"torchao_{name}.onnx"),
        input_names=["x"],
        dynamo=True,
        opset_version=21,
        external_data=False,
    )
