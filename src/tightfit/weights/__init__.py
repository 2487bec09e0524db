"""Weights: patterns of zeros, centroids, and counts of zeros and distinct values."""
