"""Schemes, calibration, the plan, and its application to a graph."""
