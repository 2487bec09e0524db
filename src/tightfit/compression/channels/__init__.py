"""Channel pruning: which channels depend on which, which matter least, the smaller dense graph."""
