"""The device's integer arithmetic on NumPy arrays, equal to LiteRT's kernels to the bit."""
