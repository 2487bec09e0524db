#!/usr/bin/env bash
# ai-edge-litert 2.3.0: QUANTIZE makes another integer of NaN with the XNNPACK delegate than without.
#
# With the delegate, which is the default, NaN becomes the largest int8, else the least. A model that answers NaN
# therefore answers a plain number behind a QUANTIZE, and which one depends on whether the delegate took the op.
#
# Seen on 2026-11-29:
#   with XNNPACK: [[127, 1, -1]]
#   without: [[-128, 1, -1]]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6
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


def run(data, x, resolver):
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


FLOAT, INT8 = s.TensorType.FLOAT32, s.TensorType.INT8
options = s.BuiltinOptions.QuantizeOptions, s.QuantizeOptionsT()
data = build("QUANTIZE", [("x", [1, 3], FLOAT, None, None), ("y", [1, 3], INT8, None, 1.0)], [0], [1], options)
x = np.array([[np.nan, 1, -1]], np.float32)
print("with XNNPACK:", run(data, x, OpResolverType.AUTO).tolist())
print("without:", run(data, x, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES).tolist())
PY
env/bin/python run.py 2> log.txt | tee seen.txt
diff seen.txt - <<'SEEN'
with XNNPACK: [[127, 1, -1]]
without: [[-128, 1, -1]]
SEEN
