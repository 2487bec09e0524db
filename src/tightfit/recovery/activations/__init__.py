"""Recoveries of activations: smoothing, equalization, attention-mask clipping, mixed types, ranges."""
