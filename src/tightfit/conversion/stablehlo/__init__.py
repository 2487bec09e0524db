"""JAX functions by StableHLO: what is lowered, and the process of the converter."""
