"""Several runs side by side: what was chosen, at what cost, on which machine."""
