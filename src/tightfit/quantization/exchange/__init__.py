"""Recipes of litert-quantizer: read into a scheme with overrides, and written from a plan."""
