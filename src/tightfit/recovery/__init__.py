"""Recoveries: post-training methods that reduce the error of a quantized model, with unlabelled samples."""
