#!/usr/bin/env bash
# ethos-u-vela 5.2.0: the compiled file can hold one tensor that two ops write.
#
# Model: p = ADD(x, x); a = ADD(p, p); b = L2_NORMALIZATION(p); c = ADD(b, b); y = CONCATENATION(a, c).
# An Ethos-U55 runs all but L2_NORMALIZATION. vela makes two "ethos-u" ops, before and after it; each writes its
# half of y, and both list y as an output. The source file has one producer for every tensor.
# A reader that links each tensor to its one producer refuses the compiled file or loses the first op.
#
# Seen on 2026-11-29:
#   CUSTOM -> p, y
#   L2_NORMALIZATION -> b
#   CUSTOM -> y
#   tensors with several producers: y
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ethos-u-vela==5.2.0 ai-edge-litert==2.3.0
cat > model.py <<'PY'
import sys
from collections import Counter

import flatbuffers
from ai_edge_litert import schema_py_generated as s

KINDS = {v: k for k, v in vars(s.BuiltinOperator).items() if isinstance(v, int)}


def tensor(name, channels=4):
    t = s.TensorT()
    t.name, t.shape, t.type, t.buffer = name, [1, 8, 8, channels], s.TensorType.INT8, 0
    t.quantization = s.QuantizationParametersT()
    t.quantization.scale, t.quantization.zeroPoint = [0.0078125], [0]
    return t


def op(code, inputs, output, kind, options):
    o = s.OperatorT()
    o.opcodeIndex, o.inputs, o.outputs = code, inputs, [output]
    o.builtinOptionsType, o.builtinOptions = kind, options
    return o


def write():
    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [s.BufferT()], [graph]
    for builtin in ("ADD", "L2_NORMALIZATION", "CONCATENATION"):
        code = s.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, builtin)
        code.version = 2
        model.operatorCodes = [*(model.operatorCodes or []), code]
    graph.tensors = [tensor(n) for n in "xpabc"] + [tensor("y", 8)]
    x, p, a, b, c, y = range(6)
    graph.inputs, graph.outputs = [x], [y]
    kinds = s.BuiltinOptions
    concatenation = s.ConcatenationOptionsT()
    concatenation.axis = 3
    graph.operators = [
        op(0, [x, x], p, kinds.AddOptions, s.AddOptionsT()),
        op(0, [p, p], a, kinds.AddOptions, s.AddOptionsT()),
        op(1, [p], b, kinds.L2NormOptions, s.L2NormOptionsT()),
        op(0, [b, b], c, kinds.AddOptions, s.AddOptionsT()),
        op(2, [a, c], y, kinds.ConcatenationOptions, concatenation),
    ]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with open("model.tflite", "wb") as file:
        file.write(builder.Output())


def show():
    with open("out/model_vela.tflite", "rb") as file:
        model = s.ModelT.InitFromPackedBuf(file.read(), 0)
    graph = model.subgraphs[0]
    names = [t.name.decode() for t in graph.tensors]
    for o in graph.operators:
        kind = KINDS[model.operatorCodes[o.opcodeIndex].builtinCode]
        print(kind, "->", ", ".join(names[i] for i in o.outputs))
    count = Counter(i for o in graph.operators for i in o.outputs)
    print("tensors with several producers:", ", ".join(names[i] for i, n in count.items() if n > 1) or "none")


write() if sys.argv[1] == "write" else show()
PY
env/bin/python model.py write
env/bin/vela model.tflite --accelerator-config ethos-u55-128 --output-dir out > log.txt 2>&1
env/bin/python model.py show | tee seen.txt
diff seen.txt - <<'SEEN'
CUSTOM -> p, y
L2_NORMALIZATION -> b
CUSTOM -> y
tensors with several producers: y
SEEN
