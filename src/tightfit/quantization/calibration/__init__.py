"""Calibration: statistics of activations, their ranges, and second moments of layers' inputs."""
