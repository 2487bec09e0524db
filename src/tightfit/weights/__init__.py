"""Facts about weights: patterns of zeros, centroids, counts."""
