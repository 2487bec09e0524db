"""Statistics over samples in memory that does not grow with them: moments, extremes, histograms, sums."""
