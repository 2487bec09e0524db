"""Keras models: a safe read of their files, and the export through JAX."""
