"""ONNX models: each op is written in JAX by one row of a table."""
