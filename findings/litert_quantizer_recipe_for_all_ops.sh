#!/usr/bin/env bash
# litert-quantizer 0.11.0: of two recipe entries with one regex, an entry for all operations drops the earlier one.
#
# The shipped recipe dynamic_wi4_afp32_hadamard_recipe.json has an 8-bit entry for all ops, and after it a 4-bit entry
# for all ops with an algorithm that supports dense and embedding layers only. The second entry replaces the first
# (RecipeManager.add_quantization_config), so convolutions are not quantized at all, without a message.
#
# Seen on 2026-11-29:
#   entries in the file: 2, kept: 1
#   FULLY_CONNECTED: DECOMPOSED_HADAMARD_ROTATION
#   CONV_2D: no_quantize
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6 litert-quantizer==0.11.0
cat > run.py <<'PY'
import json
from importlib.resources import files

from litert_quantizer import qtyping, recipe_manager

path = files("litert_quantizer") / "recipes" / "dynamic_wi4_afp32_hadamard_recipe.json"
entries = json.loads(path.read_text())
manager = recipe_manager.RecipeManager()
manager.load_quantization_recipe(entries)
print(f"entries in the file: {len(entries)}, kept: {len(manager.get_quantization_recipe())}")
for name in ("FULLY_CONNECTED", "CONV_2D"):
    key, _ = manager.get_quantization_configs(qtyping.TFLOperationName(name), "layer;")
    print(f"{name}: {getattr(key, 'value', key)}")
PY
env/bin/python run.py 2> log.txt | tee seen.txt
diff seen.txt - <<'SEEN'
entries in the file: 2, kept: 1
FULLY_CONNECTED: DECOMPOSED_HADAMARD_ROTATION
CONV_2D: no_quantize
SEEN
