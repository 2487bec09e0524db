#!/usr/bin/env bash
# litert-quantizer 0.11.0: a generator as calibration data calibrates nothing, without an error.
#
# calibrate() lists the samples once to count them; a generator is empty when the calibration itself starts. The
# result is an empty dict, and the error comes one call later and does not name the cause.
#
# Seen on 2026-11-29:
#   a list: values for ['x', 'y']
#   a generator: values for []
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6 litert-quantizer==0.11.0
cat > run.py <<'PY'
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def build(kind, tensors, inputs, outputs, options=(0, None), signature=()):
    """A model of one op; tensors are (name, shape, type, values or None, scale or None)."""
    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.buffers, graph.tensors = 3, [s.BufferT()], []
    for name, shape, kind_of_values, values, scale in tensors:
        tensor = s.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind_of_values, 0
        if values is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        if scale is not None:
            tensor.quantization = s.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([0], np.int64)
        graph.tensors.append(tensor)
    code, op = s.OperatorCodeT(), s.OperatorT()
    code.builtinCode = getattr(s.BuiltinOperator, kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    op.opcodeIndex, op.inputs, op.outputs = 0, inputs, outputs
    op.builtinOptionsType, op.builtinOptions = options
    graph.operators, graph.inputs = [op], [i for i in inputs if tensors[i][3] is None]
    graph.outputs = outputs
    model.operatorCodes, model.subgraphs, model.signatureDefs = [code], [graph], []
    if signature:
        entry = s.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = "serving_default", 0
        entry.inputs, entry.outputs = ([named(n, i) for n, i in part] for part in signature)
        model.signatureDefs = [entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def named(name, index):
    entry = s.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


from litert_quantizer import quantizer, recipe

FLOAT = s.TensorType.FLOAT32
weights, bias = np.ones((3, 4), np.float32), np.zeros(3, np.float32)
tensors = [
    ("x", [1, 4], FLOAT, None, None), ("w", [3, 4], FLOAT, weights, None), ("b", [3], FLOAT, bias, None),
    ("y", [1, 3], FLOAT, None, None),
]
options = s.BuiltinOptions.FullyConnectedOptions, s.FullyConnectedOptionsT()
signature = [("x", 0)], [("y", 3)]
open("model.tflite", "wb").write(build("FULLY_CONNECTED", tensors, [0, 1, 2], [3], options, signature))


def samples():
    for value in range(8):
        yield {"x": np.full((1, 4), value, np.float32)}


for name, data in (("a list", list(samples())), ("a generator", samples())):
    tool = quantizer.Quantizer("model.tflite", recipe.static_wi8_ai8())
    print(f"{name}: values for {sorted(tool.calibrate({'serving_default': data}))}")
PY
env/bin/python run.py 2> log.txt | tee seen.txt
diff seen.txt - <<'SEEN'
a list: values for ['x', 'y']
a generator: values for []
SEEN
