"""Fake-quantization: the op, its gradients, its trained scales, and the points where kernels round."""
