"""Reductions over windows as pooling ops, and strides of 1-D layers as channels."""
