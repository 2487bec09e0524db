"""The calibration doctor: evidence from samples and the float model, and the checks that judge it."""
