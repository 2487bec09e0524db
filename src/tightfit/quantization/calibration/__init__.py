"""Calibration: statistics of activations, ranges from them, second moments of what layers read."""
