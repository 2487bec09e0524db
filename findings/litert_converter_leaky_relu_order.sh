#!/usr/bin/env bash
# litert-converter 0.5.0: whether a leaky ReLU becomes LEAKY_RELU depends on the order of the operands.
#
# max(a·x, x) becomes one LEAKY_RELU; max(x, a·x), which is the same function, stays MUL and MAXIMUM.
#
# Seen on 2026-11-29:
#   max(a*x, x): LEAKY_RELU
#   max(x, a*x): MUL MAXIMUM
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet litert-converter==0.5.0 ai-edge-litert==2.3.0
cat > convert.py <<'PY'
from ai_edge_litert import schema_py_generated as s
from litert_converter import converter_api_ext as api
from litert_converter.mlir import ir, passmanager

KINDS = {v: k for k, v in vars(s.BuiltinOperator).items() if isinstance(v, int)}
TEXT = """
func.func public @main(%x: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %a = stablehlo.constant dense<2.000000e-01> : tensor<1x8xf32>
  %ax = stablehlo.multiply %a, %x : tensor<1x8xf32>
  %y = stablehlo.maximum OPERANDS : tensor<1x8xf32>
  return %y : tensor<1x8xf32>
}
"""


def kinds(operands):
    with ir.Context() as context:
        api.prepare_mlir_context(context)
        module = ir.Module.parse(TEXT.replace("OPERANDS", operands))
        api.set_signature(module.operation, "serving_default", ["x"], ["y"])
        api.run_convert_to_tfl_passes(module, passmanager.PassManager(), api.ConvertToTFLConfig())
        data = bytes(api.export_flatbuffer_to_bytes(module.operation))
    model = s.ModelT.InitFromPackedBuf(data, 0)
    return " ".join(KINDS[model.operatorCodes[o.opcodeIndex].builtinCode] for o in model.subgraphs[0].operators)


print("max(a*x, x):", kinds("%ax, %x"))
print("max(x, a*x):", kinds("%x, %ax"))
PY
env/bin/python convert.py 2> log.txt | tee seen.txt
diff seen.txt - <<'SEEN'
max(a*x, x): LEAKY_RELU
max(x, a*x): MUL MAXIMUM
SEEN
