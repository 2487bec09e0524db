"""Recoveries of activations: smoothing, equalization, attention masks, mixed precision, ranges."""
