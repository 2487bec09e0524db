"""The wrong uses of the corpus."""

from __future__ import annotations

WRONG_USES = """
unknown
quantize
quantize demo.tflite int8 -o @.tflite
quantize absent.tflite float16 -o @.tflite
quantize damaged.tflite float16 -o @.tflite
quantize text.tflite float16 -o @.tflite
quantize demo.keras float16 -o @.tflite
quantize demo.tflite float16 -o no/folder/x.tflite
quantize demo.tflite int7 --data demo.npz -o @.tflite
quantize demo.tflite int8 --data wrong.npz -o @.tflite
quantize demo.tflite int8 --data nan.npz -o @.tflite
quantize demo.tflite int8 --data absent.npz -o @.tflite
quantize demo.tflite int8 --data demo.npz:z -o @.tflite
quantize demo.tflite int8 --data demo.npz --io int16 -o @.tflite
quantize demo.tflite int8 --data demo.npz --layout phone -o @.tflite
quantize demo.tflite int8 --data demo.npz --recover hope -o @.tflite
quantize demo.tflite int8 --data demo.npz --observer eye -o @.tflite
quantize demo.tflite int8 --data demo.npz --override SOFTMAX -o @.tflite
quantize demo.tflite int8 --data demo.npz --target toaster -o @.tflite
quantize demo.tflite int8 --data demo.npz --calibration 0 --seed 1 -o @.tflite
prune demo.tflite --sparsity 0.6
prune demo.tflite -o @.tflite
prune demo.tflite --sparsity 80 -o @.tflite
prune demo.tflite --sparsity 0.5 --pattern 3:2 -o @.tflite
cluster demo.tflite --clusters 1 -o @.tflite
convert absent.onnx -o @.tflite
convert text.tflite -o @.tflite
finetune demo.tflite --data wrong.npz -o @.tflite
check demo.tflite --target toaster
check demo.tflite --target micro --memory lots
inspect damaged.tflite
verify demo.tflite
diff demo.tflite absent.tflite
evaluate demo.tflite --data demo.npz:x,y --metric luck
advise --answer device=moon
optimize demo.tflite --data demo.npz:x,y --max-drop 5 -o @
optimize demo.tflite --data demo.npz:x,y --effort heroic -o @
benchmark absent.tflite
explain demo.tflite demo.tflite --data absent.npz"""
"""One command a line; the first line is none at all. The messages may change, the exit codes may not."""
