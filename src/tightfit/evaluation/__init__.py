"""What a model is worth: accuracy with intervals, latency, footprint, error per op."""
