"""Fake-quantization: the op, its gradients, learned scales, and the points where kernels round."""
