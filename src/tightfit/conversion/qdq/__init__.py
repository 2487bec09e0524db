"""Quantized ONNX models: every producer's form becomes float ops between QUANTIZE and DEQUANTIZE."""
