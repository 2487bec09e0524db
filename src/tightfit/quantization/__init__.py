"""Schemes, ranges, the plan, and the quantized file that follows from it."""
