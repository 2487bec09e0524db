"""Zeros in weights: which weights go, how zeros are stored, what XNNPACK computes sparsely."""
