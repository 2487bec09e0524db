#!/usr/bin/env bash
# ai-edge-litert 2.3.0: a signature lists its outputs by name, not in the order of the file.
#
# The file declares the outputs "z", then "a"; get_signature_list and the runner give "a", then "z", while
# get_output_details keeps the order of the graph. Code that pairs the two lists by position swaps outputs of
# equal shape.
#
# Seen on 2026-11-29:
#   outputs of the graph: ['z_tensor', 'a_tensor']
#   outputs of the signature: ['a', 'z']
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


FLOAT = s.TensorType.FLOAT32
split = s.SplitOptionsT()
split.numSplits = 2
axis = np.array(1, np.int32)
tensors = [
    ("axis", [], s.TensorType.INT32, axis, None), ("x", [1, 4], FLOAT, None, None),
    ("z_tensor", [1, 2], FLOAT, None, None), ("a_tensor", [1, 2], FLOAT, None, None),
]
signature = [("x", 1)], [("z", 2), ("a", 3)]
data = build("SPLIT", tensors, [0, 1], [2, 3], (s.BuiltinOptions.SplitOptions, split), signature)
interpreter = Interpreter(model_content=data)
interpreter.allocate_tensors()
print("outputs of the graph:", [d["name"] for d in interpreter.get_output_details()])
print("outputs of the signature:", interpreter.get_signature_list()["serving_default"]["outputs"])
PY
env/bin/python run.py 2> log.txt | tee seen.txt
diff seen.txt - <<'SEEN'
outputs of the graph: ['z_tensor', 'a_tensor']
outputs of the signature: ['a', 'z']
SEEN
