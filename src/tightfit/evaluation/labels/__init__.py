"""Labels: what they mean for each output, and whether they are shifted."""
